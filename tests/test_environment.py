from __future__ import annotations

import importlib
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from llm_walkthrough import environment
from llm_walkthrough.environment import REPOSITORY, check, to_share, to_text
from llm_walkthrough.errors import InputError
from llm_walkthrough.machine import facts, providers
from llm_walkthrough.machine.judgements import Row, Severity

Replace = Callable[..., None]
ROWS = [
    Row("Python", "CPython 3.12", "CPython 3.11 to 3.14"),
    Row("memory", "0.5 GB free", "1 GB free", Severity.PROBLEM, "Close programs."),
]


def choices() -> dict[str, object]:
    return {"small-int4": None, "small-float32": None}


@pytest.fixture
def replace(monkeypatch: pytest.MonkeyPatch) -> Replace:
    """Give a module another content, for all who import it by name from now on."""
    real = importlib.import_module

    def replace(module: str, **content: object) -> None:
        def import_module(name: str) -> ModuleType | SimpleNamespace:
            return SimpleNamespace(**content) if name == module else real(name)

        monkeypatch.setattr(importlib, "import_module", import_module)

    return replace


def answer(name: str) -> Row:
    return next(row for row in check() if row.name == name)


def test_every_question_about_this_machine_gets_one_row_of_its_name() -> None:
    rows = check()
    assert [row.name for row in rows if row.found] == list(environment.QUESTIONS)
    assert all(row.is_ok for row in rows if row.name in ("Python", "providers"))


def test_a_probe_that_breaks_tells_so_in_its_row_and_hides_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> Row:
        raise PermissionError("no access to /proc")

    def missing() -> Row:
        raise ImportError("DLL load failed")

    questions = {"a": broken, "b": missing, "c": lambda: ROWS[0]}
    monkeypatch.setattr(environment, "QUESTIONS", questions)
    first, second, third = check()
    assert (first.name, first.severity) == ("a", Severity.NOTE)
    assert "PermissionError: no access to /proc" in first.found
    assert (second.name, second.severity) == ("b", Severity.PROBLEM)
    assert "DLL load failed" in second.found
    assert "run.py" in second.way_out
    assert third is ROWS[0]


def test_text_is_aligned_and_says_what_to_do_only_where_there_is_need() -> None:
    assert to_text(ROWS).splitlines() == [
        "ok       Python        CPython 3.12",
        "problem  memory        0.5 GB free",
        "                       wanted: 1 GB free. Close programs.",
    ]


def test_the_row_of_the_model_names_its_folder_or_repeats_what_the_catalogue_says(
    replace: Replace,
) -> None:
    def missing(name: str) -> Path:
        raise InputError(f"{name} is not there; run: llm-walkthrough models fetch")

    replace("llm_walkthrough.catalogue", choices=choices, find=missing)
    row = answer("model")
    assert (row.severity, row.wanted) == (Severity.PROBLEM, "small-int4")
    assert "models fetch" in row.way_out
    replace("llm_walkthrough.catalogue", choices=choices, find=Path)
    assert answer("model") == Row("model", "small-int4", "small-int4")


def test_the_row_of_packed_copies_tells_what_they_take(
    replace: Replace, tmp_path: Path
) -> None:
    replace("llm_walkthrough.catalogue", models_folder=lambda: tmp_path)
    assert "models pack" in answer("packed").found
    copy = tmp_path / "small-int4" / "packed" / "for-this-machine"
    copy.mkdir(parents=True)
    (copy / "model.onnx").write_bytes(bytes(2_000_000))
    assert answer("packed").found == "2 MB of weights that processes share"


def test_a_full_disk_matters_only_where_the_model_is_not_known_to_be_there(
    replace: Replace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str) -> Path:
        raise OSError(name)

    monkeypatch.setattr(facts, "free_disk", lambda _: 0)
    for find, severity in ((broken, Severity.PROBLEM), (Path, Severity.OK)):
        folder = {"models_folder": lambda: Path("m")}
        replace("llm_walkthrough.catalogue", choices=choices, find=find, **folder)
        assert answer("disk").severity is severity


def test_packages_that_are_missing_cost_only_the_rows_that_need_them(
    tmp_path: Path,
) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from llm_walkthrough.environment import check, to_text\n"
        "print(to_text(check()))"
    )
    root = Path(environment.__file__).parents[1]
    command = [sys.executable, "-I", "-S", "-c", program, str(root)]
    text = subprocess.check_output(command, text=True, cwd=tmp_path)
    rows = [line.split()[:2] for line in text.splitlines() if line[0] != " "]
    assert ["ok", "Python"] in rows
    assert ["problem", "memory"] in rows
    assert ["problem", "onnxruntime"] in rows
    assert len(rows) == len(environment.QUESTIONS)


def test_devices_are_named_with_kind_and_provider_once_plug_ins_are_registered(
    replace: Replace, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[SimpleNamespace] = []

    def plug_ins() -> dict[str, str]:
        kind = SimpleNamespace(type=SimpleNamespace(name="NPU"))
        there.append(SimpleNamespace(ep_name="QNNExecutionProvider", device=kind))
        return {"onnxruntime_qnn": ""}

    monkeypatch.setattr(providers, "plug_ins", plug_ins)
    replace("onnxruntime", get_ep_devices=lambda: there)
    found = "QNNExecutionProvider (NPU), onnxruntime_qnn: loaded"
    assert answer("devices").found == found
    replace("onnxruntime", get_available_providers=lambda: ["CPUExecutionProvider"])
    assert answer("devices").severity is Severity.NOTE
    assert answer("providers").severity is Severity.OK


def test_the_npu_is_judged_by_processor_python_versions_and_devices_of_its_plug_in(
    replace: Replace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def device(provider: str, kind: str) -> SimpleNamespace:
        of_kind = SimpleNamespace(type=SimpleNamespace(name=kind))
        return SimpleNamespace(ep_name=provider, device=of_kind)

    assert "onnxruntime-qnn" not in answer("NPU").found
    devices = [device("CPUExecutionProvider", "CPU")]
    replace("onnxruntime", get_ep_devices=lambda: devices)
    versions = {"onnxruntime-qnn": "2.7.0", "onnxruntime": "1.29.1"}
    monkeypatch.setattr(environment, "_version", versions.get)
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setattr(facts, "interpreter_architecture", lambda: "Arm64")
    assert "finds no NPU" in answer("NPU").way_out
    devices.append(device("QNNExecutionProvider", "NPU"))
    row = answer("NPU")
    assert (row.severity, row.found) == (
        Severity.OK,
        "onnxruntime-qnn 2.7.0; QNNExecutionProvider (NPU)",
    )


def test_packages_are_compared_with_what_this_package_requires(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = ["numpy>=1", 'old>=1; python_version < "3"', 'netron>=8; extra == "lab"']
    monkeypatch.setattr(metadata, "requires", lambda _: lines)
    assert answer("packages").found == "1 of 1 as required"
    lines.append("no-such-package>=2")
    assert answer("packages").found == "no-such-package -"


def test_rows_to_share_tell_nothing_of_this_users_folders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # a folder inside another is replaced as a whole
    monkeypatch.setattr(sys, "prefix", str(REPOSITORY / ".venv"))
    model = Row("model", "not ready", way_out=f"Look into {REPOSITORY}/models.")
    native = Row("onnxruntime", f"1.32 in {sys.prefix}/lib and {Path.home()}/lib")
    assert to_share([model, native]) == [
        Row("model", "not ready", way_out="Look into {course}/models."),
        Row("onnxruntime", "1.32 in {python}/lib and ~/lib"),
    ]
