"""Exercises of notebook 00: native or not, providers, a row of the table.

The machines asked about are the ones that readers have, so that an answer that holds on
this machine only is found. Knows nothing of the machine that it runs on.
"""

from __future__ import annotations

from llm_walkthrough.exercises.exercise import OTHERWISE, Exercise, When

CPU = "CPUExecutionProvider"
BUILT_FOR = {
    "x64": ("win-amd64", "linux-x86_64", "macosx-10.13-x86_64"),
    "Arm64": ("win-arm64", "linux-aarch64", "macosx-11.0-arm64"),
}
"""Names that `sysconfig.get_platform()` gives, by the processor they stand for."""

_CUDA, _TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
_OTHER = {"x64": "Arm64", "Arm64": "x64"}
_NATIVE = [(build, host) for host, builds in BUILT_FOR.items() for build in builds]
_MB, _GB = 10**6, 10**9


def _is_native(build: str, host: str) -> bool:
    return (build.rpartition("-")[2] in ("arm64", "aarch64")) == (host == "Arm64")


check_is_native = Exercise(
    task="a function (build, host) that tells whether Python needs no emulation",
    right=_is_native,
    cases=[*_NATIVE, *((build, _OTHER[host]) for build, host in _NATIVE)],
    also=lambda t: {"other": _OTHER[t.host]},
    hints={
        "It says {given} whatever it is asked; compare build with host.": When(
            lambda t: len({bool(one.given) for one in t.all}) == 1
        ),
        "The host makes no difference; what runs natively depends on it.": When(
            lambda t: (
                len({(one.build, bool(one.given)) for one in t.all}) == len(_NATIVE)
            )
        ),
        "It is the wrong way round: native means that both are the same.": (
            lambda build, host: not _is_native(build, host)
        ),
        "{build!r} on {host} is native. One processor has several names: look at what "
        "stands behind the last hyphen.": When(lambda t: t.right),
        "{build!r} on {host} is emulated: it is built for {other}.": OTHERWISE,
    },
    praise="It tells a native Python from an emulated one, on all three systems.",
)


def _choose(wanted: list[str], available: list[str]) -> list[str]:
    return [one for one in wanted if one in available and one != CPU] + [CPU]


check_choose_providers = Exercise(
    task="a function (wanted, available) that returns the providers to ask for",
    right=_choose,
    cases=[
        ([_CUDA, CPU], [CPU]),
        ([_TENSORRT, _CUDA, CPU], [CPU, _CUDA, _TENSORRT]),
        ([_CUDA], [_CUDA, CPU]),
        ([_CUDA, CPU], [_CUDA, CPU]),
        ([], [_CUDA, "AzureExecutionProvider", CPU]),
        ([CPU, _CUDA], [_CUDA, "AzureExecutionProvider", CPU]),
        (["QNNExecutionProvider", _CUDA, CPU], [_CUDA, CPU]),
    ],
    hints={
        f"It asks for {_CUDA} where that is not available.": When(
            lambda t: _CUDA in t.given and _CUDA not in t.available
        ),
        "All are there, but not in the order of `wanted`: onnxruntime gives a node to "
        "the first one that can compute it.": When(
            lambda t: sorted(t.given) == sorted(t.wanted) and list(t.given) != t.wanted
        ),
        f"{CPU} is missing: some nodes can be computed nowhere else.": When(
            lambda t: CPU not in t.given
        ),
        f"{CPU} is named twice; onnxruntime takes each provider once.": When(
            lambda t: t.given.count(CPU) > 1
        ),
        "wanted={wanted} with available={available} gives {given}.": OTHERWISE,
    },
    praise="Only what is there, in the order you wish, and the CPU as the last resort.",
)


def _disk_row(free: int, wanted: int) -> tuple[str, str, str]:
    found = f"{free / 1e9:.1f} GB free"
    return (found, "ok", "") if free >= wanted else (found, "problem", "Make room.")


def _says_as_much(given: tuple[str, str, str], right: tuple[str, str, str]) -> bool:
    """Compare rows, whose words are the learner's own."""
    found, severity, way_out = given
    has_unit = "3.2 GB" in found or "3.2 GB" not in right[0]
    has_way_out = bool(way_out.strip()) == bool(right[2])
    return type(given) is tuple and severity == right[1] and has_unit and has_way_out


check_disk_row = Exercise(
    task="a function (free, wanted), in bytes, that returns the three texts of a row",
    right=_disk_row,
    cases=[(3 * _GB, _GB), (300 * _MB, _GB), (_GB, _GB), (3_221_225_472, _GB)],
    same=_says_as_much,
    hints={
        "Return a tuple of three texts: found, severity, way out.": When(
            lambda t: (
                not isinstance(t.given, tuple) or list(map(type, t.given)) != [str] * 3
            )
        ),
        "The severity is {given[1]!r}; it is 'ok' or 'problem'.": When(
            lambda t: t.given[1] not in ("ok", "problem")
        ),
        "Exactly as much as wanted is enough.": When(
            lambda t: t.given[1] != t.right[1] and t.free == t.wanted
        ),
        "{free:,} bytes free where {wanted:,} are wanted is {right[1]!r}, not "
        "{given[1]!r}: look at the sign of the comparison.": When(
            lambda t: t.given[1] != t.right[1]
        ),
        "You divided by 1024 three times, which gives GiB; 1 GB is 10**9 bytes.": When(
            lambda t: "3.2 GB" in t.right[0] and "3.0" in t.given[0]
        ),
        "For {free:,} bytes `found` is {given[0]!r}; it should say '3.2 GB'.": When(
            lambda t: "3.2 GB" in t.right[0] and "3.2 GB" not in t.given[0]
        ),
        "A problem without a way out leaves the reader alone: say what to do.": When(
            lambda t: t.right[1] == "problem" and not t.given[2].strip()
        ),
        "There is a way out although all is well; leave it empty then.": OTHERWISE,
    },
    praise="Found, judged, and with a way out where one is needed.",
)
