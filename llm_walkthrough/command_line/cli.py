"""The parser of the command line, made of the words in cli.toml, and how a run ends.

Knows nothing of what the commands do: `commands` does. Imports nothing heavy early.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from llm_walkthrough.command_line import commands, terminal
from llm_walkthrough.conversion.download import RULE
from llm_walkthrough.errors import InputError

TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, by default this process's; returns a status of `commands`."""
    terminal.prepare_output()
    words = sys.argv[1:] if arguments is None else arguments
    parser = _parser(words)
    try:
        if words[:1] and words[0] in TABLES["beside"]:
            return commands.hand_over(*words)
        options, unknown = parser.parse_known_args(words)
        if unknown:
            parser.error(f"unknown here: {' '.join(unknown)}")
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
    groups = {"": parser.add_subparsers(title="commands", required=True)}
    for full_name, text in TABLES["commands"].items():
        group, _, name = full_name.rpartition(" ")
        command = groups[group].add_parser(
            name,
            help=text,
            description=text,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,  # defaults belong to `Settings`
        )
        run = getattr(commands, full_name.replace(" ", "_"), None)  # "models list"
        if run is None:
            groups[name] = command.add_subparsers(title="actions", required=True)
            continue
        command.set_defaults(run=run)
        command.register("type", "int", int)
        command.register("type", "path", Path)
        for option in (dict(one) for one in TABLES["option"] if full_name in one["of"]):
            del option["of"]
            option["help"] = option["help"].format(RULE=RULE)
            command.add_argument(option.pop("name"), **option)
        if name in ("ask", "step") and name in words[:1]:
            _add_knobs(command)  # numpy comes with them; other commands need none
    for name, text in TABLES["beside"].items():
        groups[""].add_parser(name, help=text)
    return parser


def _add_knobs(command: argparse.ArgumentParser) -> None:
    from llm_walkthrough.sampling import KNOBS, Sampling  # noqa: PLC0415 - needs numpy

    for knob in KNOBS:
        in_words = f"default: {getattr(Sampling, knob.name)}; {knob.off} is off"
        if knob.greedy is not None:
            in_words += f", {knob.greedy} is greedy, without penalty unless you set one"
        text, metavar = f"{knob.help} ({in_words})", "N" if knob.kind is int else "X"
        option = f"--{knob.label}"
        command.add_argument(option, type=knob.kind, metavar=metavar, help=text)


if __name__ == "__main__":
    sys.exit(main())
