"""The pins hold what pyproject.toml asks for, all that this needs, and nothing more."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PINS, TEST_PINS = ROOT / "requirements.txt", ROOT / "requirements-test.txt"
UV_PIN = ROOT / "requirements-uv.txt"
UV_PIN = ROOT / "requirements-uv.txt"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
BUILD = "setuptools"  # installs the package itself


def lines(path: Path) -> list[str]:
    every = path.read_text("utf-8").splitlines()
    return [line for line in every if not line.startswith("#")]


def pins(path: Path) -> dict[str, Requirement]:
    return {canonicalize_name(pin.name): pin for pin in map(Requirement, lines(path))}


def here(path: Path) -> set[str]:
    """Names of the pins that count on this computer."""
    found = pins(path).items()
    return {name for name, pin in found if not pin.marker or pin.marker.evaluate()}


def needed_here(asked: list[str]) -> set[str]:
    """Follow what the installed packages say that they require, from `asked` on."""
    needed: set[str] = set()
    open_ends = [(Requirement(text), "") for text in asked]
    while open_ends:
        requirement, extra = open_ends.pop()
        name = canonicalize_name(requirement.name)
        wanted = not requirement.marker or requirement.marker.evaluate({"extra": extra})
        if not wanted:
            continue
        mark = f"{name}[{','.join(sorted(requirement.extras))}]"
        if mark not in needed:
            needed |= {name, mark}
            further = [Requirement(text) for text in requires(name) or []]
            open_ends += [(r, e) for r in further for e in ["", *requirement.extras]]
    return {name for name in needed if "[" not in name}


def test_every_line_pins_one_version_and_names_no_place() -> None:
    every = [line for path in (PINS, TEST_PINS, UV_PIN) for line in lines(path)]
    pattern = r"[a-z0-9.-]+==[0-9][\w.]*( ; [^#]+)?"
    assert [line for line in every if not re.fullmatch(pattern, line)] == []


def test_uv_installs_the_pins_and_is_none_of_them() -> None:
    assert list(pins(UV_PIN)) == ["uv"]
    assert "uv" not in pins(PINS).keys() | pins(TEST_PINS).keys()


def test_before_a_commit_the_same_ruff_runs_as_in_the_checks() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    (version,) = pins(TEST_PINS)["ruff"].specifier
    assert f"ruff-pre-commit\n    rev: v{version.version}\n" in hooks


def test_no_package_is_pinned_twice() -> None:
    every = [
        Requirement(line).name for path in (PINS, TEST_PINS) for line in lines(path)
    ]
    assert len(every) == len(set(every))


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (PINS, [*PROJECT["dependencies"], *EXTRAS["lab"]]),
        (TEST_PINS, EXTRAS["test"]),
    ],
    ids=["run", "test"],
)
def test_what_pyproject_asks_for_is_pinned_to_a_version_that_it_allows(
    path: Path, asked: list[str]
) -> None:
    for requirement in map(Requirement, asked):
        pin = pins(path)[canonicalize_name(requirement.name)]
        (version,) = pin.specifier
        assert requirement.specifier.contains(version.version), requirement
        assert pin.marker is None, f"{pin.name} must be there on every platform"


def test_the_pins_are_what_is_needed_and_nothing_more() -> None:
    asked = [*PROJECT["dependencies"], *EXTRAS["lab"], BUILD]
    assert here(PINS) == needed_here(asked)


def test_the_test_pins_are_what_tests_need_on_top_and_nothing_more() -> None:
    needed = needed_here(EXTRAS["test"]) - here(PINS)
    assert here(TEST_PINS) == needed
