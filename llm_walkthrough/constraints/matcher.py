"""States of a text in its grammar, and the tokens that may come next.

A `GrammarState` is where some tokens have led to. It never changes: going on gives
another one, so that going back costs nothing. Knows nothing of logits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np

from llm_walkthrough.arrays import TokenMask
from llm_walkthrough.errors import InputError
from llm_walkthrough.grammar import (
    MOST_FORCED,
    Grammar,
    bytewise,
    llguidance,
    never_ends,
    require_an_end,
)
from llm_walkthrough.tokenizer import Tokenizer

_ANCHOR = "\n"  # what follows it is in the middle of a text


@dataclass(frozen=True)
class GrammarVocabulary:
    """The tokens of one model, as a grammar sees them: as bytes.

    Two are equal if they are about the same tokenizer and the same graph's size. These
    must belong together, and there must be an end token, or it is an InputError.
    """

    tokenizer: Tokenizer
    vocab: int  # tokens that the model's logits score
    end_tokens: tuple[int, ...]  # ids by which the model ends its text, at least one

    def __post_init__(self) -> None:
        self.tokenizer.for_vocab(self.vocab)
        wrong = [t for t in self.end_tokens if not 0 <= t < self.spelled_tokens]
        if wrong or not self.end_tokens:
            what = f"end tokens among 0 … {self.spelled_tokens - 1}"
            got = f"{list(self.end_tokens)}; take those of the model (model.graph)"
            raise InputError(f"a grammar needs {what}, got {got}")

    @property
    def spelled_tokens(self) -> int:
        """How many ids have both a row of logits and a text."""
        return min(self.vocab, self.tokenizer.vocab)

    @cached_property
    def spelled(self) -> list[bytes]:
        """What each token stands for in the middle of a text."""
        spell = self.tokenizer.token_bytes
        return [spell(token) for token in range(self.spelled_tokens)]

    @cached_property
    def library(self) -> Any:  # noqa: ANN401 - an LLTokenizer
        """The same tokens for llguidance."""
        guidance = llguidance()
        tokens = guidance.TokenizerWrapper(_Tokens(self))
        return guidance.LLTokenizer(tokens, eos_token=list(self.end_tokens))

    def start(self, grammar: Grammar) -> GrammarState:
        """Return the state before the first token; InputError if nothing can follow."""
        matcher = llguidance().LLMatcher(self.library, grammar.compiled, log_level=0)
        if matcher.is_error():
            raise grammar.error(matcher.get_error())
        is_lark = grammar.kind == "Lark grammar"  # the one kind that may never end
        by_bytes = bytewise(grammar.compiled) if is_lark else None
        state = GrammarState(self, matcher, by_bytes)
        try:
            if state.is_complete or state.allowed.any():
                return state
        except InputError:
            if not matcher.get_error().startswith("NoExtension"):
                raise
        raise grammar.error("no text satisfies it")


class _Tokens:
    """What llguidance asks a tokenizer for."""

    bos_token_id = None

    def __init__(self, vocabulary: GrammarVocabulary) -> None:
        self._encode = vocabulary.tokenizer.encode_plain
        self.eos_token_id = vocabulary.end_tokens[0]
        self.tokens = vocabulary.spelled
        # an id that the vocabulary skips has no text, and must not come either
        nameless = {token for token, text in enumerate(self.tokens) if not text}
        special = vocabulary.tokenizer.special_tokens & {*range(len(self.tokens))}
        self.special_token_ids = sorted(special | nameless)

    def __call__(self, text: bytes) -> list[int]:
        """Split a text into tokens as it is in the middle of another one."""
        inside = text.decode(errors="replace")
        anchor, whole = map(self._encode, (_ANCHOR, _ANCHOR + inside))
        if whole[: len(anchor)].tolist() == anchor.tolist():
            return list(whole[len(anchor) :].tolist())
        return list(self._encode(inside).tolist())  # anchor and text became one token


@dataclass(frozen=True, eq=False, repr=False)
class GrammarState:
    """Where some tokens have led to in a grammar."""

    vocabulary: GrammarVocabulary
    matcher: Any  # llguidance's own state, which is copied before it moves
    byte_matcher: Any  # the same for `require_an_end`, or None where it is not needed
    pending: tuple[int, ...] = ()  # what is left of the tokens that were forced before
    is_ended: bool = False  # whether an end token has come

    @cached_property
    def is_complete(self) -> bool:
        """Whether the text may end here."""
        return self.is_ended or bool(self.matcher.is_accepting())

    @cached_property
    def forced(self) -> tuple[int, ...]:
        """Tokens that must come next, as the tokenizer writes them; () for a choice."""
        return self.pending or (() if self.is_ended else self._find_forced())

    def after(self, token: int) -> GrammarState | None:
        """Return the state after one more token; None if it may not come here."""
        if token in self.vocabulary.end_tokens:
            ended = replace(self, pending=(), is_ended=True)
            return ended if self.is_complete else None
        matcher = None if self.is_ended else self.matcher.deep_copy()
        if matcher is None or matcher.try_consume_tokens([token]) != 1:
            return None
        pending = self.forced[1:] if self.forced[:1] == (token,) else ()
        by_bytes = self.byte_matcher and self.byte_matcher.deep_copy()
        if by_bytes:
            by_bytes.try_consume_tokens(list(self.vocabulary.spelled[token]))
        return GrammarState(self.vocabulary, matcher, by_bytes, pending)

    def is_completed_by(self, tokens: tuple[int, ...]) -> bool:
        """Tell whether these tokens may come, and the text is complete after them."""
        if self.is_ended:
            return not tokens
        matcher = self.matcher.deep_copy()
        is_taken = matcher.try_consume_tokens(list(tokens)) == len(tokens)
        return bool(is_taken and matcher.is_accepting())

    @cached_property
    def allowed(self) -> TokenMask:
        """Which tokens may come next, bool [vocab]; InputError if too complex."""
        mask = np.zeros(self.vocabulary.vocab, bool)
        if self.forced:
            mask[self.forced[0]] = True
        else:
            if not self.is_ended:
                bits = self._allowed_bits()
                mask[: len(bits)] = bits
            mask[list(self.vocabulary.end_tokens)] = self.is_complete
        mask.setflags(write=False)
        return mask

    def _allowed_bits(self) -> TokenMask:
        """Return llguidance's answer for each token of the tokenizer."""
        fill = import_module("llguidance.numpy")
        count = self.vocabulary.spelled_tokens
        words = fill.allocate_token_bitmask(1, count)  # int32, a bit for each token
        fill.fill_next_token_bitmask(self.matcher, words)
        self._require_sound()
        bits = np.unpackbits(words[0].view(np.uint8), bitorder="little")
        return bits[:count].astype(bool)

    def _find_forced(self) -> tuple[int, ...]:
        if self.matcher.is_stopped():  # nothing can be added: it ends, or never will
            return self.vocabulary.end_tokens[:1] if self.is_complete else ()
        if self.byte_matcher:
            require_an_end(self.byte_matcher)
        tokens = tuple(self.matcher.compute_ff_tokens())
        self._require_sound()
        if len(tokens) > MOST_FORCED:
            raise never_ends("tokens")
        # another spelling of the same bytes would be another text to the model
        is_sound = self.matcher.validate_tokens(list(tokens)) == len(tokens)
        return tokens if is_sound else ()

    def _require_sound(self) -> None:
        if self.matcher.is_error():
            first_line = self.matcher.get_error().partition("\n")[0]
            what = f"the grammar cannot be followed any further ({first_line})"
            raise InputError(f"{what}; make it simpler, or mend a rule that never ends")
