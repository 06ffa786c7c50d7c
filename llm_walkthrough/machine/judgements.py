"""What does a fact about a machine mean for this package, and what is to be done?

Pure functions from facts to rows, so that they can be asked about a machine that one
does not have. Knows nothing of how facts are found (`machine`, `environment`) or of how
rows are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from llm_walkthrough.machine.pythons import NEWEST, OLDEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from packaging.requirements import Requirement

    from llm_walkthrough.machine.facts import Cores, Memory

GB = 10**9
FEWEST_CORES = 2

FAST_INSTRUCTIONS = {"x64": "AVX2", "Arm64": "dotprod"}
"""What int4 weights are fast with; the keys are what onnxruntime is built for."""


class Severity(StrEnum):
    """How much a row matters."""

    OK = "ok"
    NOTE = "note"
    """Works, but slower or with less than there could be."""
    PROBLEM = "problem"
    """Something will not work."""


@dataclass(frozen=True)
class Row:
    """One question about the machine, with its answer."""

    name: str
    found: str
    wanted: str = ""
    severity: Severity = Severity.OK
    way_out: str = ""
    """One sentence that says what to do, empty where nothing is to be done."""

    @property
    def is_ok(self) -> bool:
        """Whether nothing stands in the way; a note does not."""
        return self.severity is not Severity.PROBLEM


def judge_python(implementation: str, version: tuple[int, int]) -> Row:
    """Is this a Python that the packages are built for?"""
    name, found = "Python", f"{implementation} {version[0]}.{version[1]}"
    wanted = f"CPython {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
    if implementation == "CPython" and OLDEST <= version <= NEWEST:
        return Row(name, found, wanted)
    is_new = implementation == "CPython" and version > NEWEST
    severity = Severity.NOTE if is_new else Severity.PROBLEM
    way_out = "Install such a Python from python.org and start run.py with it."
    return Row(name, found, wanted, severity, way_out)


def judge_architecture(system: str, interpreter: str, host: str) -> Row:
    """Does this Python run on the processor itself, and is onnxruntime built for it?

    Args:
        system: `platform.system()`: "Linux", "Windows" or "Darwin" (macOS).
        interpreter: what Python was built for, as `machine` names it.
        host: what the processor is.
    """
    name, wanted = "architecture", f"a Python built for {host}"
    if interpreter not in FAST_INSTRUCTIONS:
        way_out = "onnxruntime is not built for it: install a 64-bit Python."
        return Row(name, interpreter, "x64 or Arm64", Severity.PROBLEM, way_out)
    if (system, interpreter, host) == ("Darwin", "x64", "x64"):
        way_out = "onnxruntime is not built for Intel Macs: use Binder or a container."
        return Row(name, interpreter, "Arm64", Severity.PROBLEM, way_out)
    if interpreter == host:
        return Row(name, interpreter, wanted)
    found = f"{interpreter}, emulated on {host}"
    if system == "Darwin":
        way_out = "onnxruntime is not built for Rosetta: install a Python for arm64."
        return Row(name, found, wanted, Severity.PROBLEM, way_out)
    way_out = f"Emulation is slow: install a Python, or take a container, for {host}."
    return Row(name, found, wanted, Severity.NOTE, way_out)


def judge_instructions(architecture: str, found: Sequence[str]) -> Row:
    """Has the processor the instructions that int4 weights are fast with?"""
    name, wanted = "instructions", FAST_INSTRUCTIONS.get(architecture, "")
    if not wanted or wanted in found:
        return Row(name, ", ".join(found), wanted)
    way_out = "The int4 model is several times slower without; nothing else differs."
    return Row(name, ", ".join(found) or "none", wanted, Severity.NOTE, way_out)


def judge_cores(cores: Cores) -> Row:
    """How many cores may this process use?"""
    name, wanted = "cores", f"{FEWEST_CORES} usable"
    granted = min(cores.usable, cores.quota or cores.usable)
    physical = cores.physical or "unknown"
    found = f"{granted:g} usable of {cores.logical} logical, {physical} physical"
    if granted >= FEWEST_CORES:
        return Row(name, found, wanted)
    way_out = "Everything works at about half the speed; grant more cores if you can."
    return Row(name, found, wanted, Severity.NOTE, way_out)


def judge_memory(memory: Memory) -> Row:
    """Does the int4 model fit, and the float32 one? Most is needed to convert them."""
    limit = f", container limit {memory.limit / GB:.1f} GB" if memory.limit else ""
    found = f"{memory.available / GB:.1f} of {memory.total / GB:.1f} GB free{limit}"
    name, wanted = "memory", "1 GB free for the int4 model, 2 GB for the float32 one"
    if memory.available >= 2 * GB:
        return Row(name, found, wanted)
    way_out = "Close other programs, or give the container more memory."
    severity = Severity.NOTE if memory.available >= GB else Severity.PROBLEM
    return Row(name, found, wanted, severity, way_out)


def judge_disk(folder: Path, free: int, *, is_model_there: bool) -> Row:
    """Is there room for the models? Wheel and int4 model 0.3 GB, float32 0.6 GB."""
    name, found, wanted = "disk", f"{free / GB:.1f} GB free at {folder}", "1 GB free"
    if is_model_there or free >= GB:
        return Row(name, found, wanted)
    severity = Severity.NOTE if free >= 0.3 * GB else Severity.PROBLEM
    way_out = "Make room, or name another folder in LLM_WALKTHROUGH_MODELS."
    return Row(name, found, wanted, severity, way_out)


def judge_packages(
    requirements: Iterable[Requirement], installed: Mapping[str, str | None]
) -> Row:
    """Is every package there, in a version that is new enough?

    Args:
        requirements: such as `Requirement("numpy>=2.3")`.
        installed: name of each required package to its version, None if missing.
    """
    wrong = [
        one
        for one in requirements
        if (version := installed.get(one.name)) is None
        or not one.specifier.contains(version, prereleases=True)
    ]
    if not wrong:
        return Row("packages", f"{len(installed)} of {len(installed)} as required")
    found = ", ".join(f"{one.name} {installed.get(one.name) or '-'}" for one in wrong)
    wanted = ", ".join(f"{one.name}{one.specifier}" for one in wrong)
    way_out = "Run `python3 run.py doctor`, which installs what is missing first."
    return Row("packages", found, wanted, Severity.PROBLEM, way_out)


def judge_onnxruntime(version: str, folder: Path, packages: Sequence[str]) -> Row:
    """Is there one onnxruntime, and where is its native library?

    Args:
        version: as the loaded module tells it.
        folder: where that module was loaded from.
        packages: all that install a module of this name, such as "onnxruntime-gpu".
    """
    found, wanted = f"{version} in {folder}", "one package that is called onnxruntime"
    if len(packages) <= 1:
        return Row("onnxruntime", found, wanted)
    way_out = f"Keep one of {', '.join(packages)}: each overwrites files of the others."
    return Row("onnxruntime", found, wanted, Severity.NOTE, way_out)


def judge_providers(providers: Sequence[str]) -> Row:
    """Can onnxruntime compute on the processor?"""
    name, found, wanted = "providers", ", ".join(providers), "CPUExecutionProvider"
    if wanted in providers:
        return Row(name, found, wanted)
    way_out = "Remove every onnxruntime package, then install `onnxruntime` again."
    return Row(name, found or "none", wanted, Severity.PROBLEM, way_out)


def judge_jupyterlab(version: str | None) -> Row:
    """Can the notebooks be opened?"""
    if version is not None:
        return Row("JupyterLab", version)
    way_out = "Run `python3 run.py`, which installs it; the command line needs none."
    return Row("JupyterLab", "missing", "for notebooks", Severity.NOTE, way_out)


def judge_place(service: str) -> Row:
    """Will what a learner makes here still be here tomorrow?

    Args:
        service: that runs this Python, "" on a machine of one's own.
    """
    if service in ("Binder", "Google Colab", "Kaggle"):
        way_out = "Download what you want to keep: files vanish with the session."
        return Row("place", service, "", Severity.NOTE, way_out)
    return Row("place", service or "your own machine")
