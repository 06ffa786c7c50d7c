from __future__ import annotations

import ctypes
import os
import platform
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from llm_walkthrough.machine import facts

# what was built, the machine it runs on, bits of a pointer, architecture
BUILDS = [
    ("linux-x86_64", "x86_64", 64, "x64"),
    ("linux-x86_64", "x86_64", 32, "x86"),
    ("linux-aarch64", "aarch64", 64, "Arm64"),
    ("win-amd64", "ARM64", 64, "x64"),  # emulated: only the build tells the truth
    ("win-arm64", "ARM64", 64, "Arm64"),
    ("win32", "AMD64", 32, "x86"),
    ("macosx-11.0-arm64", "arm64", 64, "Arm64"),
    ("macosx-10.13-universal2", "arm64", 64, "Arm64"),
    ("macosx-10.13-universal2", "x86_64", 64, "x64"),
    ("linux-riscv64", "riscv64", 64, "riscv64"),
]


def test_the_architecture_of_a_python_is_the_one_it_was_built_for() -> None:
    found = [facts.architecture_of(b, m, bits=bits) for b, m, bits, _ in BUILDS]
    assert found == [architecture for *_, architecture in BUILDS]


def test_this_machine_can_be_described() -> None:
    assert facts.interpreter_architecture() in ("x64", "Arm64")
    assert facts.host_architecture() in ("x64", "Arm64")
    assert isinstance(facts.processor_name(), str)
    cores, memory = facts.cores(), facts.memory()
    assert 1 <= cores.usable <= cores.logical
    assert 0 < memory.available <= memory.total


@pytest.mark.skipif(platform.system() != "Linux", reason="reads /proc/cpuinfo")
def test_cpuinfo_tells_name_and_instructions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(facts, "_CPUINFO", file)
    file.write_text(
        "processor\t: 0\nmodel name\t: Big: One\nflags\t\t: fpu avx2\n\nx: y"
    )
    assert facts.processor_name() == "Big: One"
    assert facts.instruction_sets() == ("AVX2",)
    file.write_text("processor\t: 0\nFeatures\t: fp asimddp i8mm\n")
    assert facts.processor_name() == ""
    assert facts.instruction_sets() == ("dotprod", "i8mm")
    file.write_text("processor\t: 0\nCPU implementer\t: 0x51\n")
    assert facts.processor_name() == "Qualcomm"
    file.write_text("model name\t: VirtualApple @ 2.50GHz\n")
    assert facts.host_architecture() == "Arm64"


def windows(native: int, *, answers: bool = True) -> dict[str, Callable[..., object]]:
    """Stand-ins for what Windows says of its processor, or that it refuses to say."""

    def wow64(_process: object, _emulated: object, into: ctypes.c_void_p) -> bool:
        ctypes.cast(into, ctypes.POINTER(ctypes.c_ushort))[0] = native
        return answers

    kernel = mock.Mock(IsWow64Process2=wow64)
    kernel.GetCurrentProcess.return_value = 1
    return {
        "WinDLL": lambda *_, **__: kernel,
        "get_last_error": lambda: 5,
        "WinError": lambda code: OSError(code, "access denied"),
    }


@pytest.fixture
def ask_windows(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    def host_architecture(native: int, *, answers: bool = True) -> str:
        monkeypatch.setattr(sys, "platform", "win32")
        for name, stand_in in windows(native, answers=answers).items():
            monkeypatch.setattr(ctypes, name, stand_in, raising=False)
        return facts.host_architecture()

    return host_architecture


def test_windows_is_asked_for_the_processor_behind_an_emulator(
    ask_windows: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask_windows(0x8664) == "x64"
    assert ask_windows(0x1C4) == "0x1c4"
    assert ask_windows(0xAA64) == "Arm64"
    # which is how an x64 Python on a Snapdragon comes to be called emulated
    monkeypatch.setattr(sysconfig, "get_platform", lambda: "win-amd64")
    assert facts.interpreter_architecture() == "x64"


def test_an_error_of_windows_is_raised_and_not_taken_for_an_answer(
    ask_windows: Callable[..., str],
) -> None:
    with pytest.raises(OSError, match="access denied"):
        ask_windows(0xAA64, answers=False)


def test_macos_is_asked_for_the_processor_behind_rosetta(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = {"hw.optional.arm64": b"\x01\0\0\0"}
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(facts, "_sysctl", lambda name: values.get(name, b""))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")  # what Rosetta says
    assert facts.host_architecture() == "Arm64"
    values.clear()  # an Intel Mac knows no such name
    values["machdep.cpu.brand_string"] = b"Intel(R) Core(TM) i7\0"
    assert facts.host_architecture() == "x64"
    assert facts.processor_name() == "Intel(R) Core(TM) i7"


def test_free_disk_is_told_for_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    assert facts.free_disk(tmp_path / "not" / "yet") > 0


def test_a_service_is_known_by_its_variables() -> None:
    hub = {"JUPYTERHUB_API_URL": "http://hub"}
    assert facts.place({}) == ""
    assert facts.place(hub) == "JupyterHub"
    assert facts.place({**hub, "BINDER_SERVICE_HOST": "x"}) == "Binder"
    assert facts.place({"COLAB_RELEASE_TAG": "release"}) == "Google Colab"


class Groups:
    """A cgroup file system in a folder, with this process in `group`."""

    def __init__(self, folder: Path, group: str) -> None:
        self.root = folder / "cgroup"
        self.membership = folder / "self"
        self.membership.write_text(group)

    def write(self, file: str, text: str) -> None:
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")

    def cpu_quota(self) -> float | None:
        return facts.cpu_quota(self.root, self.membership)

    def memory_limit(self) -> int | None:
        return facts.memory_limit(64_000_000_000, self.root, self.membership)


def test_without_a_container_there_is_no_limit(tmp_path: Path) -> None:
    groups = Groups(tmp_path, "0::/\n")
    assert (groups.cpu_quota(), groups.memory_limit()) == (None, None)
    groups.write("cpu.max", "max 100000")
    groups.write("memory.max", "max")
    assert (groups.cpu_quota(), groups.memory_limit()) == (None, None)
    groups.membership.unlink()  # as on Windows and macOS
    assert (groups.cpu_quota(), groups.memory_limit()) == (None, None)


def test_the_narrowest_limit_of_cgroup_version_2_counts(tmp_path: Path) -> None:
    groups = Groups(tmp_path, "0::/outer/inner\n")
    groups.write("outer/cpu.max", "150000 100000")
    groups.write("outer/inner/cpu.max", "max 100000")
    groups.write("outer/memory.max", "2000000000")
    groups.write("outer/inner/memory.max", "3000000000")
    groups.write("elsewhere/memory.max", "1")
    groups.write("../memory.max", "1")
    assert groups.cpu_quota() == 1.5
    assert groups.memory_limit() == 2_000_000_000


def test_a_limit_of_cgroup_version_1_counts_where_the_container_sees_it(
    tmp_path: Path,
) -> None:
    groups = Groups(tmp_path, "9:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n")
    groups.write("cpu/cpu.cfs_quota_us", "50000")
    groups.write("cpu/cpu.cfs_period_us", "100000")
    groups.write("memory/memory.limit_in_bytes", "2000000000")
    assert groups.cpu_quota() == 0.5
    assert groups.memory_limit() == 2_000_000_000
    groups.write("cpu/cpu.cfs_quota_us", "-1")
    groups.write("memory/memory.limit_in_bytes", "9223372036854771712")
    assert (groups.cpu_quota(), groups.memory_limit()) == (None, None)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_cores_that_the_process_may_not_use_are_not_usable() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert facts.cores().usable == 1
    finally:
        os.sched_setaffinity(0, allowed)
