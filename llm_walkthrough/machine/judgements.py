"""Judgements on facts of a machine: one row for each, with what is to be done.

Pure functions, so that they can be asked about any machine; judgements.toml has their
words. Knows nothing of how facts are found (`environment`) or of how rows are shown.
"""

from __future__ import annotations

import tomllib
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
WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
INSTALL = WORDS["packages: wrong"]["way_out"]

# what int4 weights are fast with; the keys are what onnxruntime is built for
FAST_INSTRUCTIONS = {"x64": "AVX2", "Arm64": "dotprod"}


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
    oldest, newest, this = ("{}.{}".format(*one) for one in (OLDEST, NEWEST, version))
    is_known = implementation == "CPython" and version >= OLDEST
    # for a newer one wheels may come any day
    severity = PROBLEM if not is_known else OK if version <= NEWEST else NOTE
    found = f"{implementation} {this}"
    return _row("Python", severity, found, oldest=oldest, newest=newest)


def judge_architecture(system: str, interpreter: str, host: str) -> Row:
    """Does this Python run on the processor itself, and is onnxruntime built for it?

    `system` is "Linux", "Windows" or "Darwin" (macOS); `interpreter` is what Python was
    built for, `host` what the processor is, as `facts` names them.
    """
    found, severity = interpreter, PROBLEM
    if interpreter not in FAST_INSTRUCTIONS:
        case = ": unknown"
    elif (system, interpreter, host) == ("Darwin", "x64", "x64"):
        case = ": Intel Mac"
    elif interpreter == host:
        case, severity = "", OK
    else:
        found = f"{interpreter}, emulated on {host}"
        is_mac = system == "Darwin"
        case, severity = (": Rosetta", PROBLEM) if is_mac else (": emulated", NOTE)
    return _row(f"architecture{case}", severity, found, host=host)


def judge_instructions(architecture: str, found: Sequence[str]) -> Row:
    """Has the processor the instructions that int4 weights are fast with?"""
    wanted = FAST_INSTRUCTIONS.get(architecture, "")
    is_fast = not wanted or wanted in found
    names = ", ".join(found) or ("" if is_fast else "none")
    return _row("instructions", OK if is_fast else NOTE, names, wanted=wanted)


def judge_cores(cores: Cores) -> Row:
    """How many cores may this process use?"""
    granted = min(cores.usable, cores.quota or cores.usable)
    physical = cores.physical or "unknown"
    found = f"{granted:g} usable of {cores.logical} logical, {physical} physical"
    severity = OK if granted >= FEWEST_CORES else NOTE
    return _row("cores", severity, found, fewest=FEWEST_CORES)


def judge_memory(memory: Memory) -> Row:
    """Does the int4 model fit, and the float32 one?"""
    limit = f", container limit {memory.limit / GB:.1f} GB" if memory.limit else ""
    found = f"{memory.available / GB:.1f} of {memory.total / GB:.1f} GB free{limit}"
    return _row("memory", _by_room(memory.available, ample=2 * GB, enough=GB), found)


def judge_disk(folder: Path, free: int, *, is_model_there: bool) -> Row:
    """Is there room for the models?"""
    severity = OK if is_model_there else _by_room(free, ample=GB, enough=0.3 * GB)
    return _row("disk", severity, f"{free / GB:.1f} GB free at {folder}")


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
        return _row("packages", OK, f"{len(installed)} of {len(installed)} as required")
    found = ", ".join(f"{one.name} {installed.get(one.name) or '-'}" for one in wrong)
    wanted = ", ".join(f"{one.name}{one.specifier}" for one in wrong)
    return _row("packages: wrong", PROBLEM, found, wanted=wanted)


def judge_onnxruntime(version: str, folder: Path, packages: Sequence[str]) -> Row:
    """Is it one of the `packages` that install it, and where is its native library?"""
    severity = OK if len(packages) <= 1 else NOTE  # none: built from source
    found, names = f"{version} in {folder}", ", ".join(packages)
    return _row("onnxruntime", severity, found, packages=names)


def judge_providers(providers: Sequence[str]) -> Row:
    """Can onnxruntime compute on the processor?"""
    found, wanted = ", ".join(providers) or "none", "CPUExecutionProvider"
    severity = OK if wanted in providers else PROBLEM
    return _row("providers", severity, found, wanted=wanted)


def judge_devices(plug_ins: Mapping[str, str], devices: Sequence[str]) -> Row:
    """Which devices are there, and is every plug-in loaded, its trouble ""?"""
    states = [f"{name}: {why or 'loaded'}" for name, why in plug_ins.items()]
    severity = NOTE if any(plug_ins.values()) else OK
    return _row("devices", severity, ", ".join((*devices, *states)))


def judge_npu(
    processor: str, place: str, qnn: str | None, used: str, devices: Sequence[str]
) -> Row:
    """Is all there that Qualcomm's NPU takes, in a `place` such as "Windows Arm64"?

    `qnn` and `used` are the versions of onnxruntime-qnn and onnxruntime.
    """
    if not qnn and "Qualcomm" not in processor and "Snapdragon" not in processor:
        return Row("NPU", "not looked for: no Qualcomm processor")
    found = f"onnxruntime-qnn {qnn or 'missing'}; {', '.join(devices) or 'no device'}"
    built_for = WORDS["qnn built for"].get((qnn or "")[:3], "a release not known here")
    lacks = {
        ": elsewhere": place not in ("Windows Arm64", "Linux Arm64"),
        ": no plug-in": not qnn,
        ": other version": not used.startswith(f"{built_for}."),
        ": no device": not devices,
    }
    case = next((case for case, is_so in lacks.items() if is_so), "")
    severity = NOTE if case else OK
    return _row(f"NPU{case}", severity, found, built_for=built_for, used=used)


def judge_jupyterlab(version: str | None) -> Row:
    """Can the notebooks be opened?"""
    if version is None:
        return _row("JupyterLab: missing", NOTE, "missing")
    return _row("JupyterLab", OK, version)


def judge_place(service: str) -> Row:
    """Will what a learner makes here still be here tomorrow? "": one's own machine."""
    forgets = service in ("Binder", "Google Colab", "Kaggle")
    return _row("place", NOTE if forgets else OK, service or "your own machine")


def _row(case: str, severity: Severity, found: str, **known: object) -> Row:
    """Make the row, and fill what is `known` into the words for its case."""
    texts = (WORDS[case].get(key, "") for key in ("wanted", "way_out"))
    wanted, way_out = (text.format(**known) for text in texts)
    name, way_out = case.partition(":")[0], "" if severity is OK else way_out
    return Row(name, found, wanted, severity, way_out)


def _by_room(free: float, ample: float, enough: float) -> Severity:
    return OK if free >= ample else NOTE if free >= enough else PROBLEM
