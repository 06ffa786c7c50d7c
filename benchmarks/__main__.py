"""Command line of the benchmarks: `python3 run.py bench`, or `python -m benchmarks`.

Exit status, one of those in `commands`: OK every bar is met; PROBLEM one is missed;
BAD_INPUT something cannot be used, or an engine has died. Knows nothing of how anything
is measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from importlib import import_module

from benchmarks.report import Told
from llm_walkthrough.catalogue import find
from llm_walkthrough.command_line import commands, terminal
from llm_walkthrough.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, show the table; returns the exit status."""
    terminal.prepare_output()
    options = vars(_parser().parse_args(arguments))
    is_json = options.pop("json", False)
    try:
        report = _measure(**options)
        text = json.dumps(report.record(), indent=2) if is_json else str(report)
        terminal.write(f"{text}\n")
    except (InputError, BrokenExecutor) as error:
        terminal.note(f"bench: {error}")
        return commands.BAD_INPUT
    except BrokenPipeError:
        return commands.READER_GONE
    except KeyboardInterrupt:
        return commands.INTERRUPTED
    return commands.PROBLEM if report.missed else commands.OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Measure this package, and say which bars are missed.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    text = (
        "speed: speed and memory against onnxruntime-genai and plainer loops; "
        "panel: how soon after a press the step panel is painted; answers: how much "
        "sense everyday questions get, by the settings of sampling; gguf: converted "
        "GGUF files against llama.cpp; provider: an execution provider against the "
        "CPU; shape: a folder as large as Mistral-7B, written and deleted; "
        "speculation: guesses against the plain loop; proof: that guesses change no "
        "token of a float32 model; page: the panel in a page; classroom: many kernels "
        "at once; hub: learners on a JupyterHub (default: speed)"
    )
    subjects = ("speed", "panel", "answers", "gguf", "provider", "shape")
    further = ("speculation", "proof", "page", "classroom", "hub")
    parser.add_argument(
        "subject", nargs="?", default="speed", choices=subjects + further, help=text
    )
    text = "a model that is listed, or its folder (default: the first of the list)"
    parser.add_argument("--model", metavar="NAME|PATH", help=text)
    text = (
        "how often everything is measured, in turn; 40 presses each, or one seed "
        "(default: 5, seeds 3)"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help=text)
    text = "threads for one operator (default: one for each core)"
    parser.add_argument("--threads", type=int, metavar="N", help=text)
    text = "which execution provider, such as qnn; the subject is then provider"
    parser.add_argument("--provider", metavar="NAME", help=text)
    text = "chromium or firefox, for the page (default: chromium)"
    browsers = ("chromium", "firefox")
    parser.add_argument("--browser", choices=browsers, help=text)
    text = "how many learners of the hub are at work at the same time (default: 12)"
    parser.add_argument("--learners", type=int, metavar="N", help=text)
    text = "how many kernels the classroom has (default: 30)"
    parser.add_argument("--kernels", type=int, metavar="N", help=text)
    parser.add_argument("--json", action="store_true", help="write JSON")
    return parser


def _measure(
    subject: str, model: str | None = None, rounds: int | None = None, **given: object
) -> Told:
    if rounds is not None and rounds < 1:
        raise InputError(
            f"rounds must be at least 1, got {rounds}; 5 are a good number"
        )
    subject = "provider" if "provider" in given else subject
    subject = "page" if "browser" in given else subject
    given |= {} if rounds is None else {"rounds": rounds}
    try:
        # the panel needs the driver of a browser, which the speed does not
        measuring = import_module(f"benchmarks.{subject}")
    except ImportError as error:
        raise InputError(
            f"bench {subject} needs what the tests need ({error}); run `python3 run.py "
            'bench`, or `pip install "llm-walkthrough[lab,test]"`'
        ) from error
    with terminal.progress() as show:
        usual = getattr(measuring, "MODEL", None)  # else the first that is listed
        report: Told = measuring.measure(find(model or usual), show, **given)
    return report


if __name__ == "__main__":
    sys.exit(main())
