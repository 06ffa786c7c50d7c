"""The commands of the command line: each a function from options to exit status.

Knows nothing of how options are written (`cli`). Each loads only what it needs: `ask`
must start fast, and `doctor` must run where half of the packages are missing. Each
raises `InputError` where an option, a model or a file cannot be used.
"""
# ruff: noqa: PLC0415 - imports inside functions are the point, as said above

from __future__ import annotations

import contextlib
import json
import os
import runpy
import sys
from argparse import Namespace
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_walkthrough import catalogue
from llm_walkthrough.command_line import terminal
from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.small_file import from_home, is_there

if TYPE_CHECKING:
    from llm_walkthrough.answer import Answer, Settings
    from llm_walkthrough.arrays import TokenIds
    from llm_walkthrough.grammar import Grammar
    from llm_walkthrough.model import Model
    from llm_walkthrough.tokenizer import Tokenizer

# exit statuses; a shell reports 128 + the number of the signal that ended a program
OK, PROBLEM, BAD_INPUT, INTERRUPTED, READER_GONE = 0, 1, 2, 130, 141

SECONDS_TO_END = 2  # a step takes a tenth of them, a long prompt may take a minute


def doctor(options: Namespace) -> int:
    """Show whether this machine is ready; PROBLEM if something will not work."""
    leave = partial(os._exit, INTERRUPTED)  # a library makes another error of Ctrl-C
    with terminal.first_ctrl_c(leave):
        from llm_walkthrough.environment import check, to_text

        rows = check()
    _write([asdict(row) for row in rows] if options.json else to_text(rows))
    return OK if all(row.is_ok for row in rows) else PROBLEM


def hand_over(word: str, *arguments: str) -> int:
    """Run what stands beside the package, by the table of the clone's run.py."""
    clone = Path(__file__).resolve().parents[2]
    if not (clone / "run.py").is_file():
        what = f"`{word}` comes with a clone of the repository, and this package was"
        way_out = f"run `python3 run.py {word}` in a clone"
        raise InputError(f"{what} installed without one: {way_out}")
    sys.path.insert(0, str(clone))
    sys.argv = [word, *arguments]
    module = import_module("run").BESIDE_THE_PACKAGE.get(word, f"tools.{word}")
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return OK


def models_list(options: Namespace) -> int:
    """Show which models can be fetched by name, and which are there."""
    from llm_walkthrough.views import Table

    records, rows, uses = [], [], {}
    for one in catalogue.listed():
        entry, memory, trouble = one.entry, one.memory, one.trouble()
        facts = {"name": one.name, "variant": one.variant, "memory_bytes": memory}
        place = {"folder": str(one.folder), "is_ready": not trouble}
        records.append(asdict(entry) | facts | place)
        size = f"{entry.parameters / 1e6:,.0f} M"
        costs = (f"{cost / 1e9:.1f} GB" for cost in (entry.download_bytes, memory))
        state = (trouble or "ready") if is_there(one.folder) else "not fetched"
        name = f"{entry.short_name}-{one.variant}"
        rows.append((name, size, *costs, entry.licence, state))
        uses[entry.short_name] = entry.good_for
    columns = ("model", "parameters", "download", "memory", "licence", "state")
    own = [one for one in catalogue.here() if one not in catalogue.listed()]
    rows += [(one.name, *"————", one.trouble() or "ready") for one in own]
    models = Table(columns, rows, "Memory: about, with a cache of 4,096 tokens.")
    good_for = Table(("model", "good for"), [*uses.items()])
    _write(records if options.json else f"{models!r}\n\n{good_for!r}")
    return OK


def models_fetch(options: Namespace) -> int:
    """Fetch models, and write the folder of each; errors as `catalogue.fetch`."""
    for name in options.names or [catalogue.entries()[0].name]:
        try:
            with terminal.progress() as show:
                folder = catalogue.fetch(name, show, **_given(options, "revision"))
        except KeyboardInterrupt:
            terminal.note("stopped; what came so far is kept for the same command")
            raise
        _write(str(folder))
    return OK


def models_convert(options: Namespace) -> int:
    """Convert a GGUF file, and write the folder; errors as `convert.convert`."""
    from llm_walkthrough.conversion.convert import convert

    file, variant = options.file, options.variant
    usual = catalogue.models_folder() / f"{file.stem}-{variant}"
    folder = Path(getattr(options, "folder", usual))
    with terminal.progress() as show:
        tell = partial(show, f"converting {file.name} to {variant}")
        convert(file, folder, variant=variant, progress=tell)
    _write(str(folder))
    return OK


def models_check(options: Namespace) -> int:
    """Read every byte of the models that are there; PROBLEM if one is damaged."""
    from llm_walkthrough.views import Table

    known = {one.name: one for one in catalogue.here()}
    meant = [known.get(name) or catalogue.named(name) for name in options.names]
    folders = {one.folder: one for one in meant or known.values()}  # each once
    there = [one for folder, one in folders.items() if is_there(folder)]
    found = {one.folder.name: one.trouble(anew=True) for one in there}
    if not found:
        what = f"none of these models is in {catalogue.models_folder()}"
        raise InputError(f"{what}; run `llm-walkthrough models fetch`")
    rows = [(name, wrong or "every file is unchanged") for name, wrong in found.items()]
    _write(repr(Table(("model", "state"), rows)))
    for name in (name for name, wrong in found.items() if wrong):
        is_own = not (name in catalogue.choices() or "--" in name)
        again = f"convert FILE.gguf {known[name].folder}" if is_own else f"fetch {name}"
        terminal.note(f"run `llm-walkthrough models {again}`")
    return PROBLEM if any(found.values()) else OK


def models_pack(options: Namespace) -> int:
    """Make packed copies, and write the folder of each; errors as `packing.pack`."""
    from llm_walkthrough.graph import read_graph
    from llm_walkthrough.packing import pack

    names = options.names or [one.name for one in catalogue.here()]
    for name in names or [None]:  # the default, of which it is said that it is missing
        _write(str(pack(read_graph(catalogue.find(name))).parent))
    return OK


def models_inspect(options: Namespace) -> int:
    """Tell what a model's files say; PROBLEM if it cannot run here."""
    from llm_walkthrough.preflight import inspect

    path = from_home(options.path)
    if not is_there(path):
        # it may have a fault, which is to be shown
        path = catalogue.named(options.path).folder
    if not is_there(path):
        path = catalogue.find(options.path)
    card = inspect(path)
    _write(vars(card) if options.json else repr(card))
    return PROBLEM if card.faults else OK


def models_where(options: Namespace) -> int:
    """Write where a model lies, or where all of them do; errors as `catalogue.find`."""
    is_named = "name" in options
    _write(str(catalogue.find(options.name) if is_named else catalogue.models_folder()))
    return OK


def ask(options: Namespace) -> int:
    """Answer one prompt, figures to standard error; PROBLEM if it is no answer."""
    from llm_walkthrough.guards.trial import prepare
    from llm_walkthrough.model_files.chat_template import RENDERER

    if _given(options, "json_schema", "regex", "lark"):
        prepare("llguidance", RENDERER)
    from llm_walkthrough import answer as answering  # takes a while

    text, settings = _prompt_text(options), _settings(options)
    model, tokenizer, prompt = _loaded(options, text)
    answer = answering.Answer(model, tokenizer, prompt, settings)
    if "model" not in options and not options.json:
        _introduce()
    _make(answer, shows=not options.json)
    if options.json:
        answer.require_whole()  # before anything is written: half of it would not parse
        _write(_record(answer, tokenizer, model.graph.path.parent))
    else:
        terminal.write("" if answer.text.endswith("\n") else "\n")
        terminal.note(str(answer.figures))
        answer.require_whole()
    if fault := answer.fault():
        way_out = "see whether the model is damaged with `llm-walkthrough models check`"
        terminal.note(f"this is no answer: {fault}; ask in other words, or {way_out}")
        return PROBLEM
    return INTERRUPTED if answer.figures.stop_reason == answering.INTERRUPTED else OK


def _introduce() -> None:
    """Tell once on each machine what the default model is, and what it is not."""
    if catalogue.INTRODUCED.exists():
        return
    model = catalogue.entries()[0]
    size = f"{model.parameters / 1e6:.0f} million parameters: fluent, but often wrong."
    way = "`llm-walkthrough models list` and `llm-walkthrough models fetch NAME`."
    what = f"This answer is from {model.title}, a toy with {size}"
    terminal.note(f"{what} For another model see {way}")
    with contextlib.suppress(OSError):  # where nothing can be kept, it is told again
        catalogue.INTRODUCED.parent.mkdir(parents=True, exist_ok=True)
        catalogue.INTRODUCED.touch()


def step(options: Namespace) -> int:
    """Show the step panel in the browser until Ctrl-C ends it."""
    import webbrowser
    from threading import Thread

    from llm_walkthrough.classroom import REQUEST
    from llm_walkthrough.panel.board import Board
    from llm_walkthrough.panel.server import BoardServer
    from llm_walkthrough.panel.step.page import page, twin
    from llm_walkthrough.panel.step.walk import Desk, Walk

    text = _prompt_text(options) if options.prompt else REQUEST
    settings = _settings(options)
    loaded = _loaded(options, text)
    desk = Desk(sampling=settings.sampling, seed=settings.seed)
    graph = loaded[0].graph
    title = graph.path.parent.name
    walk = Walk(*loaded, desk, title=title, end_tokens=graph.end_tokens)
    board = Board(walk, page, twin, walk.tokenizer)
    with BoardServer(board, **_given(options, "port")) as server:
        terminal.write(f"The step panel is at {server.address}\n")
        terminal.note("Open this address if no browser does; Ctrl-C ends the program.")
        if not options.no_browser:  # one in the terminal would wait for us
            Thread(target=webbrowser.open, args=[server.address], daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt):  # the way to end it
            server.serve_forever()
        with contextlib.suppress(KeyboardInterrupt):  # a second one waits no longer
            # for good: a step in flight ends first, and none begins
            if board.lock.acquire(timeout=SECONDS_TO_END):
                return OK
    sys.stdout.flush()
    os._exit(OK)  # it still reads a long text, and would abort in a regular end


def _loaded(options: Namespace, text: str) -> tuple[Model, Tokenizer, TokenIds]:
    """Open the model, and split what it is asked into tokens."""
    from llm_walkthrough import answer as answering
    from llm_walkthrough.machine.providers import placement
    from llm_walkthrough.preflight import memory_warning

    path = catalogue.find(getattr(options, "model", None))
    if warning := memory_warning(path, **_given(options, "file")):
        terminal.note(warning)
    opening = _given(options, "threads", "file", "provider")
    model, tokenizer = answering.load(path, **opening)
    if "provider" in options:
        terminal.note(f"nodes of the graph: {placement(model.session)}")
    for limit in model.notes:
        terminal.note(f"{model.graph.path.name}: {limit}")
    if options.raw:
        return model, tokenizer, tokenizer.encode_raw(text)
    text = answering.chat_prompt(tokenizer, text, **_given(options, "system"))
    return model, tokenizer, tokenizer.encode(text)


def _make(answer: Answer, *, shows: bool) -> None:
    """Make the answer; Ctrl-C ends it and keeps what there is."""
    try:
        answer.read_prompt()
        with terminal.first_ctrl_c(answer.interrupt):
            for text in answer.stream():
                if shows:
                    terminal.write(text)
    except KeyboardInterrupt:  # in the prompt, or a second one
        answer.interrupt()


def _prompt_text(options: Namespace) -> str:
    if options.raw and "system" in options:
        what = "--raw sends the prompt without the chat template, so there is no place"
        raise InputError(f"{what} for --system; leave one of them out")
    words: list[str] = options.prompt
    is_piped = sys.stdin is not None and not sys.stdin.isatty()
    reads = words == ["-"] or (not words and is_piped)
    text = terminal.read_input() if reads else " ".join(words)
    if not text.strip():
        example = 'llm-walkthrough ask "Why is the sky blue?"'
        raise InputError(f"the prompt is empty; ask something, as in {example}")
    return text


def _settings(options: Namespace) -> Settings:
    from llm_walkthrough.answer import Settings
    from llm_walkthrough.sampling import Sampling

    given = _given(options, *vars(Sampling()))
    if given.get("temperature") == 0:  # the model's own likeliest token
        given = {"repetition_penalty": 1.0, **given}
    sampling = Sampling(**given)
    others = _given(options, *vars(Settings()))
    return Settings(sampling, grammar=_grammar(options), **others)


def _grammar(options: Namespace) -> Grammar | None:
    from llm_walkthrough import grammar

    readers = {
        "json_schema": grammar.json_schema,
        "regex": grammar.regular_expression,
        "lark": grammar.lark_grammar,
    }
    given = _given(options, *readers)
    if len(given) > 1:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"an answer follows one grammar, got {names}; leave one out")
    for name, text_or_path in given.items():
        if name == "regex":  # written in place; the others are files
            return readers[name](text_or_path)
        try:
            return readers[name](text_or_path.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            what = f"{text_or_path} cannot be read as text ({error})"
            way_out = "name a file in UTF-8 that holds the grammar"
            raise InputError(f"{what}; {way_out}") from error
        except InputError as error:
            raise InputError(f"{text_or_path}: {error}") from error
    return None


def _given(options: Namespace, *names: str) -> dict[str, Any]:
    """Those of the named options that were written; `cli` leaves out all others."""
    return {name: value for name, value in vars(options).items() if name in names}


def _record(answer: Answer, tokenizer: Tokenizer, folder: Path) -> dict[str, Any]:
    figures = answer.figures
    return {
        "model": str(folder),
        "settings": asdict(answer.settings),
        "prompt": {
            "text": tokenizer.decode(answer.prompt, show_special=True),
            **_tokens(tokenizer, answer.prompt),
        },
        "answer": {"text": answer.text, **_tokens(tokenizer, answer.new_tokens)},
        "stop_reason": figures.stop_reason,
        "figures": {
            **asdict(figures),
            "prefill_tokens_per_second": figures.prefill_rate,
            "decode_tokens_per_second": figures.decode_rate,
        },
    }


def _tokens(tokenizer: Tokenizer, ids: TokenIds) -> dict[str, Any]:
    tokens = [int(token) for token in ids]
    return {"ids": tokens, "tokens": [tokenizer.piece(token) for token in tokens]}


def _write(content: object) -> None:
    """Write a text as it is, anything else as JSON."""
    text = content if isinstance(content, str) else json.dumps(content, indent=2)
    terminal.write(f"{text}\n")
