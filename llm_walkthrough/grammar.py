"""Descriptions of the texts that are allowed, refused if they cannot be followed.

A grammar is a JSON schema, a regular expression or a Lark grammar. It is compiled once
when it is made, by llguidance, so that one which makes no sense is refused before any
model is opened. Knows nothing of tokens: `constraints.matcher` does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any, Literal

from llm_walkthrough.errors import InputError

Kind = Literal["JSON schema", "regular expression", "Lark grammar"]

# As Python's json.dumps writes. Free white space would let a model write line breaks
# for ever, and would leave nothing to be forced.
JSON_STYLE = {
    "item_separator": ", ",
    "key_separator": ": ",
    "whitespace_flexible": False,
}
_SHOWN = 60  # characters of a description in an error: as much as fits a line
_WAYS_OUT = {
    "JSON schema": "mend the schema, or leave out the keyword that it names",
    "regular expression": "mend the expression; look-around and back-references are "
    "not supported",
    "Lark grammar": "mend the grammar; it needs a rule named start",
}


@dataclass(frozen=True)
class Grammar:
    """A description of the texts that are allowed.

    Raises:
        InputError: the description cannot be compiled or nothing satisfies it, or
            llguidance is not installed.
    """

    kind: Kind  # the language in which `text` is written
    text: str  # the description itself; a JSON schema as JSON

    def __post_init__(self) -> None:
        matcher = llguidance().LLMatcher
        try:
            is_wrong, messages = matcher.validate_grammar_with_warnings(self.compiled)
        except ValueError as error:  # a text that is not even JSON
            raise self.error(str(error)) from error
        if is_wrong:
            raise self.error(messages[0])

    @cached_property
    def compiled(self) -> str:
        """The description as llguidance takes it."""
        matcher = llguidance().LLMatcher
        if self.kind == "JSON schema":
            # llguidance refuses a style beside a schema that is no object
            style = None if self.text == "false" else JSON_STYLE
            return str(matcher.grammar_from_json_schema(self.text, defaults=style))
        if self.kind == "regular expression":
            return str(matcher.grammar_from_regex(self.text))
        return str(matcher.grammar_from_lark(self.text))

    def error(self, reason: str) -> InputError:
        """Return the error that says why this grammar cannot be followed."""
        shown = self.text if len(self.text) <= _SHOWN else f"{self.text[: _SHOWN - 1]}…"
        # of a parser's message what it says, and not its drawing of the place
        said = re.search(r"^error: (.+)$", reason, re.MULTILINE)
        why = said[1] if said else reason.strip().partition("\n")[0]
        trouble = f"the {self.kind} {shown!r} cannot be followed ({why})"
        return InputError(f"{trouble}; {_WAYS_OUT[self.kind]}")


def json_schema(schema: Mapping[str, Any] | str) -> Grammar:
    """Allow the JSON values that a schema, a dictionary or JSON text, describes.

    They are written as `json.dumps` does, on one line; the schema's own "x-guidance"
    may ask for other white space.

    >>> json_schema({"type": "boolean"})
    Grammar(kind='JSON schema', text='{"type": "boolean"}')

    Raises:
        InputError: not JSON, or as `Grammar`.
    """
    if not isinstance(schema, str):
        try:
            schema = json.dumps(schema)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"a JSON schema must be made of dictionaries, lists, strings and "
                f"numbers ({error}); mend it"
            ) from error
    try:
        read = json.loads(schema)
    except ValueError as error:
        raise InputError(
            f"the JSON schema {schema!r:.60} is not JSON ({error}); mend that place"
        ) from error
    if not isinstance(read, dict | bool):
        raise InputError(
            f"a JSON schema must be an object or a boolean, got {schema!r:.60}; "
            'write it as in {"type": "object"}'
        )
    # llguidance takes its style for objects only, and {} allows all that true does
    as_object = {"true": "{}", "false": "false"}
    return Grammar("JSON schema", as_object.get(schema.strip(), schema))


def regular_expression(pattern: str) -> Grammar:
    """Allow the texts that match the whole pattern; errors as `Grammar`.

    >>> regular_expression("yes|no").kind
    'regular expression'
    """
    return Grammar("regular expression", pattern)


def lark_grammar(text: str) -> Grammar:
    """Allow the texts that the rule `start` of a Lark grammar makes; errors likewise.

    >>> balanced = lark_grammar('start: "x" | "(" start ")"')  # x, (x), ((x)), …
    """
    return Grammar("Lark grammar", text)


def llguidance() -> Any:  # noqa: ANN401 - a module
    """Return the library that follows grammars; it is loaded when first needed.

    Raises:
        InputError: it is not installed.
    """
    try:
        return import_module("llguidance")
    except ImportError as error:
        raise InputError(
            f"a grammar needs llguidance, which cannot be loaded ({error}); run "
            "`python3 run.py`, or `pip install llguidance`"
        ) from error
