"""Tests of notebook 00's checks: right answers pass, mistakes get their hint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llm_walkthrough.exercises.environment import (
    BUILT_FOR,
    CPU,
    check_choose_providers,
    check_disk_row,
    check_is_native,
)
from llm_walkthrough.machine import facts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ARM = ("arm64", "aarch64")
UNANSWERED = "… Not answered yet."


def is_native(build: str, host: str) -> bool:
    return (build.rpartition("-")[2] in ARM) == (host == "Arm64")


def choose(wanted: Sequence[str], available: Sequence[str]) -> list[str]:
    return [one for one in wanted if one in available and one != CPU] + [CPU]


def disk_row(free: int, wanted: int) -> tuple[str, str, str]:
    found = f"{free / 1e9:.1f} GB free"
    return (found, "ok", "") if free >= wanted else (found, "problem", "Make room.")


def test_the_solutions_pass() -> None:
    assert check_is_native(is_native).is_right
    assert check_choose_providers(choose).is_right
    assert check_disk_row(disk_row).is_right


def test_as_handed_out_they_are_not_answered_yet() -> None:
    def stub(_one: object, _other: object) -> None: ...

    for check in (check_is_native, check_choose_providers, check_disk_row):
        check_stub: Callable[..., object] = check
        assert repr(check_stub(stub)).startswith(UNANSWERED)


def test_the_builds_are_named_as_the_package_names_them() -> None:
    for architecture, builds in BUILT_FOR.items():
        for build in builds:
            assert facts.architecture_of(build, "", bits=64) == architecture


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda _build, _host: True, "True whatever"),
        (lambda build, _host: "amd64" in build, "host makes no difference"),
        (lambda build, host: not is_native(build, host), "wrong way round"),
        (lambda build, host: build.endswith(host.lower()), "last hyphen"),
        (
            lambda build, host: (
                {"amd64": "x64", "arm64": "Arm64"}.get(build.split("-")[-1]) == host
            ),
            "'linux-x86_64' on x64 is native",
        ),
        (
            lambda build, host: ("arm64" in build) == (host == "Arm64"),
            "'linux-aarch64' on Arm64 is native",
        ),
        (
            lambda build, host: is_native(build, host) or build.startswith("macosx"),
            "is emulated",
        ),
    ],
)
def test_a_wrong_is_native_gets_its_hint(
    answer: Callable[[str, str], bool], hint: str
) -> None:
    verdict = check_is_native(answer)
    assert verdict.is_right is False
    assert hint in verdict.message


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda wanted, _available: wanted, "not available"),
        (lambda wanted, available: [a for a in available if a in wanted], "order"),
        (
            lambda wanted, available: [w for w in wanted if w in available],
            "is missing",
        ),
        (
            lambda wanted, available: [w for w in wanted if w in available] + [CPU],
            "twice",
        ),
        (lambda wanted, available: sorted(choose(wanted, available)), "order"),
        (
            lambda wanted, available: [w for w in wanted if w in available] or [CPU],
            "is missing",
        ),
    ],
)
def test_a_wrong_choice_of_providers_gets_its_hint(
    answer: Callable[[Sequence[str], Sequence[str]], list[str]], hint: str
) -> None:
    verdict = check_choose_providers(answer)
    assert verdict.is_right is False
    assert hint in verdict.message


def test_the_cpu_before_a_faster_provider_is_shown_with_the_case() -> None:
    def keeps_the_cpu_first(wanted: Sequence[str], there: Sequence[str]) -> list[str]:
        kept = [one for one in wanted if one in there]
        return kept if CPU in kept else [*kept, CPU]

    message = check_choose_providers(keeps_the_cpu_first).message
    assert f"gives {[CPU, 'CUDAExecutionProvider']}" in message


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda _free, _wanted: "ok", "three texts"),
        (lambda free, wanted: disk_row(wanted, free), "sign of the comparison"),
        (lambda free, wanted: disk_row(free - 1, wanted), "Exactly as much"),
        (
            lambda free, wanted: (
                f"{free / 2**30:.1f} GB",
                *disk_row(free, wanted)[1:],
            ),
            "GiB",
        ),
        (lambda free, wanted: (*disk_row(free, wanted)[:2], ""), "say what to do"),
        (
            lambda free, wanted: (*disk_row(free, wanted)[:2], "Make room."),
            "leave it empty",
        ),
        (
            lambda free, wanted: (str(free), *disk_row(free, wanted)[1:]),
            "it should say '3.2 GB'",
        ),
        (
            lambda free, wanted: (disk_row(free, wanted)[0], str(free >= wanted), ""),
            "'ok' or 'problem'",
        ),
    ],
)
def test_a_wrong_row_gets_its_hint(
    answer: Callable[[int, int], tuple[str, str, str]], hint: str
) -> None:
    verdict = check_disk_row(answer)
    assert verdict.is_right is False
    assert hint in verdict.message
