"""The learner's own copy of the course: filled from `notebooks/`, never written over.

A copy is ours while its cells say what a version of ours said; running it changes
nothing. Such a copy is replaced when there is a newer version; one that the learner
changed stays, and the newer version is put beside it. Knows nothing of servers.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from itertools import chain, count
from pathlib import Path

from filelock import FileLock

from llm_walkthrough.errors import InputError

NAME, START = "my_course", "start.ipynb"
RECORD = ".copied.json"  # of each file: digests of its versions, and of their work


def start_page(notebooks: Path, tell: Callable[[str], None]) -> Path:
    """Bring `my_course`, beside `notebooks`, up to date; returns the page to open.

    What the learner should know is told. Where nothing can be written, the page is one
    of `notebooks` itself.

    Raises:
        InputError: something that is no folder is called `my_course`.
    """
    course = notebooks.with_name(NAME)
    if os.path.lexists(course) and not course.is_dir():
        raise InputError(
            f"{course} is not a folder, and your copies of the notebooks belong in a "
            "folder of that name; rename it, and start again"
        )
    try:
        for name, newer in bring_up_to_date(course, notebooks).items():
            tell(f"{NAME}/{name} stays as you changed it; the new one is {newer}")
    except OSError as error:
        tell(
            f"{course} cannot be brought up to date ({error}); what is there opens as "
            "it is; to change it, copy the course to a folder of your own"
        )
    names = [START, *sorted(file.name for file in notebooks.glob("*.ipynb"))]
    pages = (folder / name for folder in (course, notebooks) for name in names)
    return next(filter(Path.is_file, pages), notebooks)


def bring_up_to_date(course: Path, notebooks: Path) -> dict[str, str]:
    """Copy what is new; returns the name of each newer version beside a changed file.

    Raises:
        OSError: a file cannot be read or written; all that are there are whole.
    """
    course.mkdir(exist_ok=True)
    newer = {}
    with FileLock(course / ".lock"):
        record = _read_record(course / RECORD)
        for file in sorted(chain(*map(notebooks.glob, ("[!.]*.*", "[!.]*/[!.]*.*")))):
            content, name = file.read_bytes(), file.relative_to(notebooks).as_posix()
            versions = record.setdefault(name, {})
            version = f"{_digest(content)} {sys.version}"  # a copy names both
            last = next(reversed(versions), "")
            if last == version and os.path.lexists(course / name):
                continue
            versions[version] = versions.pop(version, _work(content))  # the last one
            place = next(p for p in _places(course / name) if _is_ours(p, versions))
            if place.name != file.name and last.startswith(_digest(content)):
                continue  # only Python is another one
            if file.suffix == ".ipynb":
                # solutions and the start page show what comes out; lessons ask first
                is_lesson = file.parent == notebooks and file.name != START
                content = _as_saved_by_jupyterlab(content, is_cleared=is_lesson)
            _write(place, content)
            if place.name != file.name:
                newer[name] = place.name
        _write(course / RECORD, json.dumps(record, indent=1).encode())
    return newer


def _places(copy: Path) -> Iterator[Path]:
    """Where a copy may stand; they sort next to each other."""
    yield copy
    yield copy.with_stem(f"{copy.stem} (new)")
    yield from (copy.with_stem(f"{copy.stem} (new {n})") for n in count(2))


def _is_ours(place: Path, versions: dict[str, str]) -> bool:
    """Whether nothing of the learner's is at a place."""
    is_ours = place.is_file() and _work(place.read_bytes()) in versions.values()
    return is_ours or not os.path.lexists(place)


def _work(content: bytes) -> str:
    """Digest what a learner would miss: cells with text in them, or the whole file."""
    try:
        cells = [
            (cell["cell_type"], "".join(cell["source"]), cell.get("attachments"))
            for cell in json.loads(content)["cells"]
        ]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return _digest(content)  # no notebook
    return _digest(json.dumps([cell for cell in cells if cell[1].strip()]).encode())


def _as_saved_by_jupyterlab(content: bytes, *, is_cleared: bool) -> bytes:
    """Add what JupyterLab would when a kernel starts, or it marks the page as changed.

    A copy that `is_cleared` has no outputs: the reader is to guess them.

    Signed as well, since it shows styles and drawings in the outputs of nobody else.
    """
    # these are slow to load, and needed only if there is something new
    import nbformat  # noqa: PLC0415
    from ipykernel.ipkernel import IPythonKernel  # noqa: PLC0415
    from jupyter_client.kernelspec import KernelSpecManager  # noqa: PLC0415
    from nbformat.sign import NotebookNotary  # noqa: PLC0415

    try:
        book = nbformat.reads(content.decode(), as_version=4)
    except ValueError:
        return content  # no notebook
    spec = KernelSpecManager().get_kernel_spec("python3")
    kernel = {"name": "python3", "language": spec.language}
    book.metadata = {
        "kernelspec": {**kernel, "display_name": spec.display_name},
        "language_info": IPythonKernel.language_info,
    }
    for cell in book.cells if is_cleared else ():
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    NotebookNotary().sign(book)
    return f"{nbformat.writes(book)}\n".encode()


def _write(place: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    place.parent.mkdir(exist_ok=True)
    beside = place.with_name(f".{place.name}.partial")
    beside.write_bytes(content)
    beside.replace(place)


def _read_record(file: Path) -> dict[str, dict[str, str]]:
    """Read which versions were copied; if that is lost, every file is the learner's."""
    try:
        record = json.loads(file.read_bytes())
        return {name: dict(versions) for name, versions in record.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
