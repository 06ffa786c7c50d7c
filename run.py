"""Sets up everything that the course needs, then does one job.

    python3 run.py                    open your copy of the course in JupyterLab
    python3 run.py ask "a question"   let the model answer in this terminal
    python3 run.py test               run every check that there is
    python3 run.py notebooks          execute all notebooks and save them in place
    python3 run.py pack FOLDER        write all that a class needs without a network
    python3 run.py review FOLDER      judge the notebooks that a class handed in
    python3 run.py site               serve the course as pages, with the panel in them
    python3 run.py worksheets         write a sheet to print for each notebook
    python3 run.py WORD ...           any other word: doctor, models, bench, ...

The first start makes .venv, installs the pinned packages into it and fetches the model;
every later start skips what is done. On Windows, type `py` instead of `python3`.

    --pack FOLDER             before the word: set up from such a folder alone
    LLM_WALKTHROUGH_PACK      the same as an environment variable
    LLM_WALKTHROUGH_MODELS    where the models stand; may be a read-only folder

Standard library only. What is done, and how, is in launcher/.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from launcher.done import Needs
from launcher.places import FLOAT32, INT4, PYTHON, ROOT
from launcher.prepare import set_up
from launcher.workshop import in_one_sentence

NEEDS = {
    "lab": Needs((INT4, FLOAT32)),
    "test": Needs((INT4, FLOAT32), tests=True),
    "notebooks": Needs((INT4, FLOAT32)),
    "ask": Needs((INT4,)),
    "step": Needs((INT4,)),
    "bench": Needs((INT4,), tests=True),
    "review": Needs((INT4, FLOAT32)),
    "site": Needs((FLOAT32,)),
    "worksheets": Needs((FLOAT32,)),
}
BESIDE_THE_PACKAGE = {
    "bench": "benchmarks",
    "notebooks": "tools.notebooks",
    "pack": "tools.pack",
    "review": "tools.review",
    "site": "tools.serve_site",
    "test": "tools.checks",
    "worksheets": "tools.worksheets",
}


def needs(word: str, rest: list[str]) -> Needs:
    """Tell what a job needs; no model if it names its own or only wants help."""
    names_model = any(argument.split("=")[0] == "--model" for argument in rest)
    if names_model or {"-h", "--help"} & set(rest):
        return NEEDS.get(word, Needs())._replace(models=())
    return NEEDS.get(word, Needs())


def hand_over(*words: str) -> int:
    """Let .venv's Python take our place: its exit status is ours, and so is Ctrl-C."""
    command = [str(PYTHON), *words]
    if os.name != "nt":
        os.execv(command[0], command)
    process = subprocess.Popen(command)  # on Windows, exec would return at once
    while True:
        with contextlib.suppress(KeyboardInterrupt):  # the job has got it too
            return process.wait()


def start(arguments: list[str]) -> int:
    """Set up what the job needs, then do it; returns the exit status."""
    if arguments[:1] == ["--pack"] and arguments[1:]:
        os.environ["LLM_WALKTHROUGH_PACK"] = arguments[1]
        arguments = arguments[2:]
    word, *rest = arguments or ["lab"]
    if word in {"-h", "--help", "help"}:
        sys.stdout.write(__doc__)
        return 0
    set_up(needs(word, rest))
    if word in BESIDE_THE_PACKAGE:
        os.environ["PYTHONPATH"] = str(ROOT)  # it is not installed
        return hand_over("-m", BESIDE_THE_PACKAGE[word], *rest)
    return hand_over("-P", "-m", "llm_walkthrough.command_line.cli", word, *rest)


if __name__ == "__main__":
    sys.exit(in_one_sentence(start, sys.argv[1:]))
