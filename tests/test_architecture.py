"""The imports are as the table of layers says, so that the picture cannot rot."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = "llm_walkthrough"
ROOT = Path(__file__).resolve().parent.parent

# A module may import those of the rows above its own, and no other.
ROWS = (
    {"arrays", "errors"},
    # Layer 1, and above it what was split from it because it answers its own question.
    {"model_config", "ports", "chat_template", "token_text"},
    {"onnx_file"},
    {"sampling", "kv_cache", "graph", "tokenizer", "grammar"},
    # Layer 2, likewise.
    {"matcher"},
    {"completion"},
    {"structured_output"},
    {"branch", "run_checks"},
    {"model", "stepper"},
    {"views", "exercises", "plots"},
    {"panel"},
    {"widgets"},
)

# Whatever stands beside the layers may import anything; nothing in a layer imports it.
BESIDE = {
    "environment": {"machine", "readiness"},
    "catalogue": {"download", "storage"},
    "convert": {
        "decoder_graph",
        "gguf_model",
        "matrix_kits",
        "model_folder",
        "onnx_writer",
        "quantised",
    },
    "bench": {"bench_engines", "bench_report"},
    "bench_panel": {"bench_buttons", "bench_lab", "bench_panel_report"},
    "cli": {"ask", "commands", "progress", "terminal"},
    "notebooks": {"classroom", "netron_view"},
}

LAYERED = set().union(*ROWS)
UNLAYERED = BESIDE.keys() | set().union(*BESIDE.values())

FILES = {
    ".".join(file.relative_to(ROOT / PACKAGE).with_suffix("").parts): file
    for file in sorted((ROOT / PACKAGE).rglob("*.py"))
}


def top(module: str) -> str:
    """Name the row entry of a module: `exercises` for `exercises.verdict`."""
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
            found |= names if module == PACKAGE else {module}
    return found


def own_imports(file: Path) -> set[str]:
    """Find the row entries that a file imports from this package."""
    prefix = f"{PACKAGE}."
    found = {name for name in imports(file) if name.startswith(prefix)}
    return {top(name.removeprefix(prefix)) for name in found}


def layered_files() -> list[str]:
    return [module for module in FILES if top(module) in LAYERED]


def test_every_module_has_its_place_in_the_table() -> None:
    modules = {top(module) for module in FILES if module != "__init__"}
    assert modules <= LAYERED | UNLAYERED
    assert not LAYERED & UNLAYERED


@pytest.mark.parametrize("module", layered_files())
def test_imports_point_to_the_rows_above(module: str) -> None:
    row = next(number for number, row in enumerate(ROWS) if top(module) in row)
    above: set[str] = set().union(*ROWS[:row])
    assert own_imports(FILES[module]) - {top(module)} <= above


def test_the_package_itself_imports_nothing() -> None:
    assert imports(FILES["__init__"]) == set()


def names_used(file: Path) -> set[str]:
    """Collect every name and attribute in the code; docstrings do not count."""
    nodes = list(ast.walk(ast.parse(file.read_text("utf-8"))))
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return attributes | {node.id for node in nodes if isinstance(node, ast.Name)}


def test_only_model_holds_a_session() -> None:
    users = {m for m, file in FILES.items() if "InferenceSession" in names_used(file)}
    assert users <= {"model", "bench", "bench_engines"}


def test_only_widgets_knows_ipywidgets_and_anywidget() -> None:
    libraries = {"ipywidgets", "anywidget"}
    users = {m for m, file in FILES.items() if libraries & set(map(top, imports(file)))}
    assert users <= {"widgets", "bench_buttons"}


@pytest.mark.parametrize("module", [name for name in FILES if "__init__" not in name])
def test_every_module_has_a_test_of_its_name(module: str) -> None:
    assert (ROOT / "tests" / f"test_{module.replace('.', '_')}.py").exists()


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
