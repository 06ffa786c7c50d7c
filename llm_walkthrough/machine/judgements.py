"""Judgements on facts of a machine: one row for each, with what is to be done.

Pure functions, so that they can be asked about a machine that one does not have. Knows
nothing of how facts are found (`facts`, `environment`) or of how rows are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from llm_walkthrough.machine.facts import Cores, Memory
from llm_walkthrough.machine.pythons import NEWEST, OLDEST

if TYPE_CHECKING:  # rows tell that packages are missing: this one, for instance
    from packaging.requirements import Requirement

GB = 10**9
FEWEST_CORES = 2
INSTALL = "Run `python3 run.py doctor`, which installs what is missing first."

# what int4 weights are fast with; the keys are what onnxruntime is built for
FAST_INSTRUCTIONS = {"x64": "AVX2", "Arm64": "dotprod"}

# releases of onnxruntime-qnn, and the onnxruntime that each is compiled against
_QNN_BUILT_FOR = dict.fromkeys(("2.0", "2.1", "2.2", "2.3"), "1.24")
_QNN_BUILT_FOR |= {"2.4": "1.26", "2.5": "1.26", "2.7": "1.29"}


class Severity(StrEnum):
    """How much a row matters."""

    OK = "ok"
    NOTE = "note"  # works, but slower or with less than there could be
    PROBLEM = "problem"  # something will not work


OK, NOTE, PROBLEM = Severity


@dataclass(frozen=True)
class Row:
    """One question about the machine, with its answer."""

    name: str
    found: str
    wanted: str = ""
    severity: Severity = OK
    way_out: str = ""  # one sentence, empty where nothing is to be done

    @property
    def is_ok(self) -> bool:
        """Whether nothing stands in the way; a note does not."""
        return self.severity is not PROBLEM


def judge_python(implementation: str, version: tuple[int, int]) -> Row:
    """Is this a Python that the packages are built for?"""
    found = f"{implementation} {version[0]}.{version[1]}"
    wanted = f"CPython {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
    is_known = implementation == "CPython" and version >= OLDEST
    # for a newer one wheels may come any day
    severity = PROBLEM if not is_known else OK if version <= NEWEST else NOTE
    way_out = "Install such a Python from python.org and start run.py with it."
    return _row("Python", found, wanted, severity, way_out)


def judge_architecture(system: str, interpreter: str, host: str) -> Row:
    """Does this Python run on the processor itself, and is onnxruntime built for it?

    `system` is "Linux", "Windows" or "Darwin" (macOS); `interpreter` is what Python was
    built for, `host` what the processor is, as `facts` names them.
    """
    name, native = "architecture", f"a Python built for {host}"
    if interpreter not in FAST_INSTRUCTIONS:
        way_out = "onnxruntime is not built for it: install a 64-bit Python."
        return Row(name, interpreter, "x64 or Arm64", PROBLEM, way_out)
    if (system, interpreter, host) == ("Darwin", "x64", "x64"):
        way_out = "onnxruntime is not built for Intel Macs: use Binder or a container."
        return Row(name, interpreter, "Arm64", PROBLEM, way_out)
    if interpreter == host:
        return Row(name, interpreter, native)
    found = f"{interpreter}, emulated on {host}"
    if system == "Darwin":
        way_out = "onnxruntime is not built for Rosetta: install a Python for arm64."
        return Row(name, found, native, PROBLEM, way_out)
    way_out = f"Emulation is slow: install a Python, or take a container, for {host}."
    return Row(name, found, native, NOTE, way_out)


def judge_instructions(architecture: str, found: Sequence[str]) -> Row:
    """Has the processor the instructions that int4 weights are fast with?"""
    wanted = FAST_INSTRUCTIONS.get(architecture, "")
    is_fast = not wanted or wanted in found
    names = ", ".join(found) or ("" if is_fast else "none")
    way_out = "The int4 model is several times slower without; nothing else differs."
    return _row("instructions", names, wanted, OK if is_fast else NOTE, way_out)


def judge_cores(cores: Cores) -> Row:
    """How many cores may this process use?"""
    granted = min(cores.usable, cores.quota or cores.usable)
    physical = cores.physical or "unknown"
    found = f"{granted:g} usable of {cores.logical} logical, {physical} physical"
    severity = OK if granted >= FEWEST_CORES else NOTE
    way_out = "Everything works at about half the speed; grant more cores if you can."
    return _row("cores", found, f"{FEWEST_CORES} usable", severity, way_out)


def judge_memory(memory: Memory) -> Row:
    """Does the int4 model fit, and the float32 one? Most is needed to convert them."""
    limit = f", container limit {memory.limit / GB:.1f} GB" if memory.limit else ""
    found = f"{memory.available / GB:.1f} of {memory.total / GB:.1f} GB free{limit}"
    wanted = "1 GB free for the int4 model, 2 GB for the float32 one"
    severity = _by_room(memory.available, ample=2 * GB, enough=GB)
    way_out = "Close other programs, or give the container more memory."
    return _row("memory", found, wanted, severity, way_out)


def judge_disk(folder: Path, free: int, *, is_model_there: bool) -> Row:
    """Is there room for the models? Wheel and int4 model 0.3 GB, float32 0.6 GB."""
    found, wanted = f"{free / GB:.1f} GB free at {folder}", "1 GB free"
    severity = OK if is_model_there else _by_room(free, ample=GB, enough=0.3 * GB)
    way_out = "Make room, or name another folder in LLM_WALKTHROUGH_MODELS."
    return _row("disk", found, wanted, severity, way_out)


def judge_packages(
    requirements: Iterable[Requirement], installed: Mapping[str, str | None]
) -> Row:
    """Is every package there (`installed`: its version, None if not) and new enough?"""
    wrong = [
        one
        for one in requirements
        if not (version := installed.get(one.name))
        or not one.specifier.contains(version, prereleases=True)  # 1.10rc1 is newer
    ]
    if not wrong:
        return Row("packages", f"{len(installed)} of {len(installed)} as required")
    found = ", ".join(f"{one.name} {installed.get(one.name) or '-'}" for one in wrong)
    wanted = ", ".join(f"{one.name}{one.specifier}" for one in wrong)
    return Row("packages", found, wanted, PROBLEM, INSTALL)


def judge_onnxruntime(version: str, folder: Path, packages: Sequence[str]) -> Row:
    """Is there one onnxruntime, and where is its native library?

    The `packages` are all that install a module of this name, like "onnxruntime-gpu".
    """
    found, wanted = f"{version} in {folder}", "one package that is called onnxruntime"
    severity = OK if len(packages) <= 1 else NOTE  # none: built from source
    way_out = f"Keep one of {', '.join(packages)}: each overwrites files of the others."
    return _row("onnxruntime", found, wanted, severity, way_out)


def judge_providers(providers: Sequence[str]) -> Row:
    """Can onnxruntime compute on the processor?"""
    found, wanted = ", ".join(providers) or "none", "CPUExecutionProvider"
    severity = OK if wanted in providers else PROBLEM
    way_out = "Remove every onnxruntime package, then install `onnxruntime` again."
    return _row("providers", found, wanted, severity, way_out)


def judge_devices(plug_ins: Mapping[str, str], devices: Sequence[str]) -> Row:
    """Which devices are there, and is every plug-in loaded, its trouble ""?"""
    states = [f"{name}: {why or 'loaded'}" for name, why in plug_ins.items()]
    severity = NOTE if any(plug_ins.values()) else OK
    way_out = "Install the plug-in in a version that is made for this onnxruntime."
    return _row("devices", ", ".join((*devices, *states)), "", severity, way_out)


def judge_npu(
    processor: str, place: str, qnn: str | None, used: str, devices: Sequence[str]
) -> Row:
    """Is all there that Qualcomm's NPU takes? `devices` are those of onnxruntime-qnn.

    `place` is system and Python, as in "Windows Arm64"; `qnn` and `used` are the
    versions of onnxruntime-qnn and onnxruntime.
    """
    if not qnn and "Qualcomm" not in processor and "Snapdragon" not in processor:
        return Row("NPU", "not looked for: no Qualcomm processor")
    found = f"onnxruntime-qnn {qnn or 'missing'}; {', '.join(devices) or 'no device'}"
    built_for = _QNN_BUILT_FOR.get((qnn or "")[:3], "a release not known here")
    way_out = ""
    if place not in ("Windows Arm64", "Linux Arm64"):
        way_out = "It computes from a Python for Arm64 only; on x64 it just compiles."
    elif not qnn:
        way_out = "`pip install onnxruntime-qnn` brings it; the course needs no NPU."
    elif not used.startswith(f"{built_for}."):
        way_out = f"It is compiled for onnxruntime {built_for}; {used} may not do."
    elif not devices:
        way_out = "The plug-in finds no NPU: see the row `devices`; a driver may lack."
    wanted, severity = "onnxruntime-qnn with a device", NOTE if way_out else OK
    return _row("NPU", found, wanted, severity, way_out)


def judge_jupyterlab(version: str | None) -> Row:
    """Can the notebooks be opened?"""
    wanted, severity = ("for notebooks", NOTE) if version is None else ("", OK)
    way_out = "Run `python3 run.py`, which installs it; the command line needs none."
    return _row("JupyterLab", version or "missing", wanted, severity, way_out)


def judge_place(service: str) -> Row:
    """Will what a learner makes here still be here tomorrow? "": one's own machine."""
    forgets = service in ("Binder", "Google Colab", "Kaggle")
    way_out = "Download what you want to keep: files vanish with the session."
    found = service or "your own machine"
    return _row("place", found, "", NOTE if forgets else OK, way_out)


def _row(name: str, found: str, wanted: str, severity: Severity, way_out: str) -> Row:
    """Make a row that says what to do only where something is to be done."""
    return Row(name, found, wanted, severity, "" if severity is OK else way_out)


def _by_room(free: int, *, ample: float, enough: float) -> Severity:
    return OK if free >= ample else NOTE if free >= enough else PROBLEM
