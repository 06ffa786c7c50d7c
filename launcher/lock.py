"""The lock that keeps two starts at once out of each other's way."""

from __future__ import annotations

import contextlib
import errno
import sys
import time
from typing import TYPE_CHECKING

from launcher.places import LOCK, VENV
from launcher.words import say

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

HELD = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}


@contextlib.contextmanager
def only_one() -> Iterator[int]:
    """Wait until no other start is setting up here; yields the lock's descriptor.

    The operating system frees the lock when its last holder ends, however it ends. The
    tools that we start inherit it: if we are killed and pip lives on, the next start
    waits for that pip.
    """
    VENV.mkdir(exist_ok=True)
    with LOCK.open("ab") as file:
        if not try_lock(file):
            say("Another run.py is setting up here; waiting for it to finish.")
            while not try_lock(file):
                time.sleep(0.2)
        yield file.fileno()


def try_lock(file: BinaryIO) -> bool:
    """Take the lock, unless another process has it."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Any other error means a file system without locks: carry on without one.
        return error.errno not in HELD
    return True
