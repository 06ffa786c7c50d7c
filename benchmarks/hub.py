"""Learners on a real JupyterHub: whether all works for them at once, and what it takes.

Each runs the notebooks 03 to 06 on a server of their own while the others do the same,
and then tries to get at what is another's. Knows nothing of how the hub is set up
(`hub_site`), nor how a cell is compared with what is stored: nbval does that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from stat import S_ISREG
from statistics import median
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import perf_counter as now
from xml.etree import ElementTree as ET

import httpx2
import psutil

from benchmarks.hub_kernel import SERVER, TOKEN, HubKernel
from benchmarks.hub_site import (
    ROOT,
    Learner,
    Site,
    accounts,
    processes_of,
    python_for_all,
    started,
)
from benchmarks.report import Bar, Report, Row, Show
from llm_walkthrough.catalogue import entries
from llm_walkthrough.command_line import terminal

LESSONS = sorted((ROOT / "notebooks").glob("0[3-6]_*.ipynb"))
NONE = Bar("at most", 0)
SECONDS_BETWEEN = 3  # two looks at the memory

# Prints which of these doors open for the learner in whose kernel it runs.
DOORS = """
import json, os
from pathlib import Path
home, server = Path({home!r}), {server}
doors = [
    lambda: os.listdir(home),
    lambda: (home / "my_course/03_prefill.ipynb").read_bytes(),
    lambda: (home / "note").write_text(""),
    lambda: os.listdir({kernels!r}),
    lambda: Path(f"/proc/{{server}}/environ").read_bytes(),
    lambda: os.listdir(f"/proc/{{server}}/fd"),
]
doors += [(Path(folder) / "note").touch for folder in {shared!r}]
opened = []
for number, door in enumerate(doors):
    try:
        door()
        opened.append(number)
    except OSError:
        pass
print(json.dumps(opened))
"""
OWN_DOORS = 6  # of them open for the learner whose home it is


def measure(path: Path, show: Show, learners: int = 12) -> Report:
    """Have so many learners, at least 2, run four notebooks at once; takes ten minutes.

    The notebooks open the default model, so `path` is not used.
    """
    del path
    python = python_for_all()
    with ExitStack() as stack:
        site = Site(Path(stack.enter_context(TemporaryDirectory(prefix="lw-hub-"))))
        times = [now()]
        show("setting up", 0)
        site.set_up(python)
        times.append(now())
        names = stack.enter_context(accounts(learners, site.home / "homes"))
        hub = stack.enter_context(started(site, names))
        pool = stack.enter_context(ThreadPoolExecutor(learners))
        show("starting servers", 0)
        present = list(pool.map(hub.log_in, names))
        times.append(now())
        show("running notebooks", 0)
        with watched(names) as memory:
            lessons = list(pool.map(do_lessons, present))
        times.append(now())
        show("trying doors", 0)
        doors = list(count_doors(present, site))
        disk = list(disk_use(site, present[0]))
    took = [(end - start) / 60 for start, end in pairwise(times)]
    rows = (
        Row("cells compared", "", sum(cells for cells, _ in lessons)),
        Row("of them other than stored", "", sum(wrong for _, wrong in lessons), NONE),
        *doors,
        Row("set-up", "minutes", took[0]),
        Row("until all servers run", "minutes", took[1]),
        Row("until all notebooks are done", "minutes", took[2]),
        *memory,
        *disk,
    )
    return Report(f"JupyterHub, learners: {learners}, notebooks: 03 to 06", rows)


def do_lessons(learner: Learner) -> tuple[int, int]:
    """Run the notebooks; returns how many cells there were, and how many are wrong."""
    with TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        options = ["--nbval", "--nbval-sanitize-with", "tests/nbval.cfg", "--quiet"]
        options += ["-p", "benchmarks.hub_kernel", f"--junit-xml={report}"]
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "pytest", *options, *LESSONS],
            cwd=ROOT,
            env={**os.environ, SERVER: learner.addresses[0], TOKEN: learner.token},
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            terminal.note(f"{learner.name}: {done.stdout[-4000:]}{done.stderr[-1000:]}")
        counts = ET.parse(report).getroot()[0].attrib  # noqa: S314 - our own
    return int(counts["tests"]), int(counts["failures"]) + int(counts["errors"])


# --- what is another's ----------------------------------------------------------------


def count_doors(learners: Sequence[Learner], site: Site) -> Iterator[Row]:
    """Have each try to get at the files of the next, and at their own."""
    own = min(len(open_doors(one, one, site)) for one in learners)
    yield Row("ways into one's own files", "", own, Bar("at least", OWN_DOORS))
    others = [*learners[1:], learners[0]]
    foreign = sum(
        len(open_doors(one, other, site)) + entered(one, other)
        for one, other in zip(learners, others, strict=True)
    )
    yield Row("ways into another's", "", foreign, NONE)


def open_doors(learner: Learner, other: Learner, site: Site) -> list[int]:
    """Try what belongs to the other one, and what nobody may change."""
    shared = site.course, site.course / "models", site.environment
    code = DOORS.format(
        home=other.variable("HOME"),
        kernels=other.variable("JUPYTER_RUNTIME_DIR"),
        server=other.server.pid,
        shared=[*map(str, shared)],
    )
    kernel = HubKernel(learner.addresses[0], learner.token)
    opened: list[int] = json.loads(kernel.printed(code))
    kernel.stop()
    return opened


def entered(learner: Learner, other: Learner) -> int:
    """Count the addresses at which the other one's server lets the learner in."""
    token = {"Authorization": f"token {learner.token}"}
    answers = [
        httpx2.get(f"{address}api/contents", headers=token)
        for address in other.addresses
    ]
    return sum(answer.is_success for answer in answers)


# --- what it takes --------------------------------------------------------------------


@contextmanager
def watched(names: Sequence[str]) -> Iterator[list[Row]]:
    """Look every few seconds what all processes hold; the rows are there in the end."""
    rows: list[Row] = []
    looks: list[tuple[float, float, float]] = []
    ended = Event()

    def look() -> None:
        while not ended.wait(SECONDS_BETWEEN):
            looks.append(megabytes(names))

    watcher = Thread(target=look)
    watcher.start()
    try:
        yield rows
    finally:
        ended.set()
        watcher.join()
    most, server, kernel = max([*looks, megabytes(names)])
    rows += [
        Row("memory of all together, at most", "GB PSS", most / 1e3),
        Row("a server at that time, median", "MB PSS", server),
        Row("a kernel at that time, median", "MB PSS", kernel),
    ]


def megabytes(names: Sequence[str]) -> tuple[float, float, float]:
    """Return the memory of everything that runs for learners, of a server, a kernel."""
    servers: list[float] = []
    kernels: list[float] = []
    for process in processes_of(names):
        with suppress(psutil.Error):  # it has ended meanwhile
            is_kernel = "ipykernel_launcher" in process.cmdline()
            pss = float(process.memory_full_info().pss) / 1e6
            (kernels if is_kernel else servers).append(pss)
    return sum(servers + kernels), median(servers or [0]), median(kernels or [0])


def disk_use(site: Site, learner: Learner) -> Iterator[Row]:
    """Say what was downloaded, and what lies on the disk."""
    yield Row("downloaded, packages", "MB", size(site.wheels))
    yield Row("downloaded, the model", "MB", entries()[0].download_bytes / 1e6)
    yield Row("on the disk, packages", "MB", size(site.environment))
    yield Row("on the disk, models", "MB", size(site.course / "models"))
    yield Row("on the disk, a home", "MB", size(Path(learner.variable("HOME"))))


def size(folder: Path) -> float:
    """Return the MB of all files in a folder."""
    every = (file.lstat() for file in folder.rglob("*"))
    return sum(file.st_size for file in every if S_ISREG(file.st_mode)) / 1e6
