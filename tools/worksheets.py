"""Worksheets for pen and paper, one for each notebook, and their solutions.

`python3 run.py worksheets` writes them into worksheets/: pages that print on one sheet
each, A4 or Letter. What a sheet asks stands in docs/worksheets/; what it says of the
model comes from a run. Knows nothing of the tasks themselves.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from llm_walkthrough import mending, sampling
from llm_walkthrough.classroom import REQUEST, Lesson, open_lesson
from llm_walkthrough.constraints.matcher import GrammarVocabulary
from llm_walkthrough.grammar import Grammar, json_schema, regular_expression
from llm_walkthrough.inside import Inside, Look
from llm_walkthrough.machine import facts, judgements
from llm_walkthrough.stepper import EndTokens, Stepper
from llm_walkthrough.structured_output import GrammarMask
from llm_walkthrough.tokenizer import StopText, TextStream
from llm_walkthrough.views import byte_count

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "docs" / "worksheets"


def chat(lesson: Lesson, request: str = REQUEST) -> str:
    """Write a request in the form of a chat."""
    return lesson.tokenizer.chat([{"role": "user", "content": request}])


def pieces(lesson: Lesson, text: str) -> list[str]:
    """Cut a text into tokens."""
    return [lesson.tokenizer.piece(int(t)) for t in lesson.tokenizer.encode(text)]


@cache
def rows(lesson: Lesson, text: str) -> np.ndarray:
    """Run a text."""
    tokens, cache = lesson.tokenizer.encode(text), lesson.model.new_grown_cache()
    return lesson.model.run(tokens, cache)[0]


def candidates(
    lesson: Lesson, text: str, count: int, position: int = -1
) -> list[SimpleNamespace]:
    """List the likeliest tokens after a position of a text, best first."""
    logits = rows(lesson, text)[position]
    p = sampling.softmax(logits)
    return [
        SimpleNamespace(piece=lesson.tokenizer.piece(t), logit=logits[t], share=p[t])
        for t in sampling.likeliest_first(p)[:count].tolist()
    ]


@cache
def decoded(  # noqa: PLR0913 - the lesson is bound, so five are left
    lesson: Lesson,
    text: str,
    count: int,
    *,
    room: int | None = None,
    stop: str = "",
    grammar: Grammar | None = None,
) -> Stepper:
    """Write so many tokens greedily, if nothing stops the loop before."""
    model, tokens = lesson.model, lesson.tokenizer.encode(text)
    row: list[sampling.Processor] = [sampling.TopK(1)]
    if grammar:
        row.insert(0, GrammarMask(grammar, vocabulary(lesson), len(tokens)))
    stepper = Stepper(model, tokens, processors=row, cache=model.new_cache(room))
    rules: dict[str, Any] = {"end token": EndTokens(model.graph.end_tokens)}
    rules |= {"stop text": StopText(lesson.tokenizer, (stop,))} if stop else {}
    list(stepper.run(count, rules))
    return stepper


def shapes(lesson: Lesson, past: int, new: int) -> dict[str, list[int]]:
    """Give the shape of each port of a run, by its name."""
    lengths = {"batch": 1, "sequence": new, "past_sequence": past}
    lengths |= {"total_sequence": past + new}
    ports = (*lesson.model.graph.inputs, *lesson.model.graph.outputs)
    return {p.name: [int(lengths.get(str(n), n)) for n in p.shape] for p in ports}


@cache
def vocabulary(lesson: Lesson) -> GrammarVocabulary:
    """Return the tokens as a grammar sees them."""
    graph = lesson.model.graph
    return GrammarVocabulary(lesson.tokenizer, graph.vocab, graph.end_tokens)


def may_come(lesson: Lesson, grammar: Grammar, text: str, piece: str) -> bool:
    """Tell whether a token may come after a text that follows a grammar."""
    mask = GrammarMask(grammar, vocabulary(lesson), 0)
    (token,) = lesson.tokenizer.encode(piece)
    logits = np.zeros(lesson.model.vocab, np.float32)
    return bool(mask(logits, lesson.tokenizer.encode(text))[token] == 0)


@cache
def inside(lesson: Lesson) -> Inside:
    """Open the model so that one can look inside."""
    return Inside(lesson.model, is_exact=False)


@cache
def look(lesson: Lesson, text: str) -> Look:
    """Run a text, and keep what it left inside."""
    return inside(lesson).look(lesson.tokenizer.encode(text))


ASKED = (chat, pieces, candidates, decoded, shapes, may_come, inside, look)
USED: tuple[Any, ...] = (
    *(np, zip, sampling, mending, facts, judgements, json_schema, regular_expression),
    *(Stepper, TextStream, byte_count),
)


def asked_of(lesson: Lesson) -> dict[str, Any]:
    """Return all that a sheet can use, by its name."""
    return {
        **{one.__name__.rpartition(".")[2]: one for one in USED},
        **{one.__name__: partial(one, lesson) for one in ASKED},
        "model": lesson.model,
        "graph": lesson.model.graph,
        "tokenizer": lesson.tokenizer,
        "source": lesson.folder.name,
        "int4_cost": json.loads((ROOT / "docs" / "int4_cost.json").read_text("utf-8")),
    }


def escaped(value: object) -> Markup:
    """Write a value so that neither Markdown nor HTML reads marks into it."""
    if isinstance(value, Markup):
        return value
    marks = (c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in str(value))
    return Markup("").join(map(Markup, marks))


def written(
    source: Path, asked: Mapping[str, Any], *, is_solved: bool, above: str = ""
) -> str:
    """Return the page of a sheet, with room for the answers or with the answers.

    `above` is the address of a page that lists all sheets.
    """
    sheets = Environment(
        loader=FileSystemLoader([source.parent, SOURCES]),
        autoescape=True,
        finalize=escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sheets.filters["comma"] = "{:,}".format
    sheets.filters["percent"] = lambda share: f"{100 * share:.0f} %"
    sheets.filters["code"] = lambda text: Markup("<code>{}</code>").format(
        escaped(text)
    )
    sheets.globals |= {**asked, "is_solved": is_solved}
    heading, _, text = sheets.get_template(source.name).render().partition("\n")
    body = MarkdownIt().enable("table").render(text)
    body = body.replace("<th></th>", "<td></td>")  # a corner heads nothing
    told = {"title": heading.strip("# "), "body": body, "name": source.stem}
    return sheets.get_template("sheet.html").render(told, above=above)


def write_all(folder: Path, above: str = "") -> list[Path]:
    """Write each sheet and its solution into a folder, which is made; return them."""
    asked = asked_of(open_lesson("float32"))
    folder.mkdir(parents=True, exist_ok=True)
    pages = []
    for source in sorted(SOURCES.glob("*.md")):
        for ending, is_solved in (("", False), ("_solution", True)):
            pages.append(folder / f"{source.stem}{ending}.html")
            page = written(source, asked, is_solved=is_solved, above=above)
            pages[-1].write_text(page, "utf-8")
    return pages


if __name__ == "__main__":
    ArgumentParser("worksheets", description=__doc__.partition("\n")[0]).parse_args()
    *_, last = write_all(ROOT / "worksheets")
    sys.stdout.write(f"The pages are in {last.parent}: open and print them.\n")
