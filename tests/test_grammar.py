"""A grammar is compiled when it is made, and says in a sentence what is wrong."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from llm_walkthrough.errors import InputError
from llm_walkthrough.grammar import (
    Grammar,
    json_schema,
    lark_grammar,
    regular_expression,
)

NUMBER = {"type": "integer"}


def test_equal_descriptions_are_equal_and_print_themselves() -> None:
    assert regular_expression("[0-9]+") == regular_expression("[0-9]+")
    assert regular_expression("a") != lark_grammar('start: "a"')
    printed = "Grammar(kind='regular expression', text='[0-9]+')"
    assert repr(regular_expression("[0-9]+")) == printed
    assert json_schema(NUMBER) == json_schema('{"type": "integer"}')
    assert json_schema("true") == json_schema({})


REFUSED: list[tuple[dict[str, Any] | str, str]] = [
    ({"type": "integer", "minimum": 5, "maximum": 3}, "Unsatisfiable.*mend the schema"),
    ({"enum": []}, "Unsatisfiable"),
    ({"type": "string", "minLength": 5, "maxLength": 2}, "Unsatisfiable"),
    ("false", "Unsatisfiable"),
    ("false\n", "Unsatisfiable"),
    ({"type": "integr"}, "Invalid type: integr"),
    ({"type": "array", "uniqueItems": True}, "uniqueItems.*mend the schema"),
    ({"$ref": "#/nowhere"}, "/nowhere"),
    ({"type": "string", "pattern": "[a"}, "unclosed character class"),
    ('{"type": ', "is not JSON"),
    ("", "is not JSON"),
    ("[1]", "must be an object or a boolean"),
    ({"enum": {1, 2}}, "dictionaries, lists, strings"),
]


def test_a_schema_that_cannot_be_followed_is_refused_with_the_reason() -> None:
    for schema, said in REFUSED:
        with pytest.raises(InputError, match=f"^[^\n]*{said}[^\n]*$"):
            json_schema(schema)


def test_a_pattern_or_grammar_that_makes_no_sense_is_refused() -> None:
    reasons = {"[": "unclosed character class", "(?!a)b": "look-around", "a{3": ""}
    for pattern, reason in reasons.items():
        with pytest.raises(InputError, match=f"{reason}.*mend the expression"):
            regular_expression(pattern)
    for text in ("start: nobody", "no colon {{", ""):
        with pytest.raises(InputError, match="it needs a rule named start"):
            lark_grammar(text)


SMALLEST = -(2**63)  # of 64 bits, at which llguidance 1.9.1 crashes


def test_a_grammar_that_crashes_the_library_crashes_nothing_else() -> None:
    crashing: list[dict[str, Any]] = [
        {"const": SMALLEST},
        {"enum": ["a", SMALLEST + 1]},
        {"anyOf": [{"type": "null"}, {"const": {"a": [SMALLEST]}}]},
    ]
    for schema in crashing:
        with pytest.raises(
            InputError, match=r"compiling it crashes\); mend the schema"
        ):
            json_schema(schema)
    assert json_schema({"const": SMALLEST + 1000}).kind == "JSON schema"


def test_a_grammar_that_never_ends_is_refused() -> None:
    for text in ("start: /a*/ start", "start: /(ab)+/ rest\nrest: /(ab)*/ rest"):
        with pytest.raises(InputError, match=r"forces more than 4,096 bytes in a row"):
            lark_grammar(text)


def test_a_description_without_measure_is_refused() -> None:
    with pytest.raises(InputError, match="it has more than 1,000,000 characters"):
        regular_expression("a" * 1_000_001)
    for deep in ('{"a": ' * 100_000, '{"not": ' * 500 + "{}" + "}" * 500):
        with pytest.raises(InputError, match="recursion"):
            json_schema(deep)
    nested: dict[str, Any] = {}
    for _ in range(100_000):
        nested = {"not": nested}
    with pytest.raises(InputError, match="recursion"):
        json_schema(nested)


def test_a_grammar_made_by_hand_is_checked_as_well() -> None:
    for text in ("{", "[1]"):
        with pytest.raises(InputError, match="mend the schema"):
            Grammar("JSON schema", text)


def test_a_long_description_is_shortened_in_an_error() -> None:
    with pytest.raises(InputError) as refused:
        regular_expression("a" * 500 + "[")
    assert len(str(refused.value)) < 300


def test_a_schema_may_ask_for_other_white_space_itself() -> None:
    dense = {**NUMBER, "x-guidance": {"key_separator": ":"}}
    assert json_schema(dense).compiled != json_schema(NUMBER).compiled


def test_without_llguidance_one_sentence_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(InputError, match="pip install llguidance"):
        Grammar("regular expression", "a")
