"""Things that appear on disk whole, or not at all.

New things are made in a scratch folder beside their place and renamed into it; those of
killed processes are known by their name and removed. Knows nothing of what is stored.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock, Timeout

from llm_walkthrough.errors import InputError
from llm_walkthrough.machine.facts import free_disk

SCRATCH = ".partial"  # at the end of a name
FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
IN_THE_WAY = (errno.EEXIST, errno.ENOTDIR)
_ELSEWHERE = "name a folder elsewhere (as LLM_WALKTHROUGH_MODELS does)"


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """A new folder beside `target`, in which to make it; removed at the end."""
    near, prefix = target.parent, f".{target.name}."
    near.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(SCRATCH, prefix, near, ignore_cleanup_errors=True) as path:
        yield Path(path)


@contextmanager
def replacement(folder: Path) -> Iterator[Path]:
    """A new folder, which takes the place of `folder` when all went well."""
    with scratch_folder(folder) as scratch:
        complete = scratch / "new"
        complete.mkdir()
        yield complete
        if folder.exists():  # a folder that is not empty cannot be renamed onto
            folder.rename(scratch / "old")
        complete.rename(folder)


def require_room(folder: Path, num_bytes: int) -> None:
    """Raise InputError if the disk of a folder to come has less room than that."""
    if (free := free_disk(folder)) < num_bytes:
        what = f"{folder} will take {num_bytes / 1e6:,.0f} MB, but its disk has only"
        what += f" {free / 1e6:,.0f} MB free"
        raise InputError(f"{what}; free some, or {_ELSEWHERE}")


@contextmanager
def exclusive(folder: Path, tell: Callable[[], None]) -> Iterator[None]:
    """Let one process at a time work in `folder`, cleared of what dead ones left.

    The folder is made if needed, and the system frees the lock of a killed process;
    `tell` is called once if another process must be waited for.
    """
    with refusals_explained(folder), ExitStack() as releases:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            releases.enter_context(lock.acquire(blocking=False))
        except Timeout:
            tell()
            releases.enter_context(lock)
        for scratch in folder.glob(f".*.*{SCRATCH}"):
            shutil.rmtree(scratch, ignore_errors=True)
        yield


@contextmanager
def refusals_explained(folder: Path) -> Iterator[None]:
    """A full disk, a file in the way or no right to write becomes an `InputError`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (*FULL, *FORBIDDEN, *IN_THE_WAY):
            raise
        what = f"{folder} is read-only; {_ELSEWHERE}"
        if error.errno in FULL:
            free = f"{shutil.disk_usage(folder).free / 1e6:.0f} MB free"
            what = f"the disk of {folder} is full ({free}); free 1 GB, or {_ELSEWHERE}"
        if error.errno in IN_THE_WAY:
            what = f"a file stands in the way of {folder}; move it, or {_ELSEWHERE}"
        raise InputError(f"{what}, and start again") from error
