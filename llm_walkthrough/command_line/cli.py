"""Which command is asked for, with which options, and with what status does it end?

Exit status: 0 done; 1 `doctor` found a problem; 2 something that was handed in cannot
be used; 130 Ctrl-C; 141 the reader of the output went away. Knows nothing of what the
commands do: `commands` does. Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_walkthrough.command_line import commands, terminal
from llm_walkthrough.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    AddCommand = Callable[..., argparse.ArgumentParser]
    AddOption = Callable[..., argparse.Action]

BAD_INPUT = 2
READER_GONE = 141
"""What a shell reports of a program that a closed pipe ended: 128 + SIGPIPE."""

_SWITCH: dict[str, Any] = {"action": "store_true", "default": False}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after the program's name, by default those of this process.

    Returns:
        The exit status, as told above.
    """
    terminal.prepare_output()
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown and options.run is not commands.lab:
        parser.error(f"not known here: {' '.join(unknown)}")
    options.jupyter_arguments = unknown
    try:
        status: int = options.run(options)
    except InputError as error:
        terminal.note(f"{parser.prog}: {error}")
        return BAD_INPUT
    except BrokenPipeError:
        return READER_GONE
    except KeyboardInterrupt:
        return commands.INTERRUPTED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="llm-walkthrough",
        description="Step through LLM inference with ONNX, token by token.",
        allow_abbrev=False,
    )
    add = parser.add_subparsers(title="commands", required=True).add_parser
    _add_ask(add)
    _add_lab(add)
    _add_models(add)
    _add_doctor(add)
    return parser


def _add(add: AddCommand, name: str, run: Callable[..., int], text: str) -> AddOption:
    """Add a command; an option that was not written is not in the namespace."""
    command = add(
        name,
        help=text,
        description=text,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    command.set_defaults(run=run)
    return command.add_argument


def _add_ask(add: AddCommand) -> None:
    option = _add(add, "ask", commands.ask, "Answer one prompt, word by word.")
    option(
        "prompt",
        nargs="*",
        default=[],
        help="the question; - or none: from standard input",
    )
    option("--system", metavar="TEXT", help="what the model is told to be")
    option("--raw", **_SWITCH, help="send the prompt as it is, without chat template")
    _add_sampling(option)
    text = "the most tokens to make (default: 512)"
    option("--max-new-tokens", type=int, metavar="N", help=text)
    text = "end the answer before this text; may be given several times"
    option("--stop", action="append", dest="stop_texts", metavar="TEXT", help=text)
    _add_grammar(option)
    _add_model(option)
    option("--json", **_SWITCH, help="write one JSON object with all there is to know")


def _add_grammar(option: AddOption) -> None:
    text = "the answer is JSON that this schema describes"
    option("--json-schema", type=Path, metavar="FILE", help=text)
    text = "the whole answer matches this regular expression"
    option("--regex", metavar="PATTERN", help=text)
    text = "the answer follows this Lark grammar, from its rule start"
    option("--lark", type=Path, metavar="FILE", help=text)


def _add_sampling(option: AddOption) -> None:
    for name, kind, text in (
        ("temperature", float, "0 is greedy, 1 the model's own (default: 0.8)"),
        ("top-k", int, "keep the k likeliest tokens, 0 keeps all (default: 40)"),
        ("top-p", float, "keep the likeliest that reach p together (default: 0.9)"),
        ("min-p", float, "keep what is p times as likely as the first (default: 0.0)"),
        ("repetition-penalty", float, "1 is none (default: 1.1)"),
        ("seed", int, "another seed, another answer (default: 0)"),
    ):
        option(f"--{name}", type=kind, metavar="N" if kind is int else "X", help=text)


def _add_model(option: AddOption) -> None:
    text = "a model that is listed, or its folder (default: the first of the list)"
    option("--model", metavar="NAME|PATH", help=text)
    text = "threads for one operator (default: one for each core)"
    option("--threads", type=int, metavar="N", help=text)


def _add_lab(add: AddCommand) -> None:
    text = "Open JupyterLab on the notebooks; further options go to JupyterLab."
    _add(add, "lab", commands.lab, text)


def _add_models(add: AddCommand) -> None:
    text = "List, fetch or find models."
    command = add("models", help=text, description=text, allow_abbrev=False)
    add_action = command.add_subparsers(title="actions", required=True).add_parser
    text = "List the models that can be fetched, and whether they are there."
    option = _add(add_action, "list", commands.list_models, text)
    option("--json", **_SWITCH, help="write JSON")
    text = "Fetch and convert models; what is there already is left alone."
    option = _add(add_action, "fetch", commands.fetch_models, text)
    text = "which ones (default: the first of the list)"
    option("names", nargs="*", default=[], metavar="NAME", help=text)
    text = "Print the folder of a model, or without a name that of all models."
    option = _add(add_action, "where", commands.show_folder, text)
    option("name", nargs="?", metavar="NAME", help="a model that is listed")


def _add_doctor(add: AddCommand) -> None:
    text = "Tell whether this machine is ready, and what to do if not."
    option = _add(add, "doctor", commands.doctor, text)
    option("--json", **_SWITCH, help="write JSON")


if __name__ == "__main__":
    sys.exit(main())
