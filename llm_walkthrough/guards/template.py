"""A chat template as the jinja2 program that it is, run in jinja2's sandbox.

The sandbox bounds its reach, `trial` its cost. Knows nothing of where it comes from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import Environment, Template, nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llm_walkthrough.errors import InputError

MOST_CHARACTERS = 10_000_000  # of a conversation: more than any context holds


def rendered(
    program: str, messages: Sequence[Mapping[str, str]], names: Mapping[str, object]
) -> str:
    """Run a template in its sandbox: InputError for abuse, else whatever it raises."""
    # templates ask `tools is not none`, which an undefined name would pass
    template, none = _compiled(program), {"tools": None, "documents": None}
    try:
        text = template.render(messages=messages, **none, **names)
    except SecurityError as error:
        raise InputError(f"reaches outside its sandbox ({error})") from error
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"writes more than {MOST_CHARACTERS:,} characters")
    return text


class _GenerationBlock(Extension):
    """`{% generation %}` marks what to train on; for inference it has no effect."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@lru_cache(maxsize=8)
def _compiled(program: str) -> Template:
    # The settings and names that templates on the Hugging Face hub are written for.
    sandbox = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", _GenerationBlock],
    )
    sandbox.filters["tojson"] = _to_json  # jinja2's own writes "<" as "\u003c"
    sandbox.globals["raise_exception"] = _raise_exception
    sandbox.globals["strftime_now"] = _strftime_now
    return sandbox.from_string(program)


def _to_json(value: object, **form: Any) -> str:  # noqa: ANN401 - as `dumps` has it
    return json.dumps(value, **{"ensure_ascii": False, **form})


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)
