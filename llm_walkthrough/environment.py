"""Is this machine ready, and if not, what is to be done?

`check` asks one question for each row: it finds the facts (`machine`, and here for the
installed packages) and has them judged (`readiness`). Knows nothing of how rows are
shown, except as plain text.
"""

from __future__ import annotations

import importlib
import platform
import sys
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from llm_walkthrough.errors import InputError
from llm_walkthrough.machine import facts, judgements
from llm_walkthrough.machine.judgements import Row, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

PACKAGE = "llm-walkthrough"
DEFAULT_MODEL = "smollm2-135m-instruct-int4"
REPOSITORY = Path(__file__).resolve().parent.parent


def check(questions: Mapping[str, Callable[[], Row]] | None = None) -> list[Row]:
    """Answer all questions about this machine; one that fails tells so in its row.

    Args:
        questions: name of the row to what answers it, `QUESTIONS` unless given.
    """
    asked = QUESTIONS if questions is None else questions
    return [_answer(name, question) for name, question in asked.items()]


def to_text(rows: Iterable[Row]) -> str:
    """Write the rows for a terminal, aligned, with what to do below the row."""
    lines = []
    for row in rows:
        lines.append(f"{row.severity:<9}{row.name:<14}{row.found}")
        if row.severity is not Severity.OK:
            wanted = f"wanted: {row.wanted}. " if row.wanted else ""
            lines.append(f"{'':23}{wanted}{row.way_out}")
    return "\n".join(lines)


def to_records(rows: Iterable[Row]) -> list[dict[str, str]]:
    """Give the rows as plain dicts, ready for JSON."""
    return [asdict(row) for row in rows]


def to_share(rows: Iterable[Row]) -> list[Row]:
    """Give the rows without what tells where this user keeps things.

    Returns:
        The same rows, in whose texts "{python}" stands for the folder of this Python's
        environment, "{course}" for that of the course and "~" for the user's own.
    """
    places = {sys.prefix: "{python}", str(REPOSITORY): "{course}"}
    return [_renamed(row, {**places, str(Path.home()): "~"}) for row in rows]


def _renamed(row: Row, places: Mapping[str, str]) -> Row:
    found, way_out = row.found, row.way_out
    for place in sorted(places, key=len, reverse=True):  # a folder before its parent
        found = found.replace(place, places[place])
        way_out = way_out.replace(place, places[place])
    return replace(row, found=found, way_out=way_out)


def _answer(name: str, question: Callable[[], Row]) -> Row:
    try:
        return question()
    except ImportError as error:
        way_out = "Run `python3 run.py doctor`, which installs what is missing first."
        return Row(name, f"cannot be loaded: {error}", "", Severity.PROBLEM, way_out)
    except Exception as error:  # noqa: BLE001 - a broken probe must not hide the others
        found = f"not known: {type(error).__name__}: {error}"
        way_out = "The other rows hold; report this one if it stays."
        return Row(name, found, "", Severity.NOTE, way_out)


# --- questions ----------------------------------------------------------------------
# Packages, and what imports them, are loaded by the question that needs them, so that
# one that is missing or broken costs only its own row.
def _python() -> Row:
    return judgements.judge_python(
        platform.python_implementation(), sys.version_info[:2]
    )


def _architecture() -> Row:
    return judgements.judge_architecture(
        platform.system(),
        facts.interpreter_architecture(),
        facts.host_architecture(),
    )


def _instructions() -> Row:
    return judgements.judge_instructions(
        facts.host_architecture(), facts.instruction_sets()
    )


def _disk() -> Row:
    folder = importlib.import_module("llm_walkthrough.catalogue").models_folder()
    free = facts.free_disk(folder)
    is_there = _answer("model", _model).severity is Severity.OK
    return judgements.judge_disk(folder, free, is_model_there=is_there)


def _model() -> Row:
    catalogue = importlib.import_module("llm_walkthrough.catalogue")
    try:
        return Row("model", str(catalogue.find(DEFAULT_MODEL)), DEFAULT_MODEL)
    except InputError as error:
        return Row("model", "not ready", DEFAULT_MODEL, Severity.PROBLEM, str(error))


def _packages() -> Row:
    requirement = importlib.import_module("packaging.requirements").Requirement
    needed = [requirement(line) for line in metadata.requires(PACKAGE) or ()]
    needed = [
        one for one in needed if not one.marker or one.marker.evaluate({"extra": ""})
    ]
    return judgements.judge_packages(
        needed, {one.name: _version(one.name) for one in needed}
    )


def _onnxruntime() -> Row:
    onnxruntime = importlib.import_module("onnxruntime")
    packages = sorted(set(metadata.packages_distributions().get("onnxruntime", ())))
    native_library = Path(onnxruntime.__file__ or "").parent / "capi"
    return judgements.judge_onnxruntime(
        onnxruntime.__version__, native_library, packages
    )


def _providers() -> Row:
    onnxruntime = importlib.import_module("onnxruntime")
    return judgements.judge_providers(onnxruntime.get_available_providers())


def _devices() -> Row:
    devices = importlib.import_module("onnxruntime").get_ep_devices()
    found = (f"{one.ep_name} ({one.device.type.name})" for one in devices)
    return Row("devices", ", ".join(found) or "none beside the providers")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


QUESTIONS: dict[str, Callable[[], Row]] = {
    "Python": _python,
    "architecture": _architecture,
    "system": lambda: Row("system", platform.platform()),
    "processor": lambda: Row("processor", facts.processor_name() or "without a name"),
    "instructions": _instructions,
    "cores": lambda: judgements.judge_cores(facts.cores()),
    "memory": lambda: judgements.judge_memory(facts.memory()),
    "disk": _disk,
    "onnxruntime": _onnxruntime,
    "providers": _providers,
    "devices": _devices,
    "packages": _packages,
    "model": _model,
    "JupyterLab": lambda: judgements.judge_jupyterlab(_version("jupyterlab")),
    "place": lambda: judgements.judge_place(facts.place()),
}
