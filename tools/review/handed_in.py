"""The notebooks in a folder or a zip file: whose they are, and of which lesson.

Nothing is unpacked, and no link is followed. Knows nothing of what is in a notebook.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from llm_walkthrough.errors import InputError, harmless
from tools.review.lesson import MOST_BYTES

NAMELESS = "(no name)"
_PASSED_OVER = re.compile(r"\.|__MACOSX$|solutions$")
_COPY = re.compile(r"( ?\((new ?)?\d*\)|-Copy\d+|-\d+)+$")  # of browsers and platforms
_PLATFORM = re.compile(r"_assignsubmission_file_?$")


class File(NamedTuple):
    """A notebook on disk, or in a zip file."""

    path: str
    member: str = ""  # of the zip file that `path` is

    def read(self) -> bytes:
        """Return its content, or one byte more than a notebook may have.

        Raises:
            ValueError: it cannot be read, or is no file.
        """
        try:
            if not stat.S_ISREG(os.lstat(self.path).st_mode):
                raise ValueError("It is a link, which is not followed, or no file.")
            if not self.member:
                with Path(self.path).open("rb") as stream:
                    return stream.read(MOST_BYTES + 1)
            with zipfile.ZipFile(self.path) as archive:
                return archive.open(self.member).read(MOST_BYTES + 1)
        except (OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"It cannot be read ({error}).") from error


@dataclass
class HandedIn:
    """What one learner handed in."""

    files: dict[str, File] = field(default_factory=dict)  # by lesson, "05_sampling"
    remarks: list[str] = field(default_factory=list)


def handed_in(folder: Path, lessons: Sequence[str]) -> dict[str, HandedIn]:
    """Return what each learner handed in.

    A learner is a folder or a zip file in `folder`, or else what the name of a file
    says beside that of the lesson. A copy gives way to the file itself, and an older
    file to a newer one.

    Raises:
        InputError: there is no such folder, or nothing in it.
    """
    learners: dict[str, HandedIn] = {}
    for parts, file, _ in sorted(_files(folder), key=_rank):
        lesson = next((one for one in lessons if one in parts[-1]), "")
        mine = learners.setdefault(_learner(parts, lesson), HandedIn())
        if lesson in mine.files:
            mine.remarks.append(f"several of {lesson}, {shown_name(parts[-1])} counts")
        if lesson and file is not None:
            mine.files[lesson] = file
        elif parts[-1]:
            mine.remarks.append(f"{shown_name(parts[-1])} is no notebook of the course")
    if not learners:
        raise InputError(f"{folder} holds no notebooks; name the folder of a class")
    return dict(sorted(learners.items()))


def shown_name(name: str) -> str:
    """Return a name in one line, in which no sign is an order."""
    readable = name.encode("utf-8", "backslashreplace").decode()
    return harmless(re.sub(r"[\n\t]", "⏎", readable))


_Found = tuple[tuple[str, ...], File | None, tuple[float, ...]]  # parts, file, age


def _rank(found: _Found) -> tuple[bool, tuple[float, ...]]:
    return not _COPY.search(PurePosixPath(found[0][-1]).stem), found[2]


def _files(folder: Path) -> Iterator[_Found]:
    """Yield notebooks, an empty name for a folder, and what cannot be looked into."""
    if folder.is_file():
        yield from _members(folder, ())
    for place, folders, names in os.walk(folder):
        above = Path(place).relative_to(folder).parts
        folders[:] = [name for name in folders if not _PASSED_OVER.match(name)]
        if not above:
            yield from (((name, ""), None, ()) for name in folders)
        for name in (one for one in names if not _PASSED_OVER.match(one)):
            path = Path(place, name)
            if path.suffix == ".zip" and path.is_file():
                yield from _members(path, (*above, path.stem))
            elif path.suffix == ".ipynb":
                yield (*above, name), File(str(path)), (path.lstat().st_mtime,)


def _members(archive: Path, above: tuple[str, ...]) -> Iterator[_Found]:
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        yield (*above, archive.name), None, ()
        return
    for one in members:
        parts = tuple(x for x in one.filename.split("/") if x not in ("", ".."))
        if one.filename.endswith(".ipynb") and not any(map(_PASSED_OVER.match, parts)):
            file = File(str(archive), one.filename)
            yield (*above, *parts), file, tuple(map(float, one.date_time))


def _learner(parts: Sequence[str], lesson: str) -> str:
    name = parts[0]
    if len(parts) == 1:
        name = _COPY.sub("", PurePosixPath(name).stem)
        name = name.replace(lesson, "", 1).strip(" _-.") or NAMELESS
    return _PLATFORM.sub("", name)
