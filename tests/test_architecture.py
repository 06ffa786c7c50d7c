"""The imports are as the table of layers says, so that the picture cannot rot."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "llm_walkthrough"
ROOT = Path(__file__).resolve().parent.parent

# Rooms: a folder of the package, or a file on its top level. A room may
# import those of the rows above its own, and no other.
ROWS = (
    {"arrays", "errors"},
    {"guards"},
    {"model_files"},
    {"exports"},
    {"sampling", "kv_cache", "graph", "tokenizer", "grammar"},
    {"constraints", "machine", "surgery"},
    {"structured_output", "branch"},
    {"model", "speculation", "mending"},
    {"stepper"},
    {"inside"},
    {"views", "exercises", "plots", "overview"},
    {"panel"},
    {"widgets"},
)

# The same inside `panel`: state, then the frame, then what stands in it.
PANEL_ROWS = (
    {"acting", "watched"},
    {"candidates", "wording"},
    {"frame"},
    {"page_candidates", "page_engine", "board"},
    {"step", "small", "server"},
)

# Whatever stands beside the rows may import anything; nothing in a row imports it.
BESIDE = {
    "answer",
    "catalogue",
    "classroom",
    "command_line",
    "conversion",
    "environment",
    "netron_view",
    "packing",
    "preflight",
}


FILES = {
    ".".join(file.relative_to(ROOT / PACKAGE).with_suffix("").parts): file
    for file in sorted((ROOT / PACKAGE).rglob("*.py"))
    if file.stem != "__init__"
}


def room(module: str) -> str:
    """Name the room of a module: `exercises` for `exercises.when`."""
    return module.partition(".")[0]


def imports(file: Path) -> set[str]:
    """Find every module that a file imports, those for type checkers included."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name}: imports say where they lead"
            module = str(node.module)
            names = {f"{module}.{alias.name}" for alias in node.names}
            found |= names if module.startswith(PACKAGE) else {module}
    return found


def own_imports(file: Path) -> set[str]:
    """Find the modules that a file imports from this package."""
    prefix = f"{PACKAGE}."
    names = {n.removeprefix(prefix) for n in imports(file) if n.startswith(prefix)}
    return {n if n in FILES else n.rpartition(".")[0] for n in names} & FILES.keys()


IMPORTS = {module: own_imports(file) for module, file in FILES.items()}


def test_every_module_has_its_place_in_the_table() -> None:
    assert {room(module) for module in FILES} == set().union(*ROWS) | BESIDE


def offenders(
    rows: tuple[set[str], ...], imports: dict[str, set[str]]
) -> Iterator[str]:
    """Find the imports that lead to a room in the same row, below it, or in none."""
    row_of = {name: number for number, row in enumerate(rows) for name in row}
    for module, others in imports.items():
        for other in others:
            if room(module) not in row_of or room(other) == room(module):
                continue
            if row_of.get(room(other), len(rows)) >= row_of[room(module)]:
                yield f"{module} imports {other}"


def test_imports_point_to_the_rows_above() -> None:
    assert [*offenders(ROWS, IMPORTS)] == []


def test_imports_inside_the_panels_point_to_the_rows_above() -> None:
    inside = {
        module.removeprefix("panel."): {
            other.removeprefix("panel.") for other in others if room(other) == "panel"
        }
        for module, others in IMPORTS.items()
        if room(module) == "panel"
    }
    assert {room(module) for module in inside} == set().union(*PANEL_ROWS)
    assert [*offenders(PANEL_ROWS, inside)] == []


def test_the_state_of_the_step_panel_knows_nothing_of_html() -> None:
    drawing = {f"panel.{room}" for row in PANEL_ROWS[2:4] for room in row}
    drawing.add("guards.markup")
    knowing = {
        m for m in IMPORTS if m.startswith("panel.step.") and IMPORTS[m] & drawing
    }
    assert knowing == {"panel.step.page", "panel.step.page_inside"}


def test_the_package_itself_imports_nothing() -> None:
    assert imports(ROOT / PACKAGE / "__init__.py") == set()


def names_used(file: Path) -> set[str]:
    """Collect every name and attribute in the code; docstrings do not count."""
    nodes = list(ast.walk(ast.parse(file.read_text("utf-8"))))
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return attributes | {node.id for node in nodes if isinstance(node, ast.Name)}


def test_only_model_holds_a_session() -> None:
    users = {m for m, file in FILES.items() if "InferenceSession" in names_used(file)}
    assert users <= {"model"}


def test_only_widgets_knows_ipywidgets_and_anywidget() -> None:
    libraries = {"ipywidgets", "anywidget", "traitlets"}
    users = {m for m, f in FILES.items() if libraries & set(map(room, imports(f)))}
    assert users <= {"widgets"}


def test_the_decode_loop_loads_no_engine() -> None:
    engines = ["onnxruntime", "tokenizers", "onnx", "jaxtyping"]
    question = (
        f"import sys, {PACKAGE}.stepper; print([*{{*{engines}}} & {{*sys.modules}}])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", question],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout == "[]\n"


# --- how large it is, and how it begins -----------------------------------------------
CORE = (
    "arrays errors sampling kv_cache graph tokenizer model branch stepper model_files"
)
CORE_PLACES = {place for name in CORE.split() for place in (name, f"{name}.py")}
MOST_LINES = {"the core": 2_500, "the package": 11_994}
"""Lines that are not blank: the course rests on a package that one person can read."""


def num_lines(files: Iterable[Path]) -> int:
    texts = [file.read_text("utf-8").splitlines() for file in files]
    return sum(bool(line.strip()) for lines in texts for line in lines)


def test_the_package_stays_small() -> None:
    every = [*(ROOT / PACKAGE).rglob("*.py")]
    core = [f for f in every if f.relative_to(ROOT / PACKAGE).parts[0] in CORE_PLACES]
    lines = {"the core": num_lines(core), "the package": num_lines(every)}
    assert {n: k for n, k in lines.items() if k > MOST_LINES[n]} == {}


def test_the_first_line_of_a_module_says_what_it_is() -> None:
    offenders = []
    for module, file in FILES.items():
        doc = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
        if not doc.partition("\n")[0].endswith("."):  # a phrase, and no question
            offenders.append(module)
    assert offenders == []
