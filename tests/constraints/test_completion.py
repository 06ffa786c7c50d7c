"""From any place of a grammar an end is found, and it is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tiny_vocabulary import tiny_vocabulary

from llm_walkthrough.constraints.completion import Spot, completion, straight_completion
from llm_walkthrough.grammar import json_schema, lark_grammar, regular_expression

if TYPE_CHECKING:
    from llm_walkthrough.constraints.matcher import GrammarVocabulary
    from llm_walkthrough.grammar import Grammar

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


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> GrammarVocabulary:
    return tiny_vocabulary(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("grammar", GRAMMARS.values(), ids=GRAMMARS)
def test_an_end_is_found_and_it_completes_the_text(
    vocabulary: GrammarVocabulary, grammar: Grammar
) -> None:
    place = vocabulary.start(grammar)
    tokens = completion(place, 60)
    assert tokens is not None
    assert place.is_completed_by(tokens)
    assert not place.is_completed_by(tokens[:-1])
    assert completion(place, len(tokens)) == tokens


def test_an_end_is_found_from_the_middle_of_a_text(
    vocabulary: GrammarVocabulary,
) -> None:
    place = vocabulary.start(GRAMMARS["linked"])
    for byte in b'{"value": 12, "next": {"value": -':
        following = place.after(vocabulary.spelled.index(bytes([byte])))
        assert following is not None
        place = following
    tokens = straight_completion(place, 60)
    assert tokens is not None
    assert place.is_completed_by(tokens)


def test_a_complete_text_needs_nothing(vocabulary: GrammarVocabulary) -> None:
    place = vocabulary.start(regular_expression("a*"))
    assert completion(place, 0) == ()


def test_nothing_is_found_within_a_limit_that_is_too_low(
    vocabulary: GrammarVocabulary,
) -> None:
    place = vocabulary.start(regular_expression("x{9}"))
    assert completion(place, 8) is None
    assert completion(place, 9) is not None


def test_a_second_choice_is_tried_where_the_first_one_leads_nowhere(
    vocabulary: GrammarVocabulary,
) -> None:
    place = vocabulary.start(regular_expression("[.a]*x(yz)?|q"))
    assert straight_completion(place, 12) is None
    assert completion(place, 12) is not None


@pytest.mark.parametrize("pattern", [r"(?s:.+)\.", r"(?s:.*)\n\n", r"[ -~]+!"])
def test_a_text_that_only_one_sign_ends_is_ended_by_it(
    vocabulary: GrammarVocabulary, pattern: str
) -> None:
    place = vocabulary.start(regular_expression(pattern))
    assert straight_completion(place, 60) is None
    tokens = completion(place, 60)
    assert tokens is not None
    assert place.is_completed_by(tokens)
    letter = vocabulary.spelled.index(b"a")
    following = place.after(letter)
    assert following is not None
    assert Spot(place, None).home_after(letter, following, 3) is not None


def test_a_way_to_the_end_is_kept_as_long_as_it_fits(
    vocabulary: GrammarVocabulary,
) -> None:
    place = vocabulary.start(GRAMMARS["linked"])
    home = completion(place, 60)
    assert home is not None
    spot = Spot(place, home)
    following = place.after(home[0])
    assert following is not None
    assert spot.home_after(home[0], following, 60) == home[1:]


def test_no_way_is_known_after_a_token_that_leaves_too_little_room(
    vocabulary: GrammarVocabulary,
) -> None:
    place = vocabulary.start(regular_expression("a|bcdcdcdcd"))
    spot = Spot(place, completion(place, 20))
    spelled = vocabulary.spelled.index
    assert spot.can_end_after(spelled(b"b"), 10)
    assert not spot.can_end_after(spelled(b"b"), 8)
    assert spot.can_end_after(spelled(b"a"), 8)
    assert not spot.can_end_after(spelled(b"x"), 10)
