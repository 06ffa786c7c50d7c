from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
TREE = re.search(r"## What is where\n\n```\n(.+?)```", README, re.DOTALL)
FILES = [
    *sorted(ROOT.glob("launcher/*.py")),
    *sorted(ROOT.glob("llm_walkthrough/*.py")),
]


@pytest.mark.parametrize(
    "file", [f for f in FILES if f.stem != "__init__"], ids=lambda file: file.stem
)
def test_the_file_tree_asks_of_each_file_the_question_that_it_answers(
    file: Path,
) -> None:
    question = str(ast.get_docstring(ast.parse(file.read_text("utf-8"))))
    assert TREE is not None
    lines = [line.split(maxsplit=1) for line in TREE[1].splitlines()]
    assert [file.name, question.partition("\n")[0]] in lines


def test_every_folder_and_file_at_the_top_stands_in_the_tree() -> None:
    assert TREE is not None
    kept = [
        "binder/",
        "launcher/",
        "llm_walkthrough/",
        "models/",
        "notebooks/",
        "run.py",
    ]
    assert [name for name in kept if f"\n{name} " not in f"\n{TREE[1]}"] == []
