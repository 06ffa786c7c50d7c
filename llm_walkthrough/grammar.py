"""Descriptions of the texts that are allowed, refused if they cannot be followed.

A JSON schema, a regular expression or a Lark grammar, compiled by llguidance before any
model is opened. Knows nothing of tokens: `constraints.matcher` does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from reprlib import repr as shortened
from typing import Any, Literal

from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.trial import TrialError, tried

Kind = Literal["JSON schema", "regular expression", "Lark grammar"]

# As Python's json.dumps writes. Free white space would let a model write line breaks
# for ever, and would leave nothing to be forced.
_SEPARATORS = {"item_separator": ", ", "key_separator": ": "}
JSON_STYLE = {**_SEPARATORS, "whitespace_flexible": False}
MOST_CHARACTERS = 1_000_000  # of a description; such a schema takes seconds already
MOST_FORCED = 4096  # tokens or bytes in a row; a grammar that forces more never ends
_SHOWN = 60  # characters of a description in an error: as much as fits a line
_WAYS_OUT = {
    "JSON schema": "mend the schema, or leave out the keyword that it names",
    "regular expression": "mend the expression; look-around and back-references are "
    "not supported",
    "Lark grammar": "mend the grammar; it needs a rule named start",
}


@dataclass(frozen=True)
class Grammar:
    """A description of the texts that are allowed; InputError if none can follow it."""

    kind: Kind  # the language in which `text` is written
    text: str  # the description itself; a JSON schema as JSON

    def __post_init__(self) -> None:
        llguidance()  # or say that it is not installed
        if len(self.text) > MOST_CHARACTERS:
            raise self.error(f"it has more than {MOST_CHARACTERS:,} characters")
        try:
            _ = self.compiled
        except TrialError as error:
            raise self.error(f"compiling it {error}") from error
        except ValueError as error:
            raise self.error(str(error)) from error

    @property
    def compiled(self) -> str:
        """The description as llguidance takes it."""
        return _tried(self.kind, self.text)

    def error(self, reason: str) -> InputError:
        """Return the error that says why this grammar cannot be followed."""
        shown = self.text if len(self.text) <= _SHOWN else f"{self.text[: _SHOWN - 1]}…"
        # of a parser's message what it says, and not its drawing of the place
        said = re.search(r"^error: (.+)$", reason, re.MULTILINE)
        why = said[1] if said else reason.strip().partition("\n")[0]
        trouble = f"the {self.kind} {shown!r} cannot be followed ({why})"
        return InputError(f"{trouble}; {_WAYS_OUT[self.kind]}")


@lru_cache(maxsize=64)
def _tried(kind: Kind, text: str) -> str:
    # llguidance 1.9.1 crashes on integers near -2**63, and takes its process along
    return tried(f"{__name__}:compiled_text", kind, text)


def compiled_text(kind: Kind, text: str) -> str:
    """Compile a description, and look which bytes may come first; or a ValueError."""
    matcher = llguidance().LLMatcher
    if kind == "JSON schema":
        # llguidance refuses a style beside a schema that is no object
        style = None if text == "false" else JSON_STYLE
        compiled = str(matcher.grammar_from_json_schema(text, defaults=style))
    elif kind == "regular expression":
        compiled = str(matcher.grammar_from_regex(text))
    else:
        compiled = str(matcher.grammar_from_lark(text))
    is_wrong, messages = matcher.validate_grammar_with_warnings(compiled)
    if is_wrong:
        raise ValueError(messages[0])
    matcher = bytewise(compiled)
    require_an_end(matcher)
    matcher.compute_bitmask()
    return compiled


def bytewise(compiled: str) -> Any:  # noqa: ANN401 - an LLMatcher
    """Return a matcher for which each byte is a token."""
    guidance = llguidance()
    return guidance.LLMatcher(guidance.LLTokenizer("byte"), compiled, log_level=0)


def require_an_end(matcher: Any) -> None:  # noqa: ANN401 - an LLMatcher
    """Refuse a `bytewise` state from which each byte forces the next one for ever.

    llguidance 1.9.1 would follow them for ever where one regular expression goes on, as
    in `start: /a*/ start`: asked for a mask, it never answers, and is deaf to Ctrl-C.
    """
    after = matcher.deep_copy()
    for _ in range(MOST_FORCED):
        possible = (byte for byte in range(256) if after.validate_tokens([byte]))
        forced, is_free = next(possible, None), next(possible, None) is not None
        if forced is None or is_free or after.is_accepting():
            return
        after.try_consume_tokens([forced])
    raise never_ends("bytes")


def never_ends(unit: str) -> InputError:
    """Return the error that says that a grammar forces too much."""
    what = f"the grammar forces more than {MOST_FORCED:,} {unit} in a row"
    return InputError(f"{what}; mend the rule that never ends")


def json_schema(schema: Mapping[str, Any] | str) -> Grammar:
    """Allow the JSON values that a schema, a dictionary or JSON text, describes.

    They are written as `json.dumps` does, on one line; the schema's own "x-guidance"
    may ask for other white space. Errors as `Grammar`, also for what is no JSON.

    >>> json_schema({"type": "boolean"})
    Grammar(kind='JSON schema', text='{"type": "boolean"}')
    """
    try:
        text = schema if isinstance(schema, str) else json.dumps(schema)
        read = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:  # too many "[" recurse
        what = f"the JSON schema {shortened(schema)} is not JSON ({error})"
        way_out = "make it of dictionaries, lists, strings and numbers"
        raise InputError(f"{what}; {way_out}") from error
    if not isinstance(read, dict | bool):
        what = f"a JSON schema must be an object or a boolean, got {text!r:.60}"
        raise InputError(what + '; write it as in {"type": "object"}')
    # llguidance takes its style for objects only, and {} allows all that true does
    as_object = {"true": "{}", "false": "false"}
    return Grammar("JSON schema", as_object.get(text.strip(), text))


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
    """Return the library that follows grammars; it is loaded when first needed."""
    try:
        return import_module("llguidance")
    except ImportError as error:
        what = f"a grammar needs llguidance, which cannot be loaded ({error})"
        way_out = "run `python3 run.py`, or `pip install llguidance`"
        raise InputError(f"{what}; {way_out}") from error
