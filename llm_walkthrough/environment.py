"""Rows that tell whether this machine is ready, and what is to be done if not.

Has the facts (from `machine.facts`, and from here for the installed packages) judged by
`machine.judgements`. Knows nothing of how rows are shown, except as plain text.
"""

from __future__ import annotations

import importlib
import platform
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from llm_walkthrough.errors import InputError
from llm_walkthrough.machine import facts, judgements
from llm_walkthrough.machine.judgements import Row, Severity

REPOSITORY = Path(__file__).resolve().parent.parent


def check() -> list[Row]:
    """Answer all questions about this machine; one that fails says so in its row."""
    return [_answer(name, question) for name, question in QUESTIONS.items()]


def to_text(rows: Iterable[Row]) -> str:
    """Write the rows for a terminal, aligned, with what to do below the row."""
    lines = []
    for row in rows:
        lines.append(f"{row.severity:<9}{row.name:<14}{row.found}")
        if row.severity is not Severity.OK:
            wanted = f"wanted: {row.wanted}. " if row.wanted else ""
            lines.append(f"{'':23}{wanted}{row.way_out}")
    return "\n".join(lines)


def to_share(rows: Iterable[Row]) -> list[Row]:
    """Give the rows with "{python}", "{course}" and "~" for this user's folders."""
    home = str(Path.home())
    places = {sys.prefix: "{python}", str(REPOSITORY): "{course}", home: "~"}

    def shared(text: str) -> str:
        for place in sorted(places, key=len, reverse=True):  # an inner folder first
            text = text.replace(place, places[place])
        return text

    shown = ((row, shared(row.found), shared(row.way_out)) for row in rows)
    return [replace(row, found=found, way_out=way_out) for row, found, way_out in shown]


def _answer(name: str, question: Callable[[], Row]) -> Row:
    try:
        return question()
    except ImportError as error:
        found = f"cannot be loaded: {error}"
        return Row(name, found, "", Severity.PROBLEM, judgements.INSTALL)
    except Exception as error:  # noqa: BLE001 - a broken probe must not hide the others
        found = f"not known: {type(error).__name__}: {error}"
        way_out = "The other rows still hold; report this one if it fails again."
        return Row(name, found, "", Severity.NOTE, way_out)


# --- questions ----------------------------------------------------------------------
# a module is loaded where it is needed: one that is broken costs only its own row
def _model() -> Row:
    catalogue = importlib.import_module("llm_walkthrough.catalogue")
    default = ""
    try:
        default = next(iter(catalogue.choices()))  # full names first, int4 before all
        return Row("model", str(catalogue.find(default)), default)
    except InputError as error:
        return Row("model", "not ready", default, Severity.PROBLEM, str(error))


def _packed() -> Row:
    folder = importlib.import_module("llm_walkthrough.catalogue").models_folder()
    sizes = [one.stat().st_size for one in folder.glob("*/packed/*/*")]
    shared = f"{sum(sizes) / 1e6:,.0f} MB of weights that processes share"
    return Row("packed", shared if sizes else "none; see `llm-walkthrough models pack`")


def _disk() -> Row:
    folder = importlib.import_module("llm_walkthrough.catalogue").models_folder()
    is_there = _answer("model", _model).severity is Severity.OK
    free = facts.free_disk(folder)
    return judgements.judge_disk(folder, free, is_model_there=is_there)


def _packages() -> Row:
    """Compare what is installed with what this package's own metadata asks for."""
    requirement = importlib.import_module("packaging.requirements").Requirement
    lines = map(requirement, metadata.requires("llm-walkthrough") or ())
    without = {"extra": ""}  # not what only an extra asks for
    needed = [one for one in lines if not one.marker or one.marker.evaluate(without)]
    installed = {one.name: _version(one.name) for one in needed}
    return judgements.judge_packages(needed, installed)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _onnxruntime() -> Row:
    onnxruntime = importlib.import_module("onnxruntime")
    packages = sorted(set(metadata.packages_distributions().get("onnxruntime", ())))
    folder = Path(onnxruntime.__file__ or "").parent / "capi"
    return judgements.judge_onnxruntime(onnxruntime.__version__, folder, packages)


def _devices() -> list[str]:
    devices = importlib.import_module("onnxruntime").get_ep_devices()
    return [f"{one.ep_name} ({one.device.type.name})" for one in devices]


def _npu() -> Row:
    place = f"{platform.system()} {facts.interpreter_architecture()}"
    versions = _version("onnxruntime-qnn"), str(_version("onnxruntime"))
    devices = [name for name in _devices() if name.startswith("QNN")]
    return judgements.judge_npu(facts.processor_name(), place, *versions, devices)


QUESTIONS: dict[str, Callable[[], Row]] = {
    "Python": lambda: judgements.judge_python(
        platform.python_implementation(), sys.version_info[:2]
    ),
    "architecture": lambda: judgements.judge_architecture(
        platform.system(), facts.interpreter_architecture(), facts.host_architecture()
    ),
    "system": lambda: Row("system", platform.platform()),
    "processor": lambda: Row("processor", facts.processor_name() or "without a name"),
    "instructions": lambda: judgements.judge_instructions(
        facts.host_architecture(), facts.instruction_sets()
    ),
    "cores": lambda: judgements.judge_cores(facts.cores()),
    "memory": lambda: judgements.judge_memory(facts.memory()),
    "disk": _disk,
    "onnxruntime": _onnxruntime,
    "providers": lambda: judgements.judge_providers(
        importlib.import_module("onnxruntime").get_available_providers()
    ),
    "devices": lambda: judgements.judge_devices(
        importlib.import_module("llm_walkthrough.machine.providers").plug_ins(),
        _devices(),  # those of a plug-in once it is registered
    ),
    "NPU": _npu,
    "packages": _packages,
    "model": _model,
    "packed": _packed,
    "JupyterLab": lambda: judgements.judge_jupyterlab(_version("jupyterlab")),
    "place": lambda: judgements.judge_place(facts.place()),
}
