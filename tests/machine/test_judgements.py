from __future__ import annotations

from pathlib import Path

from packaging.requirements import Requirement

from llm_walkthrough.machine.facts import Cores, Memory
from llm_walkthrough.machine.judgements import (
    GB,
    NOTE,
    OK,
    PROBLEM,
    Row,
    Severity,
    judge_architecture,
    judge_cores,
    judge_devices,
    judge_disk,
    judge_instructions,
    judge_jupyterlab,
    judge_memory,
    judge_npu,
    judge_onnxruntime,
    judge_packages,
    judge_place,
    judge_providers,
    judge_python,
)

CPU, MODELS = "CPUExecutionProvider", Path("models")
ELITE, NPU = "Snapdragon(R) X Elite", ["QNNExecutionProvider (NPU)"]
ON_ARM, ON_X64 = "Windows Arm64", "Windows x64"
NEEDED = [Requirement(one) for one in ("numpy>=2", "onnxruntime>=1.24.2", "rich>=14")]
OLD = {"numpy": "2.0", "onnxruntime": "1.20.1", "rich": None}
NEW = {"numpy": "2.3", "onnxruntime": "1.100.0rc1", "rich": "14.1"}

# a row, how much it matters, and words that it says of what was found or is to be done
JUDGED: list[tuple[Row, Severity, str]] = [
    (judge_python("CPython", (3, 10)), PROBLEM, "CPython 3.10"),
    (judge_python("CPython", (3, 11)), OK, ""),
    (judge_python("CPython", (3, 14)), OK, ""),
    (judge_python("CPython", (3, 15)), NOTE, ""),
    (judge_python("PyPy", (3, 11)), PROBLEM, "PyPy 3.11"),
    (judge_architecture("Linux", "x64", "x64"), OK, ""),
    (judge_architecture("Linux", "Arm64", "Arm64"), OK, ""),
    (judge_architecture("Windows", "Arm64", "Arm64"), OK, ""),
    (judge_architecture("Darwin", "Arm64", "Arm64"), OK, ""),
    (judge_architecture("Windows", "x64", "Arm64"), NOTE, "for Arm64"),
    (judge_architecture("Linux", "x64", "Arm64"), NOTE, "for Arm64"),
    (judge_architecture("Darwin", "x64", "Arm64"), PROBLEM, "Rosetta"),
    (judge_architecture("Darwin", "x64", "x64"), PROBLEM, "Intel Macs"),
    (judge_architecture("Windows", "x86", "x64"), PROBLEM, "64-bit"),
    (judge_architecture("Linux", "riscv64", "riscv64"), PROBLEM, "not built"),
    (judge_instructions("x64", ("AVX2", "AVX512_VNNI")), OK, ""),
    (judge_instructions("x64", ()), NOTE, "none"),
    (judge_instructions("Arm64", ("dotprod",)), OK, ""),
    (judge_instructions("Arm64", ("i8mm",)), NOTE, "i8mm"),
    (judge_cores(Cores(8, 16, 16, None)), OK, "16 usable of 16 logical, 8 physical"),
    (judge_cores(Cores(8, 16, 1, None)), NOTE, "1 usable"),
    (judge_cores(Cores(8, 16, 16, 1.5)), NOTE, "1.5 usable"),
    (judge_cores(Cores(None, 2, 2, 8.0)), OK, "2 logical, unknown physical"),
    (judge_memory(Memory(8 * GB, 5 * GB, None)), OK, "5.0 of 8.0 GB free"),
    (judge_memory(Memory(9 * GB, 3 * GB // 2, 2 * GB)), NOTE, "container limit 2.0 GB"),
    (judge_memory(Memory(8 * GB, GB // 2, None)), PROBLEM, "0.5 of 8.0 GB free"),
    (judge_disk(MODELS, 2 * GB, is_model_there=False), OK, "models"),
    (judge_disk(MODELS, GB // 2, is_model_there=False), NOTE, "models"),
    (judge_disk(MODELS, 0, is_model_there=False), PROBLEM, "models"),
    (judge_disk(MODELS, 0, is_model_there=True), OK, "models"),
    (judge_packages(NEEDED, OLD), PROBLEM, "onnxruntime 1.20.1, rich -"),
    (judge_packages(NEEDED, NEW), OK, "3 of 3 as required"),
    (judge_onnxruntime("1.32.0", Path("capi"), ["onnxruntime"]), OK, "1.32.0 in capi"),
    (judge_onnxruntime("1.32.0", Path("capi"), ["a", "b"]), NOTE, "one of a, b:"),
    (judge_providers([CPU]), OK, CPU),
    (judge_providers([]), PROBLEM, "none"),
    (judge_devices({}, [CPU]), OK, CPU),
    (judge_devices({"onnxruntime_qnn": ""}, NPU), OK, "(NPU), onnxruntime_qnn: loaded"),
    (judge_devices({"onnxruntime_qnn": "no DLL"}, [CPU]), NOTE, "made for this"),
    (judge_npu("Intel", ON_X64, None, "1.32.0", []), OK, "no Qualcomm processor"),
    (judge_npu(ELITE, ON_ARM, "2.7.0", "1.29.1", NPU), OK, "2.7.0; QNNExecutionProvi"),
    (judge_npu("Qualcomm", "Linux Arm64", "2.5.0", "1.26.0", NPU), OK, "(NPU)"),
    (judge_npu(ELITE, ON_X64, None, "1.29.0", []), NOTE, "for Arm64 only"),
    (judge_npu("Intel", ON_X64, "2.7.0", "1.29.0", []), NOTE, "on x64 it just compile"),
    (judge_npu(ELITE, ON_ARM, None, "1.29.0", []), NOTE, "qnn missing; no device"),
    (
        judge_npu(ELITE, ON_ARM, "2.3.0", "1.29.0", NPU),
        NOTE,
        "compiled for onnxruntime 1.24",
    ),
    (judge_npu(ELITE, ON_ARM, "2.4.0", "1.2.6", NPU), NOTE, "1.26; 1.2.6 may not do"),
    (judge_npu(ELITE, ON_ARM, "2.9.0", "1.32.0", NPU), NOTE, "a release not known"),
    (judge_npu(ELITE, ON_ARM, "2.7.0", "1.29.0", []), NOTE, "finds no NPU"),
    (judge_jupyterlab("4.6.6"), OK, "4.6.6"),
    (judge_jupyterlab(None), NOTE, "missing"),
    (judge_place(""), OK, "your own machine"),
    (judge_place("JupyterHub"), OK, "JupyterHub"),
    (judge_place("Binder"), NOTE, "Binder"),
    (judge_place("Google Colab"), NOTE, "Google Colab"),
]


def test_a_fact_is_judged_and_a_way_out_told_only_where_there_is_need_of_one() -> None:
    for row, severity, words in JUDGED:
        assert row.severity is severity, row
        assert bool(row.way_out) == (severity is not OK), row
        assert words in f"{row.found}; {row.way_out}", row
        assert row.found, row
        assert row.is_ok == (severity is not PROBLEM), row


def test_what_a_package_lacks_is_named_as_it_is_required() -> None:
    assert judge_packages(NEEDED, OLD).wanted == "onnxruntime>=1.24.2, rich>=14"
