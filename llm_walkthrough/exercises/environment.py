"""Exercises of notebook 00: a row of the table, native or not, providers.

Asks about machines that readers have. Knows nothing of the one that it runs on.
"""

from __future__ import annotations

from llm_walkthrough.exercises import when
from llm_walkthrough.exercises.exercise import Exercise, texts_of
from llm_walkthrough.exercises.when import When

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
    texts_of("environment.disk_row"),
    right=_disk_row,
    cases=[(3 * _GB, _GB), (300 * _MB, _GB), (_GB, _GB), (3_221_225_472, _GB)],
    same=_says_as_much,
    also=lambda t: dict(zip(("found", "severity", "way_out"), t.given, strict=True)),
    hints={
        "is_no_row": When(
            lambda t: type(t.given) is not tuple or [*map(type, t.given)] != [str] * 3
        ),
        "has_another_word": When(lambda t: t.severity not in ("ok", "problem")),
        "wants_more": When(lambda t: t.severity != t.right[1] and t.free == t.wanted),
        "compares_the_wrong_way": When(lambda t: t.severity != t.right[1]),
        "gives_gib": When(lambda t: "3.2 GB" in t.right[0] and "3.0" in t.found),
        "gives_no_gb": When(lambda t: "3.2 GB" in t.right[0] and "3.2" not in t.found),
        "has_no_way_out": When(lambda t: t.right[2] and not t.way_out.strip()),
    },
)


def _is_native(build: str, host: str) -> bool:
    return (build.rpartition("-")[2] in ("arm64", "aarch64")) == (host == "Arm64")


check_is_native = Exercise(
    texts_of("environment.is_native"),
    right=_is_native,
    cases=[*_NATIVE, *((build, _OTHER[host]) for build, host in _NATIVE)],
    also=lambda t: {"other": _OTHER[t.host]},
    hints={
        "ignores_both": when.IS_CONSTANT,
        "ignores_host": When(
            lambda t: len({(x.build, bool(x.given)) for x in t.all}) == len(_NATIVE)
        ),
        "is_turned_round": lambda build, host: not _is_native(build, host),
        "misses_a_name": When(lambda t: t.right),
    },
)


def _choose(wanted: list[str], available: list[str]) -> list[str]:
    return [one for one in wanted if one in available and one != CPU] + [CPU]


check_choose_providers = Exercise(
    texts_of("environment.choose_providers"),
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
        "asks_for_absent_ones": When(
            lambda t: _CUDA in t.given and _CUDA not in t.available
        ),
        "reorders": When(
            lambda t: sorted(t.given) == sorted(t.wanted) and list(t.given) != t.wanted
        ),
        "misses_cpu": When(lambda t: CPU not in t.given),
        "names_cpu_twice": When(lambda t: t.given.count(CPU) > 1),
    },
)
