"""One prompt, one answer, and what the answer cost.

Joins tokenizer, model and stepper for a single question: the prompt's tokens, the text
as it is made, the figures at the end. Knows nothing of options, terminals or signals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter as now

from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.constraints.matcher import GrammarVocabulary
from llm_walkthrough.errors import InputError
from llm_walkthrough.grammar import Grammar
from llm_walkthrough.guards.trial import prepare
from llm_walkthrough.model import Model, open_model
from llm_walkthrough.model_files.chat_template import RENDERER
from llm_walkthrough.sampling import Sampling, uniform
from llm_walkthrough.speculation import GuessCount, NGrams
from llm_walkthrough.stepper import EndTokens, Stepper, StopRule
from llm_walkthrough.structured_output import GrammarMask
from llm_walkthrough.tokenizer import StopText, TextStream, Tokenizer, open_tokenizer

INTERRUPTED = "interrupted"
SENTENCE_END = "end of a sentence near the limit"
MANY = 16  # times the same token, and nothing else, are no answer

_CLOSING = r"""["'”’»)\]*]*"""  # a quotation, a bracket, bold type
# two letters before a full stop: neither the "2." of a list nor "e.g." is a sentence
_SENTENCE = re.compile(rf"[^\W\d_]{{2}}{_CLOSING}[.!?\u3002\uff01\uff1f]{_CLOSING}\s*$")


@dataclass(frozen=True)
class Settings:
    """How an answer is drawn and when it stops; the same settings repeat an answer.

    InputError for a value out of its range, or stop texts beside a grammar.
    """

    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0  # which luck, 0 or more
    max_new_tokens: int = 256  # in their last quarter, a sentence's end is the answer's
    stop_texts: tuple[str, ...] = ()  # the answer ends before the first of them
    grammar: Grammar | None = None  # what the answer must follow
    speculate: bool = False  # let one run check several guesses: the answer is the same

    def __post_init__(self) -> None:
        uniform(self.seed, 0)  # refuses a seed that cannot be used
        if self.max_new_tokens < 1:
            what = f"must be at least 1, got {self.max_new_tokens}"
            way_out = "256 are enough for most answers"
            raise InputError(f"the maximum of new tokens {what}; {way_out}")
        if self.grammar is not None and self.stop_texts:
            what = f"the stop text {self.stop_texts[0]!r} would cut off an answer that"
            why = f"must follow a {self.grammar.kind}; leave one of them out"
            raise InputError(f"{what} {why}")


@dataclass(frozen=True)
class Figures:
    """What an answer cost."""

    prompt_tokens: int  # that the model has read
    prefill_seconds: float  # of the graph alone
    new_tokens: int  # with the end token
    decode_seconds: float  # from the first new token to the last, with all in between
    stop_reason: str  # a stop rule of `Answer`, "limit" or "context full"
    cache_bytes: int  # keys and values of all tokens that the model has seen
    speculation: GuessCount | None = None  # of the runs after the prompt

    @property
    def prefill_rate(self) -> float | None:
        """Tokens of the prompt per second; None if the model read none."""
        return _rate(self.prompt_tokens, self.prefill_seconds)

    @property
    def decode_rate(self) -> float | None:
        """New tokens per second; the first comes with the prompt and is not counted."""
        return _rate(self.new_tokens - 1, self.decode_seconds)

    def __str__(self) -> str:
        guessed = "" if self.speculation is None else f", in {self.speculation}"
        prompt = f"prompt {_counted(self.prompt_tokens, self.prefill_rate)}"
        answer = f"answer {_counted(self.new_tokens, self.decode_rate)}{guessed}"
        cache = f"cache {self.cache_bytes / 1e6:.1f} MB"
        return f"{prompt}; {answer}; stopped by: {self.stop_reason}; {cache}"


def sentence_end(tokenizer: Tokenizer, limit: int, new_tokens: TokenIds) -> bool:
    """Tell whether `limit` is near, and the newest token ends a sentence: stop there.

    Near is the last quarter: an answer that breaks off in a sentence helps nobody.
    """
    if len(new_tokens) <= limit * 3 // 4:
        return False
    newest = tokenizer.decode(new_tokens[-16:])  # enough for a word
    return _SENTENCE.search(newest) is not None


class Answer:
    """One answer in the making.

    The prompt is token ids [sequence] int64, as `chat_prompt` and `encode` make them;
    `text` is what was given so far. InputError if something is empty or too long.
    """

    def __init__(
        self, model: Model, tokenizer: Tokenizer, prompt: TokenIds, settings: Settings
    ) -> None:
        self.prompt, self.settings, self.text = prompt, settings, ""
        self._text_stream = TextStream(tokenizer, stop_texts=settings.stop_texts)
        self._stop_rules: dict[str, StopRule] = {
            "end token": EndTokens(model.graph.end_tokens),
            "stop text": StopText(tokenizer, settings.stop_texts),
            INTERRUPTED: lambda _new_tokens: self._is_interrupted,
        }
        self._is_interrupted = False
        self._token_times: list[float] = []
        capacity = _capacity(model, len(prompt), settings.max_new_tokens)
        processors = settings.sampling.processors(len(prompt))
        self._mask: GrammarMask | None = None
        if settings.grammar is None:
            rule = partial(sentence_end, tokenizer, settings.max_new_tokens)
            self._stop_rules[SENTENCE_END] = rule
        else:
            ends = model.graph.end_tokens
            vocabulary = GrammarVocabulary(tokenizer, model.vocab, ends)
            room = min(settings.max_new_tokens, capacity - len(prompt))
            self._mask = GrammarMask(settings.grammar, vocabulary, len(prompt), room)
            processors = (self._mask, *processors)  # no filter may leave only misfits
        cache = model.new_cache(capacity)
        self._stepper = Stepper(model, prompt, processors=processors, cache=cache)
        self._stepper.seed = settings.seed
        self._stepper.guesser = NGrams() if settings.speculate else None

    @property
    def new_tokens(self) -> TokenIds:
        """The tokens that were made so far."""
        return self._stepper.new_tokens

    @property
    def figures(self) -> Figures:
        """What the answer has cost so far."""
        prompt_length = self._stepper.prompt_length
        prefill = [run for run in self._stepper.runs if run.stop <= prompt_length]
        count = GuessCount.of(self._stepper.runs[len(prefill) :])
        times = self._token_times or [0.0]
        return Figures(
            prompt_tokens=sum(len(run.tokens) for run in prefill),
            prefill_seconds=sum(run.seconds for run in prefill),
            new_tokens=len(self.new_tokens),
            decode_seconds=times[-1] - times[0],
            stop_reason=self._stepper.stop_reason or INTERRUPTED,
            cache_bytes=self._stepper.cache.nbytes,
            speculation=count if self.settings.speculate else None,
        )

    def read_prompt(self) -> None:
        """Run the prompt through the model; an exception in between does no harm."""
        _ = self._stepper.logits

    def stream(self) -> Iterator[str]:
        """Make the answer; yields text as soon as it is certain."""
        for step in self._stepper.run(self.settings.max_new_tokens, self._stop_rules):
            self._token_times.append(now())
            yield self._noted(self._text_stream.feed(step.token))
        yield self._noted(self._text_stream.flush())

    def require_whole(self) -> None:
        """Raise InputError if there is a grammar and the answer stops in its middle."""
        mask, reason = self._mask, self._stepper.stop_reason
        is_made = reason not in (None, INTERRUPTED)  # of which its reader knows
        if mask and is_made and not mask.is_complete(self._stepper.tokens):
            what = f"the answer did not fit: after {len(self.new_tokens)} tokens the"
            why = f"{mask.grammar.kind} is not satisfied (stopped by: {reason})"
            raise InputError(f"{what} {why}; raise --max-new-tokens, or ask for less")

    def fault(self) -> str:
        """Say why this is no answer, as in "it is empty"; "" if it is one."""
        tokens, reason = self.new_tokens.tolist(), self._stepper.stop_reason
        if self._mask is not None or reason in (None, INTERRUPTED):
            return ""  # a grammar may want just that, and `require_whole` judges it
        if reason == "end token" and not self.text:
            return "it is empty"
        if len(tokens) >= MANY and len({*tokens}) == 1:
            return f"it is {len(tokens)} times the token {tokens[0]}"
        return ""

    def interrupt(self) -> None:
        """Let the answer end after the step in flight; safe in a signal handler."""
        self._is_interrupted = True

    def _noted(self, text: str) -> str:
        self.text += text
        return text


def chat_prompt(tokenizer: Tokenizer, text: str, system: str | None = None) -> str:
    """Write one question in the model's own form; `system` is what it is told to be."""
    before = [] if system is None else [{"role": "system", "content": system}]
    return tokenizer.chat([*before, {"role": "user", "content": text}])


def load(
    path: Path,
    threads: int | None = None,
    file: str | None = None,
    provider: str | None = None,
) -> tuple[Model, Tokenizer]:
    """Open the model, as `open_model` does, and the tokenizer that belongs to it."""
    prepare(RENDERER)  # it starts while the model is opened
    tokenizer = open_tokenizer(path if path.is_dir() else path.parent)
    model = open_model(path, threads=threads, file=file, provider=provider)
    return model, tokenizer.for_vocab(model.vocab)


def _capacity(model: Model, prompt_length: int, max_new_tokens: int) -> int:
    """Room for prompt and answer, and one more: full to the brim is "context full"."""
    longest = model.graph.context_length
    if prompt_length >= longest:
        what = f"the prompt has {prompt_length:,} tokens, but the model's context holds"
        raise InputError(f"{what} {longest:,} with the answer; shorten the prompt")
    return min(longest, prompt_length + max_new_tokens + 1)


def _rate(tokens: int, seconds: float) -> float | None:
    return tokens / seconds if tokens > 0 and seconds > 0 else None


def _counted(tokens: int, rate: float | None) -> str:
    speed = "" if rate is None else f", {rate:.1f} tokens/s"
    return f"{tokens} token{'' if tokens == 1 else 's'}{speed}"
