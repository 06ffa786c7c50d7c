"""Exercises of notebook 02: the chat text, the stream, the tokens saved.

References come from the tokenizer that is handed in. Knows nothing of models.
"""

from __future__ import annotations

import json
from functools import partial
from os.path import commonprefix
from typing import Any

from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.exercises.exercise import Exercise, ExerciseOn, texts_of
from llm_walkthrough.exercises.when import Attempt, When
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
_BROKEN = "\ufffd"  # what the bytes of a character look like until it is whole


@ExerciseOn
def check_chat(tokenizer: Tokenizer) -> Exercise:
    """Judge a function from messages to the text that the chat template writes."""
    turns = partial(tokenizer.chat, add_generation_prompt=False)
    return Exercise(
        texts_of("tokenizer.chat"),
        right=tokenizer.chat,
        cases=[(_CHAT[:2],), (_CHAT,)],
        also=_first_chat_difference,
        hints={
            "is_no_text": When(lambda t: not isinstance(t.given, str)),
            "has_other_white_space": When(
                lambda t: "".join(t.given.split()) == "".join(t.right.split())
            ),
            "asks_for_no_answer": [turns, lambda messages: turns(messages).rstrip()],
            "misses_a_part": When(lambda t: t.key),
            "has_other_marks": When(lambda t: t.token),
        },
    )


def _first_chat_difference(t: Attempt) -> dict[str, Any]:
    text = t.given if isinstance(t.given, str) else ""
    parts = [(k, message[k]) for message in t.messages for k in ("role", "content")]
    missing = [(key, value) for key, value in parts if value not in text]
    marks = ("<|im_start|>", "<|im_end|>")
    miscounted = [x for x in marks if text.count(x) != t.right.count(x)]
    key, value = (*missing, ("", ""))[0]
    token = (*miscounted, "")[0]
    return {
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
        texts_of("tokenizer.stream"),
        right=_stream,
        cases=[(tokenizer, tokenizer.encode(text)) for text in _STREAMED],
        also=lambda t: {"text": "".join(t.right), "joined": "".join(t.given)},
        hints={
            "is_no_list_of_texts": When(
                lambda t: not all(isinstance(piece, str) for piece in t.given)
            ),
            "shows_broken_ones": When(lambda t: _BROKEN in t.joined),
            "repeats_all_so_far": lambda tokenizer, tokens: [
                tokenizer.decode(tokens[: i + 1]).replace(_BROKEN, "")
                for i in range(len(tokens))
            ],
            "loses_spaces": When(
                lambda t: (
                    t.joined != t.text
                    and t.joined.replace(" ", "") == t.text.replace(" ", "")
                )
            ),
            "has_another_length": When(lambda t: t.num_given != t.num_right),
            "joins_badly": When(lambda t: t.joined != t.text),
        },
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
        texts_of("tokenizer.tokens_saved"),
        right=saved,
        also=lambda _: {
            "num_indented": num_indented,
            "num_compact": num_compact,
            "share": saved / num_indented,
        },
        hints={
            "counts_characters": len(indented) - len(compact),
            "is_below_0": -saved,
            "keeps_spaces": num_indented - num_spaced,
            "counts_indented_only": num_indented,
            "counts_compact_only": num_compact,
        },
    )
