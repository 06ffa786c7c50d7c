"""Processors that reshape logits, and the draw of one token.

Logits go through a row of processors, each of which gives new logits and leaves its
argument alone; softmax makes probabilities of what is left; one number `u` in [0, 1)
picks the token. `KNOBS` holds what there is to know of each processor's number. Pure
numpy: this file knows nothing of models, caches or text.

Implementations differ on two points. Here temperature comes before the filters
(llama.cpp filters first), and top-k keeps exactly k tokens, in a tie those with the
lowest ids (others keep all equals).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from llm_walkthrough.arrays import Logits, Probabilities, TokenIds
from llm_walkthrough.errors import InputError

_BLOCK = 64  # positions whose numbers are made together


class Processor(Protocol):
    """Reshapes logits; the context is all tokens so far, with those of the prompt."""

    def __call__(self, logits: Logits, context: TokenIds, /) -> Logits:
        """Return new logits of the same shape and dtype."""


class _KnobProcessor:
    """A processor whose first field is a number that its row in `KNOBS` allows."""

    def __post_init__(self) -> None:
        knob, number = self._knob_and_number()
        knob.require_allowed(number)

    @property
    def label(self) -> str:
        """What it is called with its number, as "top-k 40"."""
        knob, number = self._knob_and_number()
        return "likeliest" if self == _GREEDY else knob.marked(number)

    def _knob_and_number(self) -> tuple[Knob, Any]:
        number, *_ = vars(self).values()
        return next(k for k in KNOBS if isinstance(self, k.processor)), number


class _Filter(_KnobProcessor):
    """A processor that looks at logits alone, and makes some tokens impossible."""

    def survivors(self, logits: Logits) -> TokenIds:
        """Return the places of those that stay, ascending."""
        raise NotImplementedError

    def __call__(self, logits: Logits, _context: TokenIds, /) -> Logits:
        """Return logits [vocab] float32, -inf for all but the survivors."""
        return _spread(logits[kept := self.survivors(logits)], kept, len(logits))


@dataclass(frozen=True)
class RepetitionPenalty(_KnobProcessor):
    """Make tokens that were said before less likely.

    Said before means: in the context, from position `start` on. Where that is the end
    of the prompt, the user's own words are not pushed away. A positive logit is divided
    by the penalty and a negative one multiplied, so that both sink; 1 changes nothing.
    Formula: Keskar et al. 2019 (CTRL), section 4.1, with the multiplication that later
    implementations added for negative logits.
    """

    penalty: float
    start: int = 0  # 0 counts the whole context

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start < 0:
            raise InputError(f"start must be 0 or more, got {self.start}; 0 counts all")

    def __call__(self, logits: Logits, context: TokenIds, /) -> Logits:
        """Return logits [vocab] float32, every token from `start` on penalised."""
        said = context[self.start :]
        scores = logits[said]
        penalised = logits.copy()
        penalised[said] = np.where(
            scores > 0, scores / self.penalty, scores * self.penalty
        )
        return penalised


@dataclass(frozen=True)
class Temperature(_KnobProcessor):
    """Divide all logits: below 1 the likely gets likelier, above 1 all draw level.

    Formula: `logits / T`, Hinton et al. 2015, equation 1.
    """

    temperature: float

    def __call__(self, logits: Logits, _context: TokenIds, /) -> Logits:
        """Return logits [vocab] float32, each divided by the temperature."""
        return logits / np.float32(self.temperature)


@dataclass(frozen=True)
class TopK(_Filter):
    """Keep the k likeliest tokens, exactly k; TopK(1) is greedy decoding.

    Source: Fan et al. 2018, section 5.

    >>> TopK(2)(np.float32([3, 8, 1, 4]), [])
    array([-inf,   8., -inf,   4.], dtype=float32)
    """

    k: int

    def survivors(self, logits: Logits) -> TokenIds:
        """Return the ids of the k highest, ascending."""
        if self.k >= len(logits):
            return np.arange(len(logits))
        high = _contenders(logits, self.k)
        ranked = (-logits[high]).argsort(kind="stable")  # in a tie the lowest id first
        return np.sort(high[ranked[: self.k]])


@dataclass(frozen=True)
class TopP(_Filter):
    """Keep the smallest set of likeliest tokens that together reach p (the nucleus).

    Source: Holtzman et al. 2020, section 3.1.

    >>> softmax(TopP(0.7)(np.log(np.float32([3, 8, 1, 4])), [])).round(2)
    array([0.  , 0.67, 0.  , 0.33])
    """

    p: float

    def survivors(self, logits: Logits) -> TokenIds:
        """Return the ids in the nucleus, ascending."""
        probabilities = softmax(logits)
        ranked = likeliest_first(probabilities)
        return np.sort(_head(ranked, probabilities, self.p))


@dataclass(frozen=True)
class TypicalP(_Filter):
    """Keep the tokens whose surprise is nearest to the entropy, until they reach p.

    Surprise is `-log p_i`, the entropy is its average `-sum_j p_j log p_j`: even the
    likeliest token may go. Source: Meister et al. 2023 (locally typical sampling).

    >>> softmax(TypicalP(0.2)(np.log(np.float32([3, 8, 1, 4])), []))
    array([0., 0., 0., 1.])
    """

    p: float

    def survivors(self, logits: Logits) -> TokenIds:
        """Return the ids in the typical set, ascending."""
        probabilities = softmax(logits)
        possible = np.flatnonzero(probabilities)  # the others' surprise is infinite
        surprise = -np.log(probabilities[possible])
        entropy = probabilities[possible] @ surprise
        nearest = np.argsort(np.abs(surprise - entropy), kind="stable")
        return np.sort(_head(possible[nearest], probabilities, self.p))


@dataclass(frozen=True)
class MinP(_Filter):
    """Keep tokens at least p times as probable as the likeliest one.

    Probabilities differ by the factor p where logits differ by log p, so no softmax is
    needed. Source: Nguyen et al. 2024.
    """

    p: float

    def survivors(self, logits: Logits) -> TokenIds:
        """Return the ids that reach the threshold, ascending."""
        threshold = logits.max() + np.float32(math.log(self.p))
        return np.flatnonzero(logits >= threshold)


@dataclass(frozen=True)
class Knob:
    """Everything there is to know about one setting of `Sampling`.

    From it follow an option of the command line, a slider, the words for a number and
    the refusal of a wrong one.
    """

    name: str  # of the field of `Sampling`
    processor: type[Any]  # made with the number
    off: float  # the number without effect, for which no processor is needed
    allowed: tuple[float, float]  # lowest and highest that the processor takes
    slider: tuple[float, float, float]  # lowest, highest and step
    mark: str = ""  # before the number of a processor, in place of the label
    greedy: float | None = None  # the number that stands for TopK(1)
    kind: type[int | float] = float  # int where only whole numbers make sense

    @property
    def label(self) -> str:
        """The name for people."""
        return self.name.replace("_", "-")

    @property
    def help(self) -> str:
        """What the processor does, in a few words: the first line of its docstring."""
        sentence = str(self.processor.__doc__).partition("\n")[0].removesuffix(".")
        return sentence[:1].lower() + sentence[1:]

    def shown(self, number: float) -> str:
        """Write a number as people read it: "0.80", "40", "off" or "greedy"."""
        words = {self.off: "off", self.greedy: "greedy"}
        return words.get(number, self._digits(number))

    def marked(self, number: float) -> str:
        """Write the name and the number in a few characters: "top-k 40"."""
        return f"{self.mark or self.label} {self._digits(number)}"

    def _digits(self, number: float) -> str:
        return str(number) if self.kind is int else f"{number:.2f}"

    def require_allowed(self, number: float) -> None:
        """Raise InputError unless the processor takes the number."""
        low, high = self.allowed
        is_kind = self.kind is float or type(number) is int  # True is no number here
        if is_kind and low <= number <= high:  # also refuses NaN
            return
        wanted = f"between {low:g} and {high:g}"
        if self.kind is int:
            wanted = f"a whole number of at least {low}"
        way_out = (
            f"leave {self.processor.__name__} out, or set {self.name} to {self.off}, "
            "to switch it off"
        )
        if self.greedy is not None:
            way_out = f"for greedy decoding use TopK(1), or the setting {self.name} 0"
        raise InputError(f"{self.label} must be {wanted}, got {number}; {way_out}")


# in the order of application, which for the filters is that of llama.cpp:
# name, processor, off, allowed, slider, mark
KNOBS = (
    Knob(
        "repetition_penalty", RepetitionPenalty, 1, (0.1, 10), (1, 2, 0.05), "penalty"
    ),
    Knob("temperature", Temperature, 1, (0.001, 100), (0, 2, 0.05), "÷ T", greedy=0),
    Knob("top_k", TopK, 0, (1, math.inf), (0, 100, 1), kind=int),
    Knob("typical_p", TypicalP, 1, (1e-6, 1), (0.05, 1, 0.05)),
    Knob("top_p", TopP, 1, (1e-6, 1), (0.05, 1, 0.05)),
    Knob("min_p", MinP, 0, (1e-6, 1), (0, 0.5, 0.01)),
)
_GREEDY = TopK(1)


@dataclass(frozen=True)
class Sampling:
    """The usual settings, by the names that most tools use; `KNOBS` describes each.

    With the defaults the model of the course makes most sense, as `benchmarks/answers`
    counts it. Temperature 0 is greedy decoding.

    InputError if a value is out of its range.
    """

    temperature: float = 0.3
    top_k: int = 40
    top_p: float = 0.9
    min_p: float = 0.0
    repetition_penalty: float = 1.1
    typical_p: float = 1.0

    def __post_init__(self) -> None:
        self.processors()  # each one checks its own value

    def processors(self, start: int = 0) -> tuple[Processor, ...]:
        """Return the processors that are on, in the order in which they are applied.

        The repetition penalty counts tokens from position `start` on; give it the
        length of the prompt, and only what was said after it is penalised.
        """
        row: list[Processor] = []
        for knob in KNOBS:
            number = getattr(self, knob.name)
            if number == knob.greedy:
                row.append(_GREEDY)
            elif number != knob.off:
                since = (start,) if knob.processor is RepetitionPenalty else ()
                row.append(knob.processor(number, *since))
        if self.temperature == 0:
            del row[row.index(_GREEDY) + 1 :]  # one token is left, nothing to filter
        return tuple(row)

    def turned(self, name: str, number: float) -> Sampling:
        """Return these settings with another number for one knob."""
        knobs = {knob.name: knob for knob in KNOBS}
        if name not in knobs:
            raise InputError(f"there is no knob {name!r}; there are {[*knobs]}")
        changed: dict[str, Any] = {name: knobs[name].kind(number)}
        return replace(self, **changed)


def process(
    logits: Logits, context: TokenIds, processors: Iterable[Processor]
) -> Logits:
    """Return logits [vocab] float32 after all processors, applied in order."""
    for processor in processors:
        logits = processor(logits, context)
    return logits


def forced_token(context: TokenIds, processors: Iterable[Processor]) -> int | None:
    """Return the token that must come next whatever the logits are, usually None.

    A processor that knows such places has a method `forced(context)`, and leaves no
    other token there when it is called.
    """
    for processor in processors:
        forced = getattr(processor, "forced", None)
        if forced is not None and (token := forced(context)) is not None:
            return int(token)
    return None


def softmax(logits: Logits) -> Probabilities:
    """Turn logits [vocab] into probabilities [vocab] float64 that sum to 1.

    `exp(x_i - max x) / sum_j exp(x_j - max x)`; a token at -inf gets exactly 0.

    >>> softmax(np.log(np.float32([3, 8, 1, 4]))).round(4)
    array([0.1875, 0.5   , 0.0625, 0.25  ])

    InputError if no token is left, since all logits are -inf, or one is NaN or +inf.
    """
    highest = logits.max(initial=-np.inf)
    if highest == -np.inf:
        raise InputError(
            "no token is left to choose from: every logit is -inf; loosen a filter"
        )
    if not math.isfinite(highest):
        raise InputError(
            f"a logit must be a number or -inf, got {highest}; look at the logits "
            "before and after each processor"
        )
    possible = (logits > -np.inf).nonzero()[0]
    # exp() of a large logit would overflow, so the highest becomes 0
    weights = np.exp(logits[possible].astype(np.float64) - highest)
    probabilities = np.zeros(len(logits))
    probabilities[possible] = weights / weights.sum()
    return probabilities


def log_sum_exp(logits: Logits) -> float:
    """Return `log sum_j exp(x_j)` of logits [vocab] float32, within 1e-5.

    Less this number, a logit is the natural logarithm of its softmax.
    """
    highest = logits.max()
    weights = logits - highest  # exp() of a large logit would overflow
    return float(highest) + math.log(np.exp(weights, out=weights).sum())


def log_probability(logits: Logits, token: int) -> float:
    """Return the natural logarithm of the softmax at `token` (nats, at most 0)."""
    return float(logits[token]) - log_sum_exp(logits)


def likeliest_first(probabilities: Probabilities) -> TokenIds:
    """Return the ids whose probability is above 0, likeliest first, ties by id.

    >>> likeliest_first(np.array([0.25, 0.5, 0, 0.25]))
    array([1, 0, 3])
    """
    possible = (probabilities > 0).nonzero()[0]
    return possible[(-probabilities[possible]).argsort(kind="stable")]


def require_u(u: float) -> float:
    """Return `u`; raise InputError unless it is at least 0 and below 1."""
    if not 0 <= u < 1:
        raise InputError(f"u must be at least 0 and below 1, got {u}; draw another")
    return u


def pick(probabilities: Probabilities, u: float) -> int:
    """Return the token at the point `u` of a bar on which tokens lie end to end.

    The bar starts with the likeliest token; each is as wide as its probability.

    >>> [pick(np.array([0.25, 0.5, 0, 0.25]), u) for u in (0, 0.49, 0.5, 0.99)]
    [1, 1, 0, 3]
    """
    require_u(u)
    ranked = likeliest_first(probabilities)
    ends = probabilities[ranked].cumsum()
    # a sum of rounded numbers may end a hair away from 1, so u is scaled to it
    return int(ranked[ends.searchsorted(u * ends[-1], side="right")])


def choose(
    logits: Logits, context: TokenIds, processors: Sequence[Processor], u: float
) -> int:
    """Return the token that `u` draws from logits [vocab] after all processors.

    The same as `pick(softmax(process(…)), u)`, but it looks at survivors only.

    InputError if no token is left, one is NaN or +inf, or `u` is not at least 0 and
    below 1; greedy decoding does not look at it.
    """
    if processors and processors[-1] == _GREEDY:  # greedy: there is nothing to draw
        left = process(logits, context, processors[:-1])
        likeliest = int(left.argmax())  # in a tie the lowest id, and NaN before all
        if math.isfinite(left[likeliest]):
            return likeliest
    ids, left = survivors(logits, context, processors)
    return int(ids[pick(softmax(left), u)])


def survivors(
    logits: Logits, context: TokenIds, processors: Sequence[Processor]
) -> tuple[TokenIds, Logits]:
    """Apply all processors; return the ids that are left, ascending, and their logits.

    Behind a filter only survivors travel, until a processor may look at ids.
    """
    ids: TokenIds | None = None
    vocab = len(logits)
    for processor in processors:
        if isinstance(processor, _Filter):
            kept = processor.survivors(logits)
            ids, logits = kept if ids is None else ids[kept], logits[kept]
        elif ids is None or isinstance(processor, Temperature):
            logits = processor(logits, context)
        else:
            logits = processor(_spread(logits, ids, vocab), context)
            ids = None
    if ids is not None:
        return ids, logits
    ids = np.flatnonzero(logits != -np.inf)
    return ids, logits[ids]


def uniform(seed: int, position: int) -> float:
    """Return the number in [0, 1) that belongs to this seed and position.

    `default_rng((seed, position)).random()`: it does not depend on what was drawn
    before, so going back and stepping again draws with the same number.
    """
    if seed < 0:
        raise InputError(
            f"seed must be 0 or more, got {seed}; any whole number will do"
        )
    return _uniforms(seed, position // _BLOCK)[position % _BLOCK]


@lru_cache(maxsize=8)
def _uniforms(seed: int, block: int) -> tuple[float, ...]:
    """Return the numbers of many positions at once: one by one costs far more.

    Each run of the model pushes everything else out of the processor's caches, so
    what is called once a step always starts cold.
    """
    places = range(block * _BLOCK, (block + 1) * _BLOCK)
    return tuple(float(np.random.default_rng((seed, p)).random()) for p in places)


def _head(ranked: TokenIds, probabilities: Probabilities, p: float) -> TokenIds:
    """Return the shortest head of `ranked` whose probabilities reach p together."""
    if p == 1:  # rounded sums may reach 1 before the last token
        return ranked
    reached = probabilities[ranked].cumsum()
    return ranked[: reached.searchsorted(p) + 1]


def _contenders(logits: Logits, k: int) -> TokenIds:
    """Return a few ids, ascending, with those of the k highest logits among them.

    Logits are laid out in rows of 16 k columns. The k-th highest of the columns' maxima
    is reached by k logits or more, so what is below cannot be one of the k highest.
    """
    columns = 16 * k
    table = logits[: len(logits) // columns * columns].reshape(-1, columns)
    highest = table.max(axis=0, initial=-np.inf)
    highest.partition(-k)
    contenders: TokenIds = (logits >= highest[-k]).nonzero()[0]
    return contenders


def _spread(logits: Logits, ids: TokenIds, vocab: int) -> Logits:
    """Return logits [vocab] float32 with these at their ids, -inf elsewhere."""
    spread = np.full(vocab, -np.inf, logits.dtype)
    spread[ids] = logits
    return spread
