"""Notebooks, executed, stripped of noise and saved.

Runs every notebook from top to bottom in a fresh kernel, keeps what a reader needs and
nothing that differs from one run to the next without a reason, and saves them only if
all of them ran through. Knows nothing of what the notebooks teach.
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from llm_walkthrough.errors import InputError
from llm_walkthrough.machine.packed import SWITCH

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
CELL_SECONDS = 60
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def find_notebooks(names: Sequence[str] = (), folder: Path = FOLDER) -> list[Path]:
    """Return the notebooks of these names, or all, in reading order.

    Args:
        names: "05_sampling" means the notebook and its solution,
            "solutions/05_sampling" the solution alone; with or without ".ipynb".
        folder: holds the notebooks and `solutions/`.

    Raises:
        InputError: there is no notebook of that name.
    """
    lessons, solutions = folder.glob("*.ipynb"), folder.glob("solutions/*.ipynb")
    # the start page has no number, and is read first
    in_order = sorted(lessons, key=lambda file: (file.stem != "start", file.stem))
    every = [*in_order, *sorted(solutions)]
    wanted = [name.removesuffix(".ipynb").removeprefix("notebooks/") for name in names]
    for name in wanted:
        if not any(name in _names(file, folder) for file in every):
            known = ", ".join(file.stem for file in every if file.parent == folder)
            raise InputError(f"there is no notebook {name!r}; there are: {known}")
    return [f for f in every if not wanted or _names(f, folder) & set(wanted)]


def execute(file: Path) -> NotebookNode:
    """Run a notebook from top to bottom in a fresh kernel, in its own folder.

    Returns:
        The notebook with its outputs, stripped; the file stays as it is.

    Raises:
        InputError: the file is not a notebook, or a cell fails that is not tagged
            `raises-exception`.
    """
    notebook = _cleared(_read(file))
    os.environ[SWITCH] = "off"  # no helper packs weights while cells measure times
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name=KERNEL["name"],
        resources={"metadata": {"path": str(file.parent)}},
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise InputError(_sentence(file, notebook, error)) from error
    return strip(notebook)


def strip(notebook: NotebookNode) -> NotebookNode:
    """Return a copy without widget state, times, versions and editor settings."""
    stripped = copy.deepcopy(notebook)
    stripped.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for cell in stripped.cells:
        kept = {"tags": cell.metadata.get("tags")}
        kept["jupyter"] = _folded(cell)
        cell.metadata = {name: value for name, value in kept.items() if value}
        for output in cell.get("outputs", []):
            _strip_output(output)
    return stripped


def save(notebook: NotebookNode, file: Path) -> None:
    """Write a notebook whole or not at all; the same notebook gives the same bytes."""
    text: str = nbformat.writes(notebook)
    beside = file.with_name(f".{file.name}.tmp")
    beside.write_text(text.rstrip("\n") + "\n", encoding="utf-8", newline="\n")
    beside.replace(file)


def execute_all(files: Sequence[Path], say: Callable[[str], None]) -> None:
    """Execute the notebooks, and save them once all have run through.

    Raises:
        InputError: one failed; no file was changed.
    """
    executed = []
    for file in files:
        began = time.perf_counter()
        executed.append(execute(file))
        say(f"{time.perf_counter() - began:6.1f} s  {file.parent.name}/{file.name}")
    for file, notebook in zip(files, executed, strict=True):
        save(notebook, file)


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute, strip and save notebooks; return the exit code."""
    parser = argparse.ArgumentParser(prog="notebooks", description=main.__doc__)
    parser.add_argument("names", nargs="*", help="such as 05_sampling; default: all")
    parser.add_argument("--strip", action="store_true", help="strip, execute nothing")
    options = parser.parse_args(arguments)
    try:
        files = find_notebooks(options.names)
        if options.strip:
            for file in files:
                save(strip(_read(file)), file)
        else:
            execute_all(files, say=_say)
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _folded(cell: NotebookNode) -> dict[str, bool]:
    """Return what keeps the source of a cell out of sight, where that was wished."""
    hidden = cell.metadata.get("jupyter", {}).get("source_hidden")
    return {"source_hidden": True} if hidden else {}


def _names(file: Path, folder: Path) -> set[str]:
    return {file.stem, file.relative_to(folder).with_suffix("").as_posix()}


def _read(file: Path) -> NotebookNode:
    try:
        notebook: NotebookNode = nbformat.read(file, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError) as error:
        raise InputError(f"{file} is not a notebook ({error}); restore it") from error
    return notebook


def _cleared(notebook: NotebookNode) -> NotebookNode:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = None, []
    return notebook


def _strip_output(output: NotebookNode) -> None:
    if "metadata" in output:
        output.metadata = {}
    output.get("data", {}).pop(_WIDGET_VIEW, None)


def _sentence(file: Path, notebook: NotebookNode, error: Exception) -> str:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    place = sum(cell.execution_count is not None for cell in code)
    first_line = code[place - 1].source.partition("\n")[0] if code else ""
    reason = str(error).strip().splitlines()[-1]
    if isinstance(error, CellExecutionError):
        reason = f"{error.ename}: {error.evalue}"
    return (
        f"{file.name}: code cell {place} ({first_line}) failed: {reason}; no notebook "
        "was saved, mend the cell and run this again"
    )


if __name__ == "__main__":
    sys.exit(main())
