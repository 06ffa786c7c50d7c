"""JupyterLab on the learner's course, for this machine only: the command `lab`.

Knows nothing of how a learner's copy is filled: `my_course` does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from llm_walkthrough.command_line import terminal
from llm_walkthrough.errors import InputError

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
# defaults for JupyterLab: it asks nobody for news or updates, unless the user does
JUPYTER_CONFIG = Path(__file__).parent / "jupyter"


def main(arguments: Sequence[str]) -> int:
    """Run JupyterLab until it is stopped; `arguments` are words for itself.

    Raises:
        InputError: JupyterLab is not installed, or the copy has no place.
    """
    try:
        labapp = import_module("jupyterlab.labapp")
        my_course = import_module("tools.my_course")
    except ImportError as error:
        raise InputError(
            f"JupyterLab cannot be loaded ({error}); run `python3 run.py`, or "
            '`pip install "llm-walkthrough[lab]"`'
        ) from error
    folders = filter(None, (os.environ.get("JUPYTER_CONFIG_PATH"), str(JUPYTER_CONFIG)))
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(folders)
    # JupyterLab refuses an option that is given twice, also by its short name
    words = [word.lstrip("-").partition("=")[0] for word in arguments]
    written = {labapp.LabApp.aliases.get(word, word) for word in words}
    usual = {"ServerApp.ip": "127.0.0.1"}
    if "ServerApp.root_dir" not in written:
        # the whole repository, since the notebooks link to the modules
        root, page = NOTEBOOKS.parent, my_course.start_page(NOTEBOOKS, terminal.note)
        usual["ServerApp.root_dir"] = str(root)
        usual["LabApp.default_url"] = f"/lab/tree/{page.relative_to(root).as_posix()}"
    if getattr(os, "geteuid", os.getpid)() == 0:  # in a container, as a rule
        usual["ServerApp.allow_root"] = "True"
    kept = [f"--{name}={usual[name]}" for name in usual if name not in written]
    labapp.LabApp.launch_instance([*kept, *arguments])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
