"""The box in notebook 02 cuts up what a reader types, also after all cells have run."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from tools.notebooks import FOLDER, execute, save

TYPED = """
your_text.value = "my yoga mat"
assert "3 tokens" in your_tokens.value
assert "␣yoga" in your_tokens.value
your_text.value = ""
assert "0 tokens" in your_tokens.value
"""


@pytest.mark.model
def test_what_is_typed_after_the_last_cell_is_cut_up(tmp_path: Path) -> None:
    notebook = nbformat.read(FOLDER / "02_tokenizer.ipynb", as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(TYPED))
    save(notebook, tmp_path / "02_typed.ipynb")
    execute(tmp_path / "02_typed.ipynb")
