"""From any state of a grammar an end is found, and it is one."""

from __future__ import annotations

from typing import Any

import pytest
from tiny_vocabulary import VOCABULARY, after, along

from llm_walkthrough.constraints.completion import Spot, completion, fast_completion
from llm_walkthrough.grammar import (
    Grammar,
    json_schema,
    lark_grammar,
    regular_expression,
)

LINKED: dict[str, Any] = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "next"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}
GRAMMARS = {
    "any JSON": json_schema({}),
    "string": json_schema({"type": "string", "minLength": 3}),
    "list": json_schema({"type": "array", "items": {"type": "string"}}),
    "linked": json_schema(LINKED),
    "above zero": json_schema({"type": "number", "exclusiveMinimum": 0}),
    "address": regular_expression(r"[a-z]+@[a-z]+\.com"),
    "choice": lark_grammar('start: "x" | "(" start ")"'),
}


@pytest.mark.parametrize("grammar", GRAMMARS.values(), ids=GRAMMARS)
def test_an_end_is_found_and_it_completes_the_text(grammar: Grammar) -> None:
    state = VOCABULARY.start(grammar)
    tokens = completion(state, 60)
    assert tokens is not None
    assert state.is_completed_by(tokens)
    assert not state.is_completed_by(tokens[:-1])
    assert completion(state, len(tokens)) == tokens


def test_an_end_is_found_from_the_middle_of_a_text() -> None:
    start = VOCABULARY.start(GRAMMARS["linked"])
    state = along(start, b'{"value": 12, "next": {"value": -')
    tokens = fast_completion(state, 60)
    assert tokens is not None
    assert state.is_completed_by(tokens)


def test_a_complete_text_needs_nothing_and_a_low_limit_leaves_nothing() -> None:
    assert completion(VOCABULARY.start(regular_expression("a*")), 0) == ()
    state = VOCABULARY.start(regular_expression("x{9}"))
    assert completion(state, 8) is None
    assert completion(state, 9) is not None


def test_a_second_choice_is_tried_where_the_first_one_leads_nowhere() -> None:
    state = VOCABULARY.start(regular_expression("[.a]*xy|qr"))
    assert fast_completion(state, 12) is None
    assert completion(state, 12) is not None


@pytest.mark.parametrize("pattern", [r"(?s:.+)\.", r"(?s:.*)\n\n", r"[ -~]+!"])
def test_a_text_that_only_one_sign_ends_is_ended_by_it(pattern: str) -> None:
    state = VOCABULARY.start(regular_expression(pattern))
    tokens = fast_completion(state, 60)
    assert tokens is not None
    assert len(set(tokens)) == 1
    assert state.is_completed_by(tokens)
    letter = VOCABULARY.spelled.index(b"a")
    following = after(state, letter)
    assert Spot(state, None).ending_after(letter, following, 3) is not None


def test_an_ending_is_kept_as_long_as_it_fits() -> None:
    state = VOCABULARY.start(GRAMMARS["linked"])
    ending = completion(state, 60)
    assert ending is not None
    following = after(state, ending[0])
    assert Spot(state, ending).ending_after(ending[0], following, 60) == ending[1:]


def test_no_ending_is_known_after_a_token_that_leaves_too_little_room() -> None:
    state = VOCABULARY.start(regular_expression("a|bcdcdcdcd"))
    spot = Spot(state, completion(state, 20))
    spelled = VOCABULARY.spelled.index
    assert spot.can_end_after(spelled(b"b"), 10)
    assert not spot.can_end_after(spelled(b"b"), 8)
    assert spot.can_end_after(spelled(b"a"), 8)
    assert not spot.can_end_after(spelled(b"x"), 10)
