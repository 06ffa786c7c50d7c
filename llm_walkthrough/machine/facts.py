"""Facts about this machine: one function for each.

Knows nothing of what is good or bad about a fact: `judgements` does. A function raises
whatever goes wrong in it. Needs only the standard library, as packages may be missing.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import platform
import shutil
import sys
import sysconfig
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
_INSTRUCTIONS: dict[str, dict[str, Any]] = _TABLES["instructions"]
# onnxruntime's copy of the weights in memory, in times their files: measured 1.26 with
PACKED = 1.3  # the shape of Mistral-7B, 1.4 with that of SmolLM2-135M
_WINDOWS_MACHINES = {0x8664: "x64", 0xAA64: "Arm64", 0x014C: "x86"}


@dataclass(frozen=True)
class Cores:
    """Processor cores: of the machine, and those that this process may use."""

    physical: int | None
    logical: int
    usable: int
    quota: float | None  # cores' worth of time that a container grants; None: no limit


@dataclass(frozen=True)
class Memory:
    """Main memory in bytes; `limit` is that of a container, None without one."""

    total: int
    available: int
    limit: int | None


def interpreter_architecture() -> str:
    """Tell what this Python was built for: "x64", "Arm64", "x86" or as it says."""
    bits = 64 if sys.maxsize >> 32 else 32
    return architecture_of(sysconfig.get_platform(), platform.machine(), bits=bits)


def architecture_of(build: str, machine: str, *, bits: int) -> str:
    """Name the architecture of a Python by its `build`, such as "win-amd64".

    The `machine` may be the host of an emulated Python, but decides for "universal2",
    which holds two. A pointer of 32 `bits` on a 64-bit Linux is one without wheels.
    """
    name = build.rpartition("-")[2].lower()
    name = machine.lower() if name.startswith("universal") else name
    architecture = str(_TABLES["architectures"].get(name, name))
    return "x86" if (architecture, bits) == ("x64", 32) else architecture


def host_architecture() -> str:
    """Tell what the processor is, also when this Python is being emulated."""
    if sys.platform == "win32":
        process, native = ctypes.c_ushort(), ctypes.c_ushort()
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.GetCurrentProcess.restype = ctypes.c_void_p
        current = ctypes.c_void_p(kernel.GetCurrentProcess())
        into = ctypes.byref(process), ctypes.byref(native)
        if not kernel.IsWow64Process2(current, *into):
            raise ctypes.WinError(ctypes.get_last_error())
        return _WINDOWS_MACHINES.get(native.value, hex(native.value))
    if sys.platform == "darwin" and _sysctl_number("hw.optional.arm64"):
        return "Arm64"
    if "VirtualApple" in processor_name():  # an x64 container on an Apple processor
        return "Arm64"
    return str(
        _TABLES["architectures"].get(platform.machine().lower(), platform.machine())
    )


def processor_name() -> str:
    """Give the name that the maker gave the processor, "" where it has none."""
    if sys.platform == "win32":
        import winreg  # noqa: PLC0415 - exists on Windows only

        path = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path) as key:
            return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
    if sys.platform == "darwin":
        return _sysctl("machdep.cpu.brand_string").rstrip(b"\0").decode()
    maker = {"0x51": "Qualcomm"}.get(_cpuinfo().get("CPU implementer", ""), "")
    return _cpuinfo().get("model name", maker)  # Arm64 has no name, but a maker


def instruction_sets() -> tuple[str, ...]:
    """Name the instructions that small integers profit from, as far as can be read."""
    if sys.platform == "win32":
        has = ctypes.WinDLL("kernel32").IsProcessorFeaturePresent
        return tuple(name for name, n in _known_as("windows") if has(n))
    if sys.platform == "darwin":
        return tuple(name for name, n in _known_as("sysctl") if _sysctl_number(n))
    cpuinfo = _cpuinfo()
    flags = cpuinfo.get("flags", cpuinfo.get("Features", "")).split()
    return tuple(name for name, flag in _known_as("cpuinfo") if flag in flags)


def _known_as(source: str) -> Iterator[tuple[str, Any]]:
    return ((n, its[source]) for n, its in _INSTRUCTIONS.items() if source in its)


def cores() -> Cores:
    """Count the cores."""
    psutil = importlib.import_module("psutil")
    logical, process = psutil.cpu_count() or 1, psutil.Process()
    affinity = getattr(process, "cpu_affinity", lambda: range(logical))  # not on macOS
    usable = len(affinity())
    return Cores(psutil.cpu_count(logical=False), logical, usable, cpu_quota())


def memory() -> Memory:
    """Measure the memory."""
    measured = importlib.import_module("psutil").virtual_memory()
    limit = memory_limit(measured.total)
    available = min(measured.available, limit or measured.available)
    return Memory(measured.total, available, limit)


def free_disk(folder: Path) -> int:
    """Count the free bytes where a folder is, or will be once it is made."""
    existing = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    return shutil.disk_usage(existing).free


def place(variables: Mapping[str, str] = os.environ) -> str:
    """Name the service that runs this Python, "" on a machine of one's own."""
    names: dict[str, str] = _TABLES["places"]
    return next((name for key, name in names.items() if key in variables), "")


# --- container limits ---------------------------------------------------------------
_CGROUPS, _MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def cpu_quota(root: Path = _CGROUPS, membership: Path = _MEMBERSHIP) -> float | None:
    """Read how many cores' worth of time the container grants (cgroup v2 and v1)."""
    quotas = [text.split() for text in _limits("", "cpu.max", root, membership)]
    names = "cpu.cfs_quota_us", "cpu.cfs_period_us"
    version_1 = (_limits("cpu", name, root, membership) for name in names)
    quotas += map(list, zip(*version_1, strict=True))
    # without a limit the time is "max" or -1
    granted = [int(time) / int(period) for time, period in quotas if time.isdecimal()]
    return min(granted, default=None)


def memory_limit(
    total: int, root: Path = _CGROUPS, membership: Path = _MEMBERSHIP
) -> int | None:
    """Read how many bytes the container may use, None if that is all of `total`."""
    texts = [*_limits("", "memory.max", root, membership)]
    texts += _limits("memory", "memory.limit_in_bytes", root, membership)
    limits = [int(text) for text in texts if text.isdecimal()]
    # version 1 writes a huge number for "no limit"
    return min((limit for limit in limits if limit < total), default=None)


def _limits(controller: str, name: str, root: Path, membership: Path) -> Iterator[str]:
    """Contents of a cgroup file for this process's group and the groups around it."""
    lines = membership.read_text().splitlines() if membership.is_file() else []
    for _, controllers, group in (line.split(":", 2) for line in lines):
        if controller in controllers.split(","):
            mount = root / controller  # which is "" in version 2: the root itself
            inner = mount / group.lstrip("/")
            for folder in (inner, *inner.parents):
                if folder.is_relative_to(mount) and (folder / name).is_file():
                    yield (folder / name).read_text().strip()


# --- sources of facts ---------------------------------------------------------------
_CPUINFO = Path("/proc/cpuinfo")


def _cpuinfo() -> dict[str, str]:
    """What Linux says about the first processor."""
    first = _CPUINFO.read_text(encoding="utf-8").partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): text.strip() for name, _, text in pairs}


def _sysctl(name: str) -> bytes:
    """A value that the macOS kernel holds under this name, b"" if it knows none."""
    buffer, size = ctypes.create_string_buffer(256), ctypes.c_size_t(256)
    read, into = ctypes.CDLL(None).sysctlbyname, (buffer, ctypes.byref(size))
    failed = read(name.encode(), *into, None, ctypes.c_size_t(0))
    return b"" if failed else buffer.raw[: size.value]


def _sysctl_number(name: str) -> int:
    return int.from_bytes(_sysctl(name), sys.byteorder)
