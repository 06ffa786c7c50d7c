"""What do tokens spell, one after the other, and which bytes wait for more?

The state behind the text panel: the tokens of one text, and how many of them were fed
to a stream. Knows nothing of HTML.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.acting import Moment, Stepping
from llm_walkthrough.tokenizer import TextStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from llm_walkthrough.tokenizer import Tokenizer


@dataclass(frozen=True)
class Fed:
    """What one token does to a stream.

    Attributes:
        token: its id; None for the end of the text, where nothing is left to wait for.
        spelled: the bytes that it stands for.
        alone: what decoding it by itself gives.
        given: the text that the stream gives for it.
        pending: the bytes that the stream holds back after it.
    """

    token: int | None
    spelled: bytes
    alone: str
    given: str
    pending: bytes


@dataclass(frozen=True, kw_only=True)
class Place(Moment):
    """How far the text is.

    Attributes:
        num_fed: how many of the steps are made.
    """

    num_fed: int = 0


@dataclass(frozen=True)
class Spelled:
    """Everything that a picture of the text needs.

    Attributes:
        now: how far it is.
        tokens: all of the text.
        fed: what each step did, those to come included.
    """

    now: Place
    tokens: tuple[int, ...]
    fed: tuple[Fed, ...]

    @property
    def done(self) -> tuple[Fed, ...]:
        """What the steps did that are made."""
        return self.fed[: self.now.num_fed]

    @property
    def certain(self) -> str:
        """Text that no later token can change."""
        return "".join(one.given for one in self.done)

    @property
    def held(self) -> tuple[Fed, ...]:
        """The last of them, whose bytes wait."""
        whole = len(self.done)
        while whole and self.done[whole - 1].pending:
            whole -= 1
        return self.done[whole:]

    @property
    def alone(self) -> str:
        """What decoding each token by itself shows so far."""
        return "".join(one.alone for one in self.done)


class Spelling(Stepping[Place]):
    """The tokens of a text, fed to a stream one by one.

    Args:
        tokenizer: splits the text, and spells its tokens.
        text: what is to be spelled.

    Attributes:
        tokens: of the text.

    Raises:
        InputError: the text has no tokens, or cannot be written in UTF-8.
    """

    def __init__(self, tokenizer: Tokenizer, text: str) -> None:
        self.tokens = tuple(tokenizer.encode(text).tolist())
        if not self.tokens:
            raise InputError(f"the text {text!r} has no tokens; give a longer one")
        self._fed = tuple(_fed(tokenizer, self.tokens))
        super().__init__(Place())

    def snapshot(self) -> Spelled:
        """Return everything that is to be shown."""
        return Spelled(self.now, self.tokens, self._fed)

    def actions(self) -> Mapping[str, Callable[[Place, Any], Place]]:
        """Return what can be done; going back ends a run."""
        return {
            **super().actions(),
            "back": lambda now, _value: _back_to(now, now.num_fed - 1),
            "back_to": lambda now, place: _back_to(now, int(place)),
        }

    def stepped(self, now: Place) -> Place:
        """Return the place after one more token.

        Raises:
            InputError: all of them were fed.
        """
        if now.num_fed == len(self._fed):
            raise InputError("all tokens were fed; press Back or Reset")
        num_fed = now.num_fed + 1
        running = now.running and num_fed < len(self._fed)
        return replace(now, num_fed=num_fed, running=running)


def _back_to(now: Place, num_fed: int) -> Place:
    if not 0 <= num_fed < now.num_fed:
        raise InputError(
            f"{now.num_fed} steps were made, so there is no way back to {num_fed}"
        )
    return replace(now, num_fed=num_fed, running=False)


def _fed(tokenizer: Tokenizer, tokens: tuple[int, ...]) -> Iterator[Fed]:
    """Feed all tokens to one stream; at the end it gives what still waits."""
    stream = TextStream(tokenizer)
    for token in tokens:
        given, alone = stream.feed(token), tokenizer.decode([token])
        yield Fed(token, tokenizer.token_bytes(token), alone, given, stream.pending)
    if stream.pending:
        yield Fed(None, b"", "", stream.flush(), b"")
