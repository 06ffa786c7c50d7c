"""Are the answers of notebook 02 right: the chat text, the stream, the tokens saved?

References come from the tokenizer that is handed in. Knows nothing of models.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from llm_walkthrough.exercises.verdict import Verdict, called, first_failing
from llm_walkthrough.tokenizer import TextStream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llm_walkthrough.arrays import TokenIds
    from llm_walkthrough.model_files.chat_template import Message
    from llm_walkthrough.tokenizer import Tokenizer

    Chat = Callable[[Sequence[Message]], str]
    Stream = Callable[[Tokenizer, TokenIds], Sequence[str]]

ROUTINE = {
    "routine": [
        {"pose": "Cat-Cow", "minutes": 2},
        {"pose": "Child's Pose", "minutes": 3},
        {"pose": "Sphinx", "minutes": 1},
    ]
}
"""What the product wants to receive, as Python holds it."""

_FIRST_TURN = (
    {"role": "system", "content": "You are an experienced yoga teacher."},
    {"role": "user", "content": "Is Cat-Cow good for the lower back?"},
)
_SECOND_TURN = (
    *_FIRST_TURN,
    {"role": "assistant", "content": "Yes, if you move slowly."},
    {"role": "user", "content": "How often?"},
)
_STREAMED = ("Cat-Cow, then rest.", "Namaste 🙏", "Rücken 🧘🏽 und Füße", "腰痛 🙂🙃")


def check_chat(answer: Chat, tokenizer: Tokenizer) -> Verdict:
    """Judge a function from messages to the text that the chat template writes."""
    tests = [
        lambda chat: _chat_hint(_chat(chat, _FIRST_TURN), _FIRST_TURN, tokenizer),
        lambda chat: _second_turn_hint(_chat(chat, _SECOND_TURN), tokenizer),
    ]
    return first_failing(
        answer, tests, "It writes what the template writes, for one turn and for two."
    )


def check_stream(answer: Stream, tokenizer: Tokenizer) -> Verdict:
    """Judge a function from tokens to the text that each of them adds to the screen."""

    def hint(stream: Stream) -> str | None:
        hints = (_stream_hint(stream, text, tokenizer) for text in _STREAMED)
        return next((hint for hint in hints if hint), None)

    return first_failing(
        answer,
        [hint],
        "Every character appears once, whole, and with the token that completes it.",
    )


def check_tokens_saved(answer: int, tokenizer: Tokenizer) -> Verdict:
    """Judge how many tokens compact JSON of `ROUTINE` saves against `indent=4`."""
    texts = _routine_texts()
    pretty, spaced, compact = (len(tokenizer.encode(text)) for text in texts)
    alone = "alone; take the difference."
    mistakes = {
        len(texts[0]) - len(texts[2]): "That counts characters; count tokens.",
        compact - pretty: "The sign is turned round: a saving is above 0.",
        pretty - spaced: "The compact one still has a space after each comma and "
        "colon; see `separators` of json.dumps.",
        pretty: f"That is the cost of the indented text {alone}",
        compact: f"That is the cost of the compact text {alone}",
    }
    no_match = "That is not the difference; encode both texts and compare the lengths."

    def hint(number: int) -> str | None:
        is_saved = number == pretty - compact
        return None if is_saved else mistakes.get(number, no_match)

    share = f"{(pretty - compact) / pretty:.0%}"
    praise = f"{pretty} tokens against {compact}: {share} of them were white space."
    return first_failing(answer, [hint], praise)


def _routine_texts() -> tuple[str, str, str]:
    """Return `ROUTINE` as JSON: indented, as `json.dumps` writes it, and compact."""
    compact = json.dumps(ROUTINE, separators=(",", ":"))
    return json.dumps(ROUTINE, indent=4), json.dumps(ROUTINE), compact


def _chat(chat: Chat, messages: Sequence[Message]) -> str:
    return called(chat, [dict(message) for message in messages])


def _second_turn_hint(text: str, tokenizer: Tokenizer) -> str | None:
    hint = _chat_hint(text, _SECOND_TURN, tokenizer)
    return hint and f"Two messages come out right, but four do not. {hint}"


def _chat_hint(
    text: str, messages: Sequence[Message], tokenizer: Tokenizer
) -> str | None:
    """Tell how a chat text differs from the template's, the likely mistakes first."""
    if not isinstance(text, str):
        return f"It must return one text, and returned a {type(text).__name__}."
    wanted = tokenizer.chat(messages)
    closed = tokenizer.chat(messages, add_generation_prompt=False)
    if text == wanted:
        return None
    if "".join(text.split()) == "".join(wanted.split()):
        return (
            "Only the white space is wrong: look where the template breaks lines, and "
            f"where not. Yours ends with {text[-25:]!r}."
        )
    if text.rstrip() == closed.rstrip():
        return (
            "The turns are right, but nothing asks the model to answer: the generation "
            "prompt is missing at the end."
        )
    return _turns_hint(text, messages, wanted)


def _turns_hint(text: str, messages: Sequence[Message], wanted: str) -> str:
    for message in messages:
        for name in ("role", "content"):
            if message[name] not in text:
                return f"The {name} {message[name]!r} is missing."
    for token in ("<|im_start|>", "<|im_end|>"):
        if text.count(token) != wanted.count(token):
            return (
                f"{token} stands in it {text.count(token)} times instead of "
                f"{wanted.count(token)}: which turns does it open or close?"
            )
    ends = range(len(wanted) + 1)
    same = next((n for n in ends if text[: n + 1] != wanted[: n + 1]), len(wanted))
    return f"It leaves the template's text after {wanted[max(0, same - 25) : same]!r}."


def _stream_hint(stream: Stream, text: str, tokenizer: Tokenizer) -> str | None:
    """Tell how a stream differs from the package's, the likely mistakes first."""
    tokens = tokenizer.encode(text)
    shown = list(called(stream, tokenizer, tokens))
    reference = TextStream(tokenizer)
    wanted = [reference.feed(int(token)) for token in tokens]
    if shown == wanted:
        return None
    if not all(isinstance(piece, str) for piece in shown):
        return "It must return a list of texts, one for each token."
    if any("\ufffd" in piece for piece in shown):
        return (
            f"In {text!r} a � appears: bytes were shown before their character was "
            "whole. Hold them back until the next token."
        )
    return _pieces_hint(shown, wanted, text)


def _pieces_hint(shown: list[str], wanted: list[str], text: str) -> str:
    joined = "".join(shown)
    if shown[-1:] == [text] and len(joined) > len(text):
        return (
            "Every entry holds the whole text so far; return only what the token adds."
        )
    if joined != text and joined.replace(" ", "") == text.replace(" ", ""):
        return f"Spaces were lost: {joined!r}."
    if len(shown) != len(wanted):
        return (
            f"{len(wanted)} tokens went in and {len(shown)} texts came out; a token "
            'that completes no character adds the empty text "".'
        )
    if joined != text:
        return f"Joined, the texts give {joined!r} instead of {text!r}."
    return "The text is right, but some of it appears later than it could."
