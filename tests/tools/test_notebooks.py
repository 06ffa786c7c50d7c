"""House rules for every notebook in the folder, and the tool that executes them.

A rule is one test, which lists whatever breaks it.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from llm_walkthrough.errors import InputError
from tools.notebooks import execute_all, find_notebooks, main, save, strip

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
EVERY = find_notebooks()
LESSONS = [file for file in EVERY if file.parent == FOLDER and file.stem != "start"]
SOLUTIONS = [file for file in EVERY if file.parent.name == "solutions"]
PAGES = [*EVERY, FOLDER / "glossary.md", ROOT / "README.md", *ROOT.glob("docs/*.md")]

NOT_COMPARED = "nbval-ignore-output"
MEANT_TO_FAIL = "raises-exception"
LEAST_COMPARED = 0.8
LONGEST_CELL = 15
LARGEST_OUTPUT = 60_000
MOST_QUIET = 10  # cells in a row
BARE_TRUTH = re.compile(r"(True|False)|\(.*\b(True|False)\b.*\)", re.DOTALL)
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


def tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def texts(cell: NotebookNode) -> Iterator[str]:
    """Yield what a reader of the page sees or hears of a cell's outputs."""
    for output in cell.outputs:
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
    """Return owner and name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    address = str(project["project"]["urls"]["Repository"])
    return address.removeprefix("https://github.com/")


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


# --- what is in the folder --------------------------------------------------------


def test_the_lessons_are_numbered_in_reading_order() -> None:
    assert [file.name[:3] for file in LESSONS] == [f"{i:02}_" for i in range(13)]


def test_every_lesson_has_its_solutions() -> None:
    assert [file.name for file in SOLUTIONS] == [file.name for file in LESSONS]


# --- every cell with code ---------------------------------------------------------

CELL_RULES: dict[str, Callable[[NotebookNode], object]] = {
    "fails only if it is meant to": lambda cell: (
        any(output.output_type == "error" for output in cell.outputs)
        == (MEANT_TO_FAIL in tags(cell))
    ),
    "stores no warning": lambda cell: all(
        output.get("name") != "stderr" for output in cell.outputs
    ),
    "tells of no path or address": lambda cell: (
        not any(map(MACHINE.search, texts(cell)))
    ),
    "is not too large for a page": lambda cell: (
        len(json.dumps(cell.outputs)) <= LARGEST_OUTPUT
    ),
    "is not long": lambda cell: len(cell.source.splitlines()) <= LONGEST_CELL,
}


@pytest.mark.parametrize("rule", CELL_RULES)
def test_every_cell(rule: str) -> None:
    cells = [(name(file), cell) for file in EVERY for cell in code_cells(file)]
    assert [(f, c.source) for f, c in cells if not CELL_RULES[rule](c)] == []


def test_all_tags_are_known() -> None:
    tagged = {tag for file in EVERY for cell in read(file).cells for tag in tags(cell)}
    assert tagged <= {NOT_COMPARED, MEANT_TO_FAIL}


def test_at_least_four_in_five_cells_with_output_are_compared() -> None:
    shown = [cell for file in EVERY for cell in code_cells(file) if cell.outputs]
    compared = [cell for cell in shown if NOT_COMPARED not in tags(cell)]
    assert len(compared) >= LEAST_COMPARED * len(shown)


# --- every notebook ---------------------------------------------------------------


def explains_itself(lesson: Path) -> bool:
    first = read(lesson).cells[0].source
    title = re.match(rf"# {lesson.name[:2]} · \S", first)
    minutes = re.search(r"\b\d+ minutes\b", first)
    return bool(title and minutes) and "After this notebook you can" in first


def opens_in_binder(lesson: Path) -> bool:
    path = f"HEAD?urlpath=lab/tree/notebooks/{lesson.name}"
    link = f"[Open in Binder](https://mybinder.org/v2/gh/{repository()}/{path})"
    return link in read(lesson).cells[0].source


def is_to_mend(lesson: Path) -> bool:
    """Tell whether the exercises of a lesson are handed out with a fault in each."""
    return lesson.stem.endswith("mend_it")


def is_handed_out_unanswered(lesson: Path) -> bool:
    shown = verdicts(lesson)
    sign = "✗ Not yet." if is_to_mend(lesson) else "… Not answered yet."
    unanswered = all(verdict.startswith(sign) for verdict in shown)
    return unanswered and len(shown) == len(checks(lesson))


def is_solved(lesson: Path) -> bool:
    solution, asked = FOLDER / "solutions" / lesson.name, checks(lesson)
    shown = verdicts(solution)
    is_right = all(verdict.startswith("✓ Right.") for verdict in shown)
    return is_right and checks(solution) == asked and len(shown) >= len(asked)


LESSON_RULES: dict[str, Callable[[Path], object]] = {
    "says what it is about and how long it takes": explains_itself,
    "opens in Binder": opens_in_binder,
    "explains its words in the glossary": lambda lesson: any(
        link.startswith("glossary.md#") for link in links(lesson)
    ),
    "has two to four exercises": lambda lesson: (
        2 <= len(checks(lesson)) <= 4 or is_to_mend(lesson)
    ),
    "is handed out unanswered": is_handed_out_unanswered,
    "has a solution that passes": is_solved,
}


def shows_a_bare_truth(cell: NotebookNode) -> bool:
    """Tell whether a cell shows `True`, or a row of values with a `True` in it."""
    outputs = cell.get("outputs", [])
    shown = [str(output.get("data", {}).get("text/plain", "")) for output in outputs]
    return any(map(BARE_TRUTH.fullmatch, shown))


def told_and_shown(lesson: Path) -> Iterator[tuple[str, NotebookNode]]:
    """Yield each cell with code, and the prose above it."""
    above = ""
    for cell in read(lesson).cells:
        if cell.cell_type == "code":
            yield above, cell
        else:
            above = cell.source


def test_a_bare_truth_value_answers_a_question() -> None:
    bare = [
        (name(lesson), cell.source)
        for lesson in LESSONS
        for above, cell in told_and_shown(lesson)
        if shows_a_bare_truth(cell) and "?" not in above.rpartition("\n\n")[2]
    ]
    assert bare == [], "ask for a guess right above, or write an assert"


def is_lively(cell: NotebookNode) -> bool:
    """Tell whether there is something to see, to guess or to change in a cell."""
    if cell.cell_type == "markdown":
        return "?" in re.sub(r"`[^`]*`|\]\([^)]*\)", "", cell.source)  # code and links
    printed = "text/html"  # what is no `data` is a text that was printed, or an error
    is_seen = any("text/html" in one.get("data", printed) for one in cell.outputs)
    return is_seen or "# your code" in cell.source or "widgets." in cell.source


def test_no_ten_cells_pass_without_something_to_see_guess_or_change() -> None:
    signs = {
        name(lesson): "".join(".!"[is_lively(cell)] for cell in read(lesson).cells)
        for lesson in LESSONS
    }
    assert [file for file, row in signs.items() if "." * MOST_QUIET in row] == []


def test_a_task_says_that_a_graph_may_want_position_ids() -> None:
    asked = {
        (lesson.stem[3:], check): above
        for lesson in LESSONS
        for above, cell in told_and_shown(lesson)
        for check in re.findall(r"^check_\w+(?=\()", cell.source, re.MULTILINE)
    }
    for (topic, check), task in asked.items():
        exercise = getattr(import_module(f"llm_walkthrough.exercises.{topic}"), check)
        if "position_ids" in repr(getattr(exercise, "cases", "")):
            assert "position_ids" in task, check
            assert "position_ids" in exercise.texts.task, check


@pytest.mark.parametrize("rule", LESSON_RULES)
def test_every_lesson(rule: str) -> None:
    assert [name(file) for file in LESSONS if not LESSON_RULES[rule](file)] == []


def test_all_are_stored_as_the_tool_saves_them(tmp_path: Path) -> None:
    stale = []
    for file in EVERY:
        nbformat.validate(read(file))
        save(strip(read(file)), tmp_path / file.name)
        if (tmp_path / file.name).read_bytes() != file.read_bytes():
            stale.append(f"run `python3 run.py notebooks {file.stem}`")
    assert stale == []


def test_all_were_executed_once_from_top_to_bottom() -> None:
    counts = {name(f): [cell.execution_count for cell in code_cells(f)] for f in EVERY}
    wrong = {f: c for f, c in counts.items() if c != list(range(1, len(c) + 1))}
    assert wrong == {}


def test_the_last_cell_leads_to_its_neighbours_and_the_solutions() -> None:
    missing = [
        f"{lesson.name}: no link to {target}"
        for i, lesson in enumerate(LESSONS)
        for target in (
            *(near.name for near in LESSONS[max(0, i - 1) : i + 2] if near != lesson),
            f"solutions/{lesson.name}",
            "../llm_walkthrough/",
        )
        if f"]({target}" not in read(lesson).cells[-1].source
    ]
    assert missing == []


def test_the_prose_holds_no_filler() -> None:
    found = [(name(f), FILLER.search(text)) for f in EVERY for text in prose(f)]
    assert [(file, match) for file, match in found if match] == []


def test_a_kernel_without_the_package_says_which_command_to_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "llm_walkthrough", None)
    for module in [name for name in sys.modules if name.startswith("llm_walkthrough.")]:
        monkeypatch.setitem(sys.modules, module, None)
    for file in LESSONS:
        with pytest.raises(SystemExit, match=r"python3 run\.py"):
            exec(code_cells(file)[0].source, {})  # noqa: S102 - a cell is made to be executed


def test_all_notebooks_answer_a_wrong_kernel_in_the_same_words() -> None:
    starts = [code_cells(file)[0].source for file in EVERY]
    answer = re.compile(r"^except ModuleNotFoundError:\n.*", re.MULTILINE)
    answers = {tuple(answer.findall(start)) for start in starts}
    assert len(answers) == 1, answers


# --- links ------------------------------------------------------------------------


def links(file: Path) -> set[str]:
    found = set()
    for text in prose(file):
        no_code = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
        found |= set(re.findall(r"\]\(([^)\s]+)\)", no_code))
    return found


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    text = "\n".join(prose(page)).lower()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def test_links_inside_the_repository_lead_somewhere() -> None:
    def is_dead(page: Path, link: str) -> bool:
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        return not target.exists() or bool(anchor and anchor not in anchors(target))

    inside = [(p, link) for p in PAGES for link in links(p) if "://" not in link]
    assert [(name(page), link) for page, link in inside if is_dead(page, link)] == []


def test_links_to_the_repository_name_the_one_address() -> None:
    wrong = [
        (name(page), link)
        for page in PAGES
        for link in links(page)
        for place in re.findall(r"(?:github\.com|v2/gh)/([^/]+/[^/]+)", link)
        if "llm_walkthrough" in place or "mybinder" in link
        if place != repository()
    ]
    assert wrong == []


def test_the_readme_opens_the_course_in_binder() -> None:
    assert any("mybinder.org/v2/gh/" in link for link in links(ROOT / "README.md"))


def test_the_glossary_is_in_alphabetical_order() -> None:
    text = (FOLDER / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert terms == sorted(terms, key=str.lower)


def test_a_link_to_a_term_finds_it_in_jupyterlab_as_well() -> None:
    # whose own anchors keep the capitals of a heading, as GitHub's do not
    page = FOLDER / "glossary.md"
    text = page.read_text(encoding="utf-8")
    named = re.findall(r'^<a id="(.+)"></a>\n## ', text, re.MULTILINE)
    assert {*named, "glossary"} == anchors(page)


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
    kept = {"tags": [NOT_COMPARED], "jupyter": {"source_hidden": True}}
    noisy.cells[0].metadata = {**kept, "execution": {"iopub": "now"}}
    stripped = strip(noisy)
    assert stripped.cells[0].metadata == kept
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
