"""House rules for every notebook in the folder, and the tool that executes them."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

from llm_walkthrough.errors import InputError
from tools.notebooks import execute_all, find_notebooks, main, save, strip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
EVERY = find_notebooks()
LESSONS = [file for file in EVERY if file.parent == FOLDER]
SOLUTIONS = [file for file in EVERY if file.parent.name == "solutions"]
PAGES = [*EVERY, FOLDER / "glossary.md", ROOT / "README.md"]

NOT_COMPARED = "nbval-ignore-output"
MEANT_TO_FAIL = "raises-exception"
LEAST_COMPARED = 0.8
LONGEST_CELL = 15
LARGEST_OUTPUT = 60_000
MACHINE = re.compile(r"0x[0-9a-f]{6,}|/(home|root|Users|tmp|work)/|\b[A-Z]:\\\\")
FILLER = re.compile(r"\b(simply|obviously|basically|let's|dive in)\b", re.IGNORECASE)


@cache
def read(file: Path) -> NotebookNode:
    content: NotebookNode = nbformat.read(file, as_version=4)
    return content


def code_cells(file: Path) -> list[NotebookNode]:
    return [cell for cell in read(file).cells if cell.cell_type == "code"]


def prose(file: Path) -> list[str]:
    if file.suffix == ".md":
        return [file.read_text(encoding="utf-8")]
    return [cell.source for cell in read(file).cells if cell.cell_type == "markdown"]


def tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def texts(output: NotebookNode) -> Iterator[str]:
    """Yield what a reader of the page sees or hears of an output."""
    yield from (str(text) for text in output.get("data", {}).values())
    yield output.get("text", "")
    yield "\n".join(output.get("traceback", []))


def checks(file: Path) -> set[str]:
    code = "\n".join(cell.source for cell in code_cells(file))
    return set(re.findall(r"^(check_\w+)\(", code, re.MULTILINE))


def verdicts(file: Path) -> list[str]:
    """Return the first line that each check of an exercise shows."""
    checking = [cell for cell in code_cells(file) if cell.source.startswith("check_")]
    return [cell.outputs[-1].data["text/plain"] for cell in checking if cell.outputs]


def repository() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["urls"]["Repository"])


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


each_notebook = pytest.mark.parametrize("file", EVERY, ids=name)
each_lesson = pytest.mark.parametrize("file", LESSONS, ids=name)
each_page = pytest.mark.parametrize("file", PAGES, ids=name)


# --- what is in the folder --------------------------------------------------------


def test_there_are_nine_lessons_numbered_in_reading_order() -> None:
    assert [file.name[:3] for file in LESSONS] == [f"0{i}_" for i in range(9)]


def test_every_lesson_has_its_solutions() -> None:
    assert [file.name for file in SOLUTIONS] == [file.name for file in LESSONS]


# --- what is stored ---------------------------------------------------------------


@each_notebook
def test_it_is_stored_as_the_tool_saves_it(file: Path, tmp_path: Path) -> None:
    nbformat.validate(read(file))
    save(strip(read(file)), tmp_path / file.name)
    again = f"run `python -m tools.notebooks {file.stem}`"
    assert (tmp_path / file.name).read_bytes() == file.read_bytes(), again


@each_notebook
def test_it_was_executed_once_from_top_to_bottom(file: Path) -> None:
    counts = [cell.execution_count for cell in code_cells(file)]
    assert counts == list(range(1, len(counts) + 1))


@each_notebook
def test_only_cells_that_are_meant_to_fail_do(file: Path) -> None:
    for cell in code_cells(file):
        failed = any(output.output_type == "error" for output in cell.outputs)
        assert failed == (MEANT_TO_FAIL in tags(cell)), cell.source


@each_notebook
def test_no_warning_is_stored(file: Path) -> None:
    for cell in code_cells(file):
        streams = [output.get("name") for output in cell.outputs]
        assert "stderr" not in streams, cell.source


@each_notebook
def test_its_tags_are_known(file: Path) -> None:
    for cell in read(file).cells:
        assert set(tags(cell)) <= {NOT_COMPARED, MEANT_TO_FAIL}, cell.source


@each_notebook
def test_no_output_tells_of_a_path_or_an_address(file: Path) -> None:
    for cell in code_cells(file):
        for text in (text for output in cell.outputs for text in texts(output)):
            assert not MACHINE.search(text), cell.source


@each_notebook
def test_no_output_is_too_large_for_a_page(file: Path) -> None:
    for cell in code_cells(file):
        assert len(json.dumps(cell.outputs)) <= LARGEST_OUTPUT, cell.source


def test_at_least_four_in_five_cells_with_output_are_compared() -> None:
    shown = [cell for file in EVERY for cell in code_cells(file) if cell.outputs]
    compared = [cell for cell in shown if NOT_COMPARED not in tags(cell)]
    assert len(compared) >= LEAST_COMPARED * len(shown)


# --- how it reads -----------------------------------------------------------------


@each_notebook
def test_no_cell_is_long(file: Path) -> None:
    for cell in code_cells(file):
        assert len(cell.source.splitlines()) <= LONGEST_CELL, cell.source


@each_lesson
def test_the_first_cell_says_what_it_is_about_and_how_long_it_takes(file: Path) -> None:
    first = read(file).cells[0].source
    assert re.match(rf"# {file.name[:2]} · \S", first)
    assert re.search(r"\b\d+ minutes\b", first)
    assert "After this notebook you can" in first


@each_lesson
def test_the_first_cell_opens_the_notebook_in_binder(file: Path) -> None:
    place = repository().removeprefix("https://github.com/")
    path = f"HEAD?urlpath=lab/tree/notebooks/{file.name}"
    link = f"[Open in Binder](https://mybinder.org/v2/gh/{place}/{path})"
    assert link in read(file).cells[0].source


@each_lesson
def test_the_last_cell_leads_to_its_neighbours_and_the_solutions(file: Path) -> None:
    last = read(file).cells[-1].source
    place = LESSONS.index(file)
    neighbours = LESSONS[max(0, place - 1) : place + 2]
    wanted = [lesson.name for lesson in neighbours if lesson != file]
    for target in (*wanted, f"solutions/{file.name}", "../llm_walkthrough/"):
        assert f"]({target}" in last, f"no link to {target}"


@each_notebook
def test_its_prose_holds_no_filler(file: Path) -> None:
    for text in prose(file):
        assert not FILLER.search(text), FILLER.search(text)


@each_lesson
def test_a_kernel_without_the_package_says_which_command_to_run(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llm_walkthrough", None)
    for module in [name for name in sys.modules if name.startswith("llm_walkthrough.")]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SystemExit, match=r"python3 run\.py"):
        exec(code_cells(file)[0].source, {})  # noqa: S102 - a cell is made to be executed


def test_all_notebooks_answer_a_wrong_kernel_in_the_same_words() -> None:
    starts = [code_cells(file)[0].source for file in EVERY]
    answers = {start[start.index("except ModuleNotFoundError") :] for start in starts}
    assert len(answers) == 1, answers


# --- links ------------------------------------------------------------------------


def links(file: Path) -> set[str]:
    return {link for text in prose(file) for link in _links_in(text)}


def _links_in(text: str) -> list[str]:
    no_code = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", no_code)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = [
        heading
        for text in prose(page)
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    ]
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@each_page
def test_links_inside_the_repository_lead_somewhere(file: Path) -> None:
    for link in links(file):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (file.parent / path) if path else file
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@each_page
def test_links_to_the_repository_name_the_one_address(file: Path) -> None:
    place = repository().removeprefix("https://github.com/")
    for link in links(file):
        for owner_and_name in re.findall(r"(?:github\.com|v2/gh)/([^/]+/[^/]+)", link):
            is_ours = "llm_walkthrough" in owner_and_name or "mybinder" in link
            assert not is_ours or owner_and_name == place, link


def test_the_readme_opens_the_course_in_binder() -> None:
    assert any("mybinder.org/v2/gh/" in link for link in links(ROOT / "README.md"))


@each_lesson
def test_it_explains_its_words_in_the_glossary(file: Path) -> None:
    assert any(link.startswith("glossary.md#") for link in links(file))


def test_the_glossary_is_in_alphabetical_order() -> None:
    text = (FOLDER / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert terms == sorted(terms, key=str.lower)


# --- exercises --------------------------------------------------------------------


@each_lesson
def test_it_ends_with_two_to_four_exercises(file: Path) -> None:
    assert 2 <= len(checks(file)) <= 4


@each_lesson
def test_its_exercises_are_handed_out_unanswered(file: Path) -> None:
    shown = verdicts(file)
    assert len(shown) == len(checks(file))
    assert all(verdict.startswith("… Not answered yet.") for verdict in shown)


@each_lesson
def test_every_exercise_has_a_solution_that_passes(file: Path) -> None:
    solution = FOLDER / "solutions" / file.name
    assert checks(solution) == checks(file)
    shown = verdicts(solution)
    assert len(shown) >= len(checks(file))
    assert all(verdict.startswith("✓ Right.") for verdict in shown)


# --- the tool ---------------------------------------------------------------------


def notebook(*sources: str) -> NotebookNode:
    new = nbformat.v4
    cells = [new.new_code_cell(s, id=f"cell-{i}") for i, s in enumerate(sources)]
    made: NotebookNode = new.new_notebook(cells=cells)
    return made


def silent(_line: str) -> None:
    pass


def test_a_name_means_the_lesson_and_its_solution(tmp_path: Path) -> None:
    (tmp_path / "solutions").mkdir()
    for path in ("00_a.ipynb", "01_b.ipynb", "solutions/00_a.ipynb"):
        save(notebook(), tmp_path / path)
    found = find_notebooks(["00_a"], tmp_path)
    assert [f.relative_to(tmp_path).as_posix() for f in found] == [
        "00_a.ipynb",
        "solutions/00_a.ipynb",
    ]
    assert len(find_notebooks(["solutions/00_a.ipynb"], tmp_path)) == 1
    assert len(find_notebooks([], tmp_path)) == 3


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    save(notebook(), tmp_path / "00_a.ipynb")
    with pytest.raises(InputError, match=r"'01_b'.*00_a"):
        find_notebooks(["01_b"], tmp_path)


def test_the_command_says_what_is_wrong_without_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["99_nothing"]) == 1
    assert capsys.readouterr().err.startswith("there is no notebook '99_nothing'")


def test_executing_stores_outputs_and_nothing_that_varies(tmp_path: Path) -> None:
    file = tmp_path / "00_a.ipynb"
    slider = "import ipywidgets\nipywidgets.IntSlider()"
    save(notebook(slider, "print('a')\nprint('b')\n6 * 7"), file)
    said: list[str] = []
    execute_all([file], said.append)
    once = file.read_bytes()
    execute_all([file], said.append)
    assert file.read_bytes() == once
    first, second = code_cells(file)
    assert list(first.outputs[0].data) == ["text/plain"]
    assert second.outputs[-1].data["text/plain"] == "42"
    assert "widgets" not in read(file).metadata
    assert said[0].endswith(f" s  {tmp_path.name}/00_a.ipynb")


def test_a_failing_cell_is_named_and_nothing_is_saved(tmp_path: Path) -> None:
    file = tmp_path / "01_b.ipynb"
    save(notebook("x = 1", "x / 0  # the culprit"), file)
    before = file.read_bytes()
    with pytest.raises(InputError, match=r"01_b\.ipynb: code cell 2 \(x / 0.*ZeroDiv"):
        execute_all([file], silent)
    assert file.read_bytes() == before


def test_nothing_is_saved_when_a_later_notebook_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def execute(file: Path) -> NotebookNode:
        if file.stem == "01_b":
            raise InputError("cell 1 failed")
        return notebook("changed")

    monkeypatch.setattr("tools.notebooks.execute", execute)
    files = [tmp_path / "00_a.ipynb", tmp_path / "01_b.ipynb"]
    for file in files:
        save(notebook("as it was"), file)
    with pytest.raises(InputError, match="cell 1 failed"):
        execute_all(files, silent)
    assert [code_cells(file)[0].source for file in files] == ["as it was"] * 2
    assert sorted(tmp_path.iterdir()) == files


def test_a_file_that_is_no_notebook_is_named(tmp_path: Path) -> None:
    file = tmp_path / "00_a.ipynb"
    file.write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"00_a\.ipynb is not a notebook"):
        execute_all([file], silent)


def test_stripping_keeps_tags_and_sources_and_leaves_its_argument_alone() -> None:
    noisy = notebook("1")
    noisy.metadata = {"kernelspec": {"name": "mine"}, "widgets": {"state": {}}}
    noisy.cells[0].metadata = {"tags": [NOT_COMPARED], "execution": {"iopub": "now"}}
    stripped = strip(noisy)
    assert stripped.cells[0].metadata == {"tags": [NOT_COMPARED]}
    assert stripped.metadata["kernelspec"]["name"] == "python3"
    assert "widgets" not in stripped.metadata
    assert "widgets" in noisy.metadata


def test_the_command_can_strip_without_executing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, noisy = tmp_path / "00_a.ipynb", notebook("1 / 0")
    noisy.cells[0].metadata = {"execution": {"iopub": "now"}}
    save(noisy, file)
    monkeypatch.setattr("tools.notebooks.find_notebooks", lambda _names: [file])
    assert main(["--strip"]) == 0
    assert read(file) == strip(noisy)
