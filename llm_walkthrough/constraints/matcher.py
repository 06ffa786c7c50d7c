"""Where in its grammar is a text, and which tokens may come next?

A `Place` is a point in a grammar that some tokens have led to. It never changes for who
looks at it: going on gives another one, so that going back costs nothing. Knows nothing
of logits: `structured_output` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_walkthrough.errors import InputError
from llm_walkthrough.grammar import llguidance

if TYPE_CHECKING:
    from llm_walkthrough.arrays import TokenMask
    from llm_walkthrough.grammar import Grammar
    from llm_walkthrough.tokenizer import Tokenizer

MOST_FORCED = 4096
"""Tokens that a grammar may force in a row; with more, it will not come to an end."""

_ANCHOR = "\n"  # what follows it is in the middle of a text


@dataclass(frozen=True)
class GrammarVocabulary:
    """The tokens of one model, as a grammar sees them: as bytes.

    Two are equal if they are about the same tokenizer and the same graph's size.

    Args:
        tokenizer: the one that belongs to the model.
        vocab: how many tokens the model's logits score.
        end_tokens: ids by which the model ends its text, at least one.

    Raises:
        InputError: tokenizer and logits do not belong together, there is no end token,
            or llguidance is not installed.
    """

    tokenizer: Tokenizer
    vocab: int
    end_tokens: tuple[int, ...]

    def __post_init__(self) -> None:
        self.tokenizer.for_vocab(self.vocab)
        wrong = [t for t in self.end_tokens if not 0 <= t < self.tokenizer.vocab]
        if wrong or not self.end_tokens:
            raise InputError(
                f"a grammar needs end tokens among 0 … {self.tokenizer.vocab - 1}, got "
                f"{list(self.end_tokens)}; take those of the model (model.graph)"
            )

    @cached_property
    def spelled(self) -> list[bytes]:
        """What each token stands for in the middle of a text."""
        spell = self.tokenizer.token_bytes
        return [spell(token) for token in range(self.tokenizer.vocab)]

    @cached_property
    def library(self) -> Any:  # noqa: ANN401 - an LLTokenizer
        """The same tokens for llguidance."""
        guidance = llguidance()
        tokens = guidance.TokenizerWrapper(_Tokens(self))
        return guidance.LLTokenizer(tokens, eos_token=list(self.end_tokens))

    def start(self, grammar: Grammar) -> Place:
        """Return the place before the first token.

        Raises:
            InputError: the grammar cannot be followed with these tokens, or nothing
                satisfies it.
        """
        matcher = llguidance().LLMatcher(self.library, grammar.compiled, log_level=0)
        if matcher.is_error():
            raise grammar.error(matcher.get_error())
        place = Place(self, matcher)
        try:
            can_begin = place.is_complete or bool(place.allowed.any())
        except InputError:
            if not matcher.get_error().startswith("NoExtension"):
                raise
            can_begin = False
        if not can_begin:
            raise grammar.error("no text satisfies it")
        return place

    def encode_mid_text(self, text: bytes) -> list[int]:
        """Split a text into tokens as it is in the middle of another one."""
        encode = self.tokenizer.encode_plain
        inside = text.decode(errors="replace")
        anchor, whole = encode(_ANCHOR).tolist(), encode(_ANCHOR + inside).tolist()
        if whole[: len(anchor)] == anchor:
            return list(whole[len(anchor) :])
        return list(encode(inside).tolist())


class _Tokens:
    """What llguidance asks a tokenizer for."""

    bos_token_id = None

    def __init__(self, vocabulary: GrammarVocabulary) -> None:
        self._vocabulary = vocabulary
        self.eos_token_id = vocabulary.end_tokens[0]
        self.tokens = vocabulary.spelled
        # an id that the vocabulary skips has no text, and must not come either
        nameless = {token for token, text in enumerate(self.tokens) if not text}
        self.special_token_ids = sorted(vocabulary.tokenizer.special_tokens | nameless)

    def __call__(self, text: bytes) -> list[int]:
        return self._vocabulary.encode_mid_text(text)


class Place:
    """A point in a grammar.

    Attributes:
        is_complete: whether the text may end here.
        is_ended: whether an end token has come.
    """

    def __init__(
        self,
        vocabulary: GrammarVocabulary,
        matcher: Any,  # noqa: ANN401 - an LLMatcher
        *,
        pending: tuple[int, ...] = (),
        is_ended: bool = False,
    ) -> None:
        self.vocabulary = vocabulary
        self._matcher = matcher
        self.is_ended = is_ended
        self._pending = pending
        self.is_complete = is_ended or bool(matcher.is_accepting())

    @cached_property
    def forced(self) -> tuple[int, ...]:
        """The tokens that must come next, as the tokenizer itself would write them.

        None where there is a choice.
        """
        return self._pending or (() if self.is_ended else self._find_forced())

    def after(self, token: int) -> Place | None:
        """Return the place after one more token; None if it may not come here."""
        if token in self.vocabulary.end_tokens:
            if not self.is_complete:
                return None
            return Place(self.vocabulary, self._matcher, is_ended=True)
        matcher = None if self.is_ended else self._matcher.deep_copy()
        if matcher is None or matcher.try_consume_tokens([token]) != 1:
            return None
        is_next = self.forced[:1] == (token,)
        pending = self.forced[1:] if is_next else ()
        return Place(self.vocabulary, matcher, pending=pending)

    def is_completed_by(self, tokens: tuple[int, ...]) -> bool:
        """Tell whether these tokens may come, and the text is complete after them."""
        if self.is_ended:
            return not tokens
        matcher = self._matcher.deep_copy()
        is_taken = matcher.try_consume_tokens(list(tokens)) == len(tokens)
        return bool(is_taken and matcher.is_accepting())

    @cached_property
    def allowed(self) -> TokenMask:
        """Which tokens may come next; one alone where it is forced.

        Raises:
            InputError: llguidance gave up, since the grammar is too complex.
        """
        if self.forced or self.is_ended:
            return self._only(self.forced[:1] or self.vocabulary.end_tokens)
        mask = np.zeros(self.vocabulary.vocab, bool)
        bits = self._bits()
        mask[: len(bits)] = bits
        mask[list(self.vocabulary.end_tokens)] = self.is_complete
        mask.setflags(write=False)
        return mask

    def _bits(self) -> TokenMask:
        """Return llguidance's answer for each token of the tokenizer."""
        fill = import_module("llguidance.numpy")
        count = self.vocabulary.tokenizer.vocab
        words = fill.allocate_token_bitmask(1, count)
        fill.fill_next_token_bitmask(self._matcher, words)
        self._require_sound()
        bits = np.unpackbits(words[0].view(np.uint8), bitorder="little")
        return bits[:count].astype(bool)

    def _find_forced(self) -> tuple[int, ...]:
        if self._matcher.is_stopped():  # nothing can be added: it ends, or never will
            return self.vocabulary.end_tokens[:1] if self.is_complete else ()
        tokens = tuple(self._matcher.compute_ff_tokens())
        self._require_sound()
        if len(tokens) > MOST_FORCED:
            raise InputError(
                f"the grammar forces more than {MOST_FORCED:,} tokens in a row; mend "
                "the rule that never ends"
            )
        # another spelling of the same bytes would be another text to the model
        is_sound = self._matcher.validate_tokens(list(tokens)) == len(tokens)
        return tokens if is_sound else ()

    def _require_sound(self) -> None:
        if self._matcher.is_error():
            first_line = self._matcher.get_error().partition("\n")[0]
            raise InputError(
                f"the grammar cannot be followed any further ({first_line}); make it "
                "simpler, or mend a rule that never ends"
            )

    def _only(self, tokens: tuple[int, ...]) -> TokenMask:
        mask = np.zeros(self.vocabulary.vocab, bool)
        mask[list(tokens)] = True
        return mask
