"""A wheel of the package holds every file of it, and nothing that Python made."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "llm_walkthrough"
WHEEL = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]


def test_a_wheel_holds_each_file_of_the_package_and_none_that_is_compiled(
    tmp_path: Path,
) -> None:
    clone = tmp_path / "clone"
    made = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / PACKAGE, clone / PACKAGE, ignore=made)
    for name in ("pyproject.toml", "README.md", "LICENSE", "models/catalogue.toml"):
        (clone / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    files = [file for file in clone.joinpath(PACKAGE).rglob("*") if file.is_file()]
    wanted = {file.relative_to(clone).as_posix() for file in files}
    for folder in {file.parent for file in files}:
        (folder / "__pycache__").mkdir()
        (folder / "__pycache__/arrays.cpython-311.pyc").touch()
    subprocess.run([sys.executable, "-m", *WHEEL, "."], cwd=clone, check=True)
    (wheel,) = clone.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    found = {name for name in names if name.startswith(f"{PACKAGE}/")}
    assert found - wanted == set()
    assert wanted - found == set()
