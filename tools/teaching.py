"""The figures of the teacher's page, worked out from what was measured of a class.

`python -m tools.teaching` writes them into docs/teaching.md, after `benchmarks
classroom` and `hub` have written docs/class.json and docs/class_hub.json anew. Knows
nothing of the rest of that page.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "teaching.md"
MEASURED = (DOCS / "class.json", DOCS / "class_hub.json")
BLOCK = r"(<!-- figures: {name} -->\n).*?(<!-- until here -->)"

KERNELS, LEARNERS = 30, 12  # that were measured, of the classroom and of the hub
SYSTEM = 2  # GB for everything else
NODE_GB, NODE_CORES = 64, 16  # a machine of a hub, as an example
LEARNERS_FOR_A_CORE = 4
VISIT = 134  # MB, of a first visit to the page that needs no server
CLASSES = (30, 100, 1_000, 10_000)
SHOWN = (
    ("memory that all share", "weights that all kernels share, both variants"),
    ("private memory of each", "memory of its own: a kernel, both variants, 50 steps"),
    ("private memory of each without packed copies", "the same without packed copies"),
    ("memory of all together", f"{KERNELS} such kernels together"),
    ("processor time of each until then", "processor time until both are open"),
    (f"a step, float32, {KERNELS} at once", f"a float32 step, {KERNELS} at once"),
    ("a step, float32, 1 at once", "a float32 step, one alone"),
    (
        "a kernel at that time, median",
        "a kernel of a class that runs 03 to 06, at its worst moment",
    ),
    ("a server at that time, median", "a learner's JupyterLab server on a hub"),
    ("until all servers run", f"until the servers of {LEARNERS} learners run"),
    (
        "until all notebooks are done",
        f"until {LEARNERS} learners, all at once, have run 03 to 06",
    ),
    ("downloaded, packages", "downloaded once: packages"),
    ("on the disk, packages", "on the disk: packages"),
    ("on the disk, models", "on the disk: models with their packed copies"),
)
OF_EACH = (
    "private memory of each",
    "a server at that time, median",
    "a kernel at that time, median",
)
Figures = Mapping[str, tuple[float, str]]  # by what was measured: the figure, its unit


def measured() -> Figures:
    """Read all figures that were measured."""
    files = [json.loads(file.read_text("utf-8")) for file in MEASURED]
    rows = [row for file in files for row in file["rows"]]
    return {row["what"]: (row["ours"], row["unit"]) for row in rows}


def tables(figures: Figures) -> dict[str, str]:
    """Make each table, by its name in the page."""
    steps, runs = "memory, if all step", "memory, if all run 03 to 06"
    machine = "learners", "machines of a hub", "cores", steps, runs
    page = "learners", "sent in all", "at 100 Mbit/s", "at 1 Gbit/s"
    return {
        "measured": _table(("what", "measured"), _shown(figures)),
        "machine": _table(machine, _machine(figures)),
        "page": _table(page, _page()),
    }


def written(page: str, figures: Figures) -> str:
    """Return the page with its tables as they should be."""
    for name, table in tables(figures).items():
        block = re.compile(BLOCK.format(name=name), re.DOTALL)
        page = block.sub(rf"\g<1>{table}\n\g<2>", page)
    return page


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = "---", *["---:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _shown(figures: Figures) -> Iterator[tuple[str, str]]:
    for key, words in SHOWN:
        figure, unit = figures[key]
        digits = 1 if figure < 10 else 0  # noqa: PLR2004
        yield words, f"{figure:,.{digits}f} {unit.removesuffix(' PSS')}"


def _machine(figures: Figures) -> Iterator[tuple[str, ...]]:
    """Yield a row for each class: how many machines, their cores and their memory."""
    shared = figures["memory that all share"][0]
    own, server, most = (figures[key][0] / 1000 for key in OF_EACH)  # GB
    in_memory = (NODE_GB - SYSTEM) / (most + server)
    on_machine = int(min(in_memory, NODE_CORES * LEARNERS_FOR_A_CORE))
    for learners in CLASSES:
        machines = ceil(learners / on_machine)
        steps = machines * (SYSTEM + shared) + learners * (own + server)
        runs = machines * SYSTEM + learners * (most + server)  # PSS has its part
        cores = ceil(learners / LEARNERS_FOR_A_CORE)
        memory = (f"{ceil(gigabytes):,} GB" for gigabytes in (steps, runs))
        yield f"{learners:,}", f"{machines:,}", f"{cores:,}", *memory


def _page() -> Iterator[tuple[str, ...]]:
    """Yield a row for each class that opens the page that needs no server."""
    for learners in CLASSES:
        sent = learners * VISIT / 1000  # GB
        times = (_time(8 * sent / speed) for speed in (0.1, 1))
        yield f"{learners:,}", f"{sent:,.0f} GB", *times


def _time(seconds: float) -> str:
    minute, hour = 60, 3600
    if seconds < 2 * minute:
        return f"{seconds:.0f} s"
    if seconds < 2 * hour:
        return f"{seconds / minute:.0f} min"
    return f"{seconds / hour:.0f} h"


def main() -> int:
    """Write the tables; returns the exit status."""
    PAGE.write_text(written(PAGE.read_text("utf-8"), measured()), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
