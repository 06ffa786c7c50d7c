"""Tree of the package: each file with the first line of its docstring.

`python -m tools.tree` prints it, so that no copy of it can go stale. Knows nothing of
what the files hold.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHOWN = ("llm_walkthrough", "benchmarks", "tools", "launcher")


def tree(folder: Path, depth: int = 0) -> Iterator[str]:
    """Yield a line for a folder of Python files and each one in it, files first."""
    yield _line(f"{folder.name}/", folder / "__init__.py", depth)
    for file in sorted(folder.glob("*.py")):
        if file.stem != "__init__":
            yield _line(file.name, file, depth + 1)
    for inner in sorted(folder.iterdir()):
        if (inner / "__init__.py").is_file():
            yield from tree(inner, depth + 1)


def _line(name: str, file: Path, depth: int) -> str:
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    first, *_ = text.splitlines() or [""]
    return f"{'  ' * depth + name:<28}{first}".rstrip()


def main() -> int:
    """Print the tree; returns the exit status."""
    lines = [line for name in SHOWN for line in tree(ROOT / name)]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
