"""The tree is made from the files themselves."""

from __future__ import annotations

from pathlib import Path

from tools.tree import tree


def test_every_file_stands_in_its_folder_with_its_first_line(tmp_path: Path) -> None:
    for path, text in {
        "house/__init__.py": '"""A house."""',
        "house/door.py": '"""Way in.\n\nKnows nothing of windows."""',
        "house/attic/__init__.py": "",
        "house/attic/box.py": '"""Old things."""',
        "house/notes/read.txt": "no folder of modules",
    }.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    assert [" ".join(line.split()) for line in tree(tmp_path / "house")] == [
        "house/ A house.",
        "door.py Way in.",
        "attic/",
        "box.py Old things.",
    ]
