from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from llm_walkthrough.machine import judgements
from llm_walkthrough.machine.facts import Cores, Memory
from llm_walkthrough.machine.judgements import GB, Row, Severity

OK, NOTE, PROBLEM = Severity.OK, Severity.NOTE, Severity.PROBLEM


def assert_judged(row: Row, severity: Severity, way_out: str = "") -> None:
    """The severity fits, and a way out is told exactly where there is need of one."""
    assert row.severity is severity, row
    assert bool(row.way_out) == (severity is not OK), row
    assert way_out in row.way_out, row
    assert row.found, row


@pytest.mark.parametrize(
    ("implementation", "version", "severity"),
    [
        ("CPython", (3, 10), PROBLEM),
        ("CPython", (3, 11), OK),
        ("CPython", (3, 14), OK),
        ("CPython", (3, 15), NOTE),
        ("PyPy", (3, 11), PROBLEM),
    ],
)
def test_only_pythons_with_wheels_are_fine(
    implementation: str, version: tuple[int, int], severity: Severity
) -> None:
    assert_judged(judgements.judge_python(implementation, version), severity)


@pytest.mark.parametrize(
    ("system", "interpreter", "host", "severity", "way_out"),
    [
        ("Linux", "x64", "x64", OK, ""),
        ("Linux", "Arm64", "Arm64", OK, ""),
        ("Windows", "Arm64", "Arm64", OK, ""),
        ("Darwin", "Arm64", "Arm64", OK, ""),
        ("Windows", "x64", "Arm64", NOTE, "for Arm64"),
        ("Linux", "x64", "Arm64", NOTE, "for Arm64"),
        ("Darwin", "x64", "Arm64", PROBLEM, "Rosetta"),
        ("Darwin", "x64", "x64", PROBLEM, "Intel Macs"),
        ("Windows", "x86", "x64", PROBLEM, "64-bit"),
        ("Linux", "riscv64", "riscv64", PROBLEM, "not built"),
    ],
)
def test_python_must_be_built_for_the_processor_and_onnxruntime_for_both(
    system: str, interpreter: str, host: str, severity: Severity, way_out: str
) -> None:
    row = judgements.judge_architecture(system, interpreter, host)
    assert_judged(row, severity, way_out)


@pytest.mark.parametrize(
    ("architecture", "found", "severity"),
    [
        ("x64", ("AVX2", "AVX512_VNNI"), OK),
        ("x64", (), NOTE),
        ("Arm64", ("dotprod",), OK),
        ("Arm64", ("i8mm",), NOTE),
    ],
)
def test_a_processor_without_fast_instructions_is_noted(
    architecture: str, found: tuple[str, ...], severity: Severity
) -> None:
    assert_judged(judgements.judge_instructions(architecture, found), severity)


@pytest.mark.parametrize(
    ("cores", "severity", "found"),
    [
        (Cores(8, 16, 16, None), OK, "16 usable of 16 logical, 8 physical"),
        (Cores(8, 16, 1, None), NOTE, "1 usable"),
        (Cores(8, 16, 16, 1.5), NOTE, "1.5 usable"),
        (Cores(None, 2, 2, 8.0), OK, "2 usable of 2 logical, unknown physical"),
    ],
)
def test_cores_count_as_far_as_the_process_may_use_them(
    cores: Cores, severity: Severity, found: str
) -> None:
    row = judgements.judge_cores(cores)
    assert_judged(row, severity)
    assert found in row.found


@pytest.mark.parametrize(
    ("memory", "severity", "found"),
    [
        (Memory(8 * GB, 5 * GB, None), OK, "5.0 of 8.0 GB free"),
        (Memory(64 * GB, 15 * GB // 10, 2 * GB), NOTE, "container limit 2.0 GB"),
        (Memory(8 * GB, GB // 2, None), PROBLEM, "0.5 of 8.0 GB free"),
    ],
)
def test_little_memory_is_noted_and_too_little_is_a_problem(
    memory: Memory, severity: Severity, found: str
) -> None:
    row = judgements.judge_memory(memory)
    assert_judged(row, severity)
    assert found in row.found


@pytest.mark.parametrize(
    ("free", "is_model_there", "severity"),
    [(2 * GB, False, OK), (GB // 2, False, NOTE), (0, False, PROBLEM), (0, True, OK)],
)
def test_disk_matters_until_the_model_is_there(
    free: int, *, is_model_there: bool, severity: Severity
) -> None:
    row = judgements.judge_disk(Path("models"), free, is_model_there=is_model_there)
    assert_judged(row, severity)
    assert "models" in row.found


def test_an_old_and_a_missing_package_are_named_with_what_is_required() -> None:
    needed = [
        Requirement(one) for one in ("numpy>=2", "onnxruntime>=1.24.2", "rich>=14")
    ]
    installed = {"numpy": "2.0", "onnxruntime": "1.20.1", "rich": None}
    row = judgements.judge_packages(needed, installed)
    assert_judged(row, PROBLEM, "run.py")
    assert row.found == "onnxruntime 1.20.1, rich -"
    assert row.wanted == "onnxruntime>=1.24.2, rich>=14"


def test_versions_are_compared_as_numbers() -> None:
    needed = [Requirement("onnxruntime>=1.9")]
    assert_judged(judgements.judge_packages(needed, {"onnxruntime": "1.10.0rc1"}), OK)


def test_two_packages_that_overwrite_each_other_are_noted() -> None:
    one, both = ["onnxruntime"], ["onnxruntime", "onnxruntime-gpu"]
    assert_judged(judgements.judge_onnxruntime("1.32.0", Path("capi"), one), OK)
    row = judgements.judge_onnxruntime("1.32.0", Path("capi"), both)
    assert_judged(row, NOTE, "onnxruntime, onnxruntime-gpu")


def test_an_onnxruntime_without_the_processor_is_a_problem() -> None:
    assert_judged(judgements.judge_providers(["CPUExecutionProvider"]), OK)
    assert_judged(judgements.judge_providers([]), PROBLEM)


def test_the_notebooks_need_jupyterlab_and_the_rest_does_not() -> None:
    assert_judged(judgements.judge_jupyterlab("4.6.6"), OK)
    assert_judged(judgements.judge_jupyterlab(None), NOTE)


@pytest.mark.parametrize(
    ("service", "severity"),
    [("", OK), ("JupyterHub", OK), ("Binder", NOTE), ("Google Colab", NOTE)],
)
def test_a_place_that_forgets_files_is_noted(service: str, severity: Severity) -> None:
    assert_judged(judgements.judge_place(service), severity)


def test_only_a_problem_is_not_ok() -> None:
    assert [Row("a", "b", "c", one).is_ok for one in Severity] == [True, True, False]
