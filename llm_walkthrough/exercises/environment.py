"""Are the answers of notebook 00 right: native or not, providers, a row of the table?

The machines asked about are the ones that readers have, so that an answer that holds on
this machine only is found. Knows nothing of the machine that it runs on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_walkthrough.exercises.verdict import Verdict, called, first_failing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    IsNative = Callable[[str, str], bool]
    Choose = Callable[[Sequence[str], Sequence[str]], Sequence[str]]
    Judge = Callable[[int, int], tuple[str, str, str]]

CPU = "CPUExecutionProvider"
BUILT_FOR = {
    "x64": ("win-amd64", "linux-x86_64", "macosx-10.13-x86_64"),
    "Arm64": ("win-arm64", "linux-aarch64", "macosx-11.0-arm64"),
}
"""Names that `sysconfig.get_platform()` gives, by the processor they stand for."""


# --- native -----------------------------------------------------------------------
def check_is_native(my_is_native: IsNative) -> Verdict:
    """Judge a function (build, host) that tells whether Python needs no emulation.

    `build` is one of the names in `BUILT_FOR`, `host` "x64" or "Arm64".
    """
    tests = (_heeds_both, _native_is_true, _emulated_is_false)
    praise = "It tells a native Python from an emulated one, on all three systems."
    return first_failing(my_is_native, tests, praise)


def _heeds_both(my_is_native: IsNative) -> str | None:
    answers = {
        (build, host): bool(called(my_is_native, build, host))
        for build in ("win-amd64", "win-arm64")
        for host in BUILT_FOR
    }
    if len(set(answers.values())) == 1:
        verdict = next(iter(answers.values()))
        return f"It says {verdict} whatever it is asked; compare build with host."
    if all(
        answers[build, "x64"] == answers[build, "Arm64"]
        for build in ("win-amd64", "win-arm64")
    ):
        return "The host makes no difference; what runs natively depends on it."
    if answers["win-amd64", "Arm64"] and not answers["win-amd64", "x64"]:
        return "It is the wrong way round: native means that both are the same."
    return None


def _native_is_true(my_is_native: IsNative) -> str | None:
    for host, builds in BUILT_FOR.items():
        for build in builds:
            if not called(my_is_native, build, host):
                return (
                    f"{build!r} on {host} is native. One processor has several names: "
                    "look at what stands behind the last hyphen."
                )
    return None


def _emulated_is_false(my_is_native: IsNative) -> str | None:
    for host, other in (("x64", "Arm64"), ("Arm64", "x64")):
        for build in BUILT_FOR[other]:
            if called(my_is_native, build, host):
                return f"{build!r} on {host} is emulated: it is built for {other}."
    return None


# --- providers --------------------------------------------------------------------
def check_choose_providers(my_choose: Choose) -> Verdict:
    """Judge a function (wanted, available) that returns the providers to ask for."""
    tests = (_drops_missing, _keeps_order, _ends_with_cpu, _choose_all)
    praise = (
        "Only what is there, in the order you wish, and the CPU as the last resort."
    )
    return first_failing(my_choose, tests, praise)


def _reference(wanted: Sequence[str], available: Sequence[str]) -> list[str]:
    return [one for one in wanted if one in available and one != CPU] + [CPU]


def _chosen(my_choose: Choose, wanted: list[str], available: list[str]) -> list[str]:
    return list(called(my_choose, list(wanted), list(available)))


def _drops_missing(my_choose: Choose) -> str | None:
    chosen = _chosen(my_choose, ["CUDAExecutionProvider", CPU], [CPU])
    if "CUDAExecutionProvider" in chosen:
        return "It asks for CUDAExecutionProvider where that is not available."
    return None


def _keeps_order(my_choose: Choose) -> str | None:
    wanted = ["TensorrtExecutionProvider", "CUDAExecutionProvider", CPU]
    available = [CPU, "CUDAExecutionProvider", "TensorrtExecutionProvider"]
    chosen = _chosen(my_choose, wanted, available)
    if sorted(chosen) == sorted(wanted) and chosen != wanted:
        return (
            "All are there, but not in the order of `wanted`: onnxruntime gives a node "
            "to the first one that can compute it."
        )
    return None


def _ends_with_cpu(my_choose: Choose) -> str | None:
    for wanted in (["CUDAExecutionProvider"], ["CUDAExecutionProvider", CPU]):
        chosen = _chosen(my_choose, wanted, ["CUDAExecutionProvider", CPU])
        if CPU not in chosen:
            return f"{CPU} is missing: some nodes can be computed nowhere else."
        if chosen.count(CPU) > 1:
            return f"{CPU} is named twice; onnxruntime takes each provider once."
    return None


def _choose_all(my_choose: Choose) -> str | None:
    available = ["CUDAExecutionProvider", "AzureExecutionProvider", CPU]
    for wanted in (
        [],
        [CPU],
        [CPU, "CUDAExecutionProvider"],
        ["QNNExecutionProvider", "CUDAExecutionProvider", CPU],
    ):
        chosen = _chosen(my_choose, wanted, available)
        if chosen != _reference(wanted, available):
            return f"wanted={wanted} with available={available} gives {chosen}."
    return None


# --- a row ------------------------------------------------------------------------
def check_disk_row(my_row: Judge) -> Verdict:
    """Judge a function (free, wanted), in bytes, that returns the texts of a row."""
    tests = (_row_has_three, _row_severity, _row_unit, _row_way_out)
    praise = "Found, judged, and with a way out where one is needed."
    return first_failing(my_row, tests, praise)


_MB, _GB = 10**6, 10**9


def _row_has_three(my_row: Judge) -> str | None:
    row = called(my_row, 3 * _GB, _GB)
    if not isinstance(row, tuple) or [type(text) for text in row] != [str] * 3:
        return "Return a tuple of three texts: found, severity, way out."
    return None


def _row_severity(my_row: Judge) -> str | None:
    for free, wanted in ((3 * _GB, _GB), (300 * _MB, _GB), (_GB, _GB)):
        severity, right = my_row(free, wanted)[1], "ok" if free >= wanted else "problem"
        if severity not in ("ok", "problem"):
            return f"The severity is {severity!r}; it is 'ok' or 'problem'."
        if severity != right and free == wanted:
            return "Exactly as much as wanted is enough."
        if severity != right:
            return (
                f"{free:,} bytes free where {wanted:,} are wanted is {right!r}, not "
                f"{severity!r}: look at the sign of the comparison."
            )
    return None


def _row_unit(my_row: Judge) -> str | None:
    found = my_row(3_221_225_472, _GB)[0]
    if "3.2 GB" in found:
        return None
    if "3.0" in found:
        return "You divided by 1024 three times, which gives GiB; 1 GB is 10**9 bytes."
    return f"For 3,221,225,472 bytes `found` is {found!r}; it should say '3.2 GB'."


def _row_way_out(my_row: Judge) -> str | None:
    if not my_row(300 * _MB, _GB)[2].strip():
        return "A problem without a way out leaves the reader alone: say what to do."
    if my_row(3 * _GB, _GB)[2]:
        return "There is a way out although all is well; leave it empty then."
    return None
