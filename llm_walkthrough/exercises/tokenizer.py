"""Exercises of notebook 02: the chat text, the stream, the tokens saved.

References come from the tokenizer that is handed in. Knows nothing of models.
"""

from __future__ import annotations

import json
from functools import partial
from os.path import commonprefix
from typing import Any

from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.exercises.exercise import (
    OTHERWISE,
    Attempt,
    Exercise,
    ExerciseOn,
    When,
)
from llm_walkthrough.tokenizer import TextStream, Tokenizer

ROUTINE = {
    "routine": [
        {"pose": "Cat-Cow", "minutes": 2},
        {"pose": "Child's Pose", "minutes": 3},
        {"pose": "Sphinx", "minutes": 1},
    ]
}
"""What the product wants to receive, as Python holds it."""

_CHAT = [
    {"role": "system", "content": "You are an experienced yoga teacher."},
    {"role": "user", "content": "Is Cat-Cow good for the lower back?"},
    {"role": "assistant", "content": "Yes, if you move slowly."},
    {"role": "user", "content": "How often?"},
]
_STREAMED = ("Cat-Cow, then rest.", "Namaste 🙏", "Rücken 🧘🏽 und Füße", "腰痛 🙂🙃")


@ExerciseOn
def check_chat(tokenizer: Tokenizer) -> Exercise:
    """Judge a function from messages to the text that the chat template writes."""
    turns = partial(tokenizer.chat, add_generation_prompt=False)
    return Exercise(
        task="a function from messages to the text that the chat template writes",
        right=tokenizer.chat,
        cases=[(_CHAT[:2],), (_CHAT,)],
        case="{begin}",
        also=_first_chat_difference,
        hints={
            "It must return one text, and returned a {kind}.": When(
                lambda t: not isinstance(t.given, str)
            ),
            "Only the white space is wrong: look where the template breaks lines, and "
            "where not. Yours ends with {end!r}.": When(
                lambda t: "".join(t.given.split()) == "".join(t.right.split())
            ),
            "The turns are right, but nothing asks the model to answer: the generation "
            "prompt is missing at the end.": [
                turns,
                lambda messages: turns(messages).rstrip(),
            ],
            "The {key} {value!r} is missing.": When(lambda t: t.key),
            "{token} stands in it {count} times instead of {right_count}: which turns "
            "does it open or close?": When(lambda t: t.token),
            "It leaves the template's text after {same!r}.": OTHERWISE,
        },
        praise="It writes what the template writes, for one turn and for two.",
    )


def _first_chat_difference(t: Attempt) -> dict[str, Any]:
    text = t.given if isinstance(t.given, str) else ""
    missing = [
        (key, message[key])
        for message in t.messages
        for key in ("role", "content")
        if message[key] not in text
    ]
    tokens = ("<|im_start|>", "<|im_end|>")
    miscounted = [x for x in tokens if text.count(x) != t.right.count(x)]
    key, value = (*missing, ("", ""))[0]
    token = (*miscounted, "")[0]
    are_two_right = len(t.messages) == len(_CHAT)
    return {
        "begin": "Two messages come out right, but four do not. " * are_two_right,
        "key": key,
        "value": value,
        "token": token,
        "count": text.count(token),
        "right_count": t.right.count(token),
        "end": text[-25:],
        "same": commonprefix([text, t.right])[-25:],  # noqa: RUF071 - of texts
    }


@ExerciseOn
def check_stream(tokenizer: Tokenizer) -> Exercise:
    """Judge a function from tokens to the text that each of them adds to the screen."""
    return Exercise(
        task="a function (tokenizer, tokens) -> the text that each token adds",
        right=_stream,
        cases=[(tokenizer, tokenizer.encode(text)) for text in _STREAMED],
        also=lambda t: {
            "text": "".join(t.right),
            "joined": "".join(t.given),
            "num_tokens": len(t.right),
            "num_texts": len(t.given),
        },
        hints={
            "It must return a list of texts, one for each token.": When(
                lambda t: not all(isinstance(piece, str) for piece in t.given)
            ),
            "In {text!r} a � appears: bytes were shown before their character was "
            "whole. "
            "Hold them back until the next token.": When(
                lambda t: "\ufffd" in t.joined
            ),
            "Every entry holds the whole text so far; "
            "return only what the token adds.": lambda tokenizer, tokens: [
                tokenizer.decode(tokens[: i + 1]).replace("\ufffd", "")
                for i in range(len(tokens))
            ],
            "Spaces were lost: {joined!r}.": When(
                lambda t: (
                    t.joined.split(" ") != t.text.split(" ")
                    and t.joined.replace(" ", "") == t.text.replace(" ", "")
                )
            ),
            "{num_tokens} tokens went in and {num_texts} texts came out; a token that "
            'completes no character adds the empty text "".': When(
                lambda t: t.num_texts != t.num_tokens
            ),
            "Joined, the texts give {joined!r} instead of {text!r}.": When(
                lambda t: t.joined != t.text
            ),
            "The text is right, but some of it appears later than it could.": OTHERWISE,
        },
        praise="Every character appears once, whole, and with the token that completes "
        "it.",
    )


def _stream(tokenizer: Tokenizer, tokens: TokenIds) -> list[str]:
    stream = TextStream(tokenizer)
    return [stream.feed(int(token)) for token in tokens]


@ExerciseOn
def check_tokens_saved(tokenizer: Tokenizer) -> Exercise:
    """Judge how many tokens compact JSON of `ROUTINE` saves against `indent=4`."""
    indented, spaced = json.dumps(ROUTINE, indent=4), json.dumps(ROUTINE)
    compact = json.dumps(ROUTINE, separators=(",", ":"))
    texts = (indented, spaced, compact)
    num_indented, num_spaced, num_compact = (len(tokenizer.encode(x)) for x in texts)
    saved = num_indented - num_compact
    return Exercise(
        task="how many tokens are saved",
        right=saved,
        cases=[()],
        ask=lambda number: number,
        hints={
            "That counts characters; count tokens.": len(indented) - len(compact),
            "The sign is turned round: a saving is above 0.": -saved,
            "The compact one still has a space after each comma and colon; see "
            "`separators` of json.dumps.": num_indented - num_spaced,
            "That is the cost of the indented text alone; "
            "take the difference.": num_indented,
            "That is the cost of the compact text alone; "
            "take the difference.": num_compact,
            "That is not the difference; "
            "encode both texts and compare the lengths.": OTHERWISE,
        },
        praise=f"{num_indented} tokens against {num_compact}: "
        f"{saved / num_indented:.0%} of them were white space.",
    )
