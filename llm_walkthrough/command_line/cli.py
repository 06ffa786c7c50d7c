"""The words of the command line: commands, their options, and how a run ends.

Knows nothing of what the commands do: `commands` does. Nothing heavy is imported before
it is needed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from llm_walkthrough.command_line import commands, terminal
from llm_walkthrough.conversion.download import RULE
from llm_walkthrough.errors import InputError

AddCommand = Callable[..., argparse.ArgumentParser]
AddOption = Callable[..., argparse.Action]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status, one of those in `commands`.

    The `arguments` are the words after the program's name (default: of this process).
    """
    terminal.prepare_output()
    words = sys.argv[1:] if arguments is None else arguments
    parser = _parser(words)
    options, unknown = parser.parse_known_args(words)
    if unknown and options.run is not commands.lab:
        parser.error(f"unknown here: {' '.join(unknown)}")
    options.jupyter_arguments = unknown
    try:
        return int(options.run(options))
    except InputError as error:
        terminal.note(f"{parser.prog}: {error}")
        return commands.BAD_INPUT
    except BrokenPipeError:
        return commands.READER_GONE
    except OSError as error:  # such as a name that is too long for the disk
        terminal.note(f"{parser.prog}: the system refuses: {error}; name another place")
        return commands.BAD_INPUT
    except KeyboardInterrupt:
        return commands.INTERRUPTED


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of all commands; `words` are those that it is to parse."""
    parser = argparse.ArgumentParser(
        prog="llm-walkthrough",
        description="Step through LLM inference with ONNX, token by token.",
        allow_abbrev=False,
    )
    add = parser.add_subparsers(title="commands", required=True).add_parser
    option = _add(add, "ask", commands.ask, "Answer one prompt, word by word.")
    if "ask" in words[:1]:  # numpy comes with the knobs; the other commands need none
        _add_ask_options(option)
    option = _add(add, "step", commands.step, "Open the step panel in the browser.")
    if "step" in words[:1]:
        _add_step_options(option)
    text = "Open your copy of the course; further options go to JupyterLab."
    _add(add, "lab", commands.lab, text)
    _add_models(add)
    text = "Tell whether this machine is ready, and what to do if not."
    _add_json(_add(add, "doctor", commands.doctor, text))
    return parser


def _add(add: AddCommand, name: str, run: Callable[..., int], text: str) -> AddOption:
    """Add a command; an option that was not written is not in the namespace."""
    command = add(
        name,
        help=text,
        description=text,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,  # defaults belong to `Settings` and others
    )
    command.set_defaults(run=run)
    return command.add_argument


def _add_json(option: AddOption, text: str = "write JSON") -> None:
    option("--json", action="store_true", default=False, help=text)


def _add_prompt_and_model(option: AddOption, text: str) -> None:
    option("prompt", nargs="*", default=[], help=text)
    text = "send the prompt as it is, without the chat template"
    option("--raw", action="store_true", default=False, help=text)
    _add_knobs(option)
    for name, kind, metavar, text in (
        ("system", str, "TEXT", "what the model is told to be"),
        ("seed", int, "N", "a different seed gives a different answer (default: 0)"),
        ("model", str, "NAME|PATH", "a listed model, or a folder (default: the first)"),
        ("file", str, "NAME", "which .onnx file of the folder, where it has several"),
        ("threads", int, "N", "threads for one operator (default: one for each core)"),
        ("provider", str, "NAME", "what computes, such as qnn (default: cpu)"),
    ):
        option(f"--{name}", type=kind, metavar=metavar, help=text)


def _add_step_options(option: AddOption) -> None:
    _add_prompt_and_model(option, "the question to begin with (default: the course's)")
    text = "the port of the address (default: any that is free)"
    option("--port", type=int, metavar="N", help=text)
    text = "only print the address"
    option("--no-browser", action="store_true", default=False, help=text)


def _add_ask_options(option: AddOption) -> None:
    _add_prompt_and_model(option, "the question; - or none: read standard input")
    text = "end the answer before this text; may be given several times"
    option("--stop", action="append", dest="stop_texts", metavar="TEXT", help=text)
    most = (
        "the most tokens to make; without a grammar, an answer stops at the end of a "
        "sentence once it is in the last quarter of them (default: 256)"
    )
    for name, kind, metavar, text in (
        ("max-new-tokens", int, "N", most),
        ("json-schema", Path, "FILE", "the answer is JSON that this schema describes"),
        ("regex", str, "PATTERN", "the whole answer matches this regular expression"),
        ("lark", Path, "FILE", "the answer follows this Lark grammar, from rule start"),
    ):
        option(f"--{name}", type=kind, metavar=metavar, help=text)
    _add_json(option, "write one JSON object with all there is to know")


def _add_knobs(option: AddOption) -> None:
    from llm_walkthrough.sampling import KNOBS, Sampling  # noqa: PLC0415 - needs numpy

    for knob in KNOBS:
        in_words = f"default: {getattr(Sampling, knob.name)}; {knob.off} is off"
        if knob.greedy is not None:
            in_words += f", {knob.greedy} is greedy, without penalty unless you set one"
        text, metavar = f"{knob.help} ({in_words})", "N" if knob.kind is int else "X"
        option(f"--{knob.label}", type=knob.kind, metavar=metavar, help=text)


def _add_models(add: AddCommand) -> None:
    text = "List, fetch or find models."
    command = add("models", help=text, description=text, allow_abbrev=False)
    add_action = command.add_subparsers(title="actions", required=True).add_parser
    text = "List the models that can be fetched, and whether they are there."
    _add_json(_add(add_action, "list", commands.list_models, text))
    text = "Fetch models, and convert GGUF files; what is there is left alone."
    option = _add(add_action, "fetch", commands.fetch_models, text)
    text = f"a listed name (default: the first) or OWNER/NAME[:FILE] on the hub; {RULE}"
    option("names", nargs="*", default=[], metavar="NAME", help=text)
    text = "branch, tag or commit of a repository on the hub (default: the newest)"
    option("--revision", metavar="REVISION", help=text)
    text = "Convert a GGUF file into a model folder."
    option = _add(add_action, "convert", commands.convert_model, text)
    option("file", type=Path, metavar="FILE.gguf", help="a decoder, and its tokenizer")
    text = "where to (default: among the models, named after the file)"
    option("folder", nargs="?", type=Path, default=None, metavar="FOLDER", help=text)
    text = "the codes of the file, or plain numbers (default: int4)"
    option("--variant", choices=["int4", "float32"], default="int4", help=text)
    text = "Compare the files of models with their recorded hashes."
    option = _add(add_action, "check", commands.check_models, text)
    text = "which ones (default: all that are there)"
    option("names", nargs="*", default=[], metavar="NAME", help=text)
    text = "Tell, without loading a model, whether it runs here and what it costs."
    option = _add(add_action, "inspect", commands.inspect_model, text)
    _add_json(option)
    text = "a listed name, a model folder, or an ONNX or GGUF file"
    option("path", metavar="NAME|PATH", help=text)
    text = "Print the folder of a model or, without a name, of all models."
    option = _add(add_action, "where", commands.show_folder, text)
    option("name", nargs="?", metavar="NAME", help="a model that is listed")


if __name__ == "__main__":
    sys.exit(main())
