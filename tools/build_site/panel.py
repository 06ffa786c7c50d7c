"""The folder of the panel that runs in the page: parts, model, package, and their list.

Knows nothing of the pages around it, nor of what the files of web/ do.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from importlib.metadata import files
from pathlib import Path

from llm_walkthrough import catalogue
from llm_walkthrough.conversion.record import sha256
from tools.build_site.parts import PARTS
from tools.build_site.recipe import recipe

ROOT = Path(__file__).resolve().parents[2]
PACKAGE, WEB = ROOT / "llm_walkthrough", ROOT / "web"
SHOWN = [PACKAGE / "panel" / name for name in ("panel.css", "panel.js", "shell.js")]


def write_panel(folder: Path) -> None:
    """Write what stands beside the parts, and the list of all files last.

    Raises:
        InputError: the model is not there.
    """
    model = PARTS["model"]
    (folder / "model").mkdir(parents=True, exist_ok=True)
    for file in (*WEB.glob("*.*"), *SHOWN):
        shutil.copy(file, folder)
    source = catalogue.find(model["name"])
    gguf = catalogue.fetch_gguf(model["name"])
    for name in model["files"]:
        shutil.copy(source / name, folder / "model")
    shutil.copy(gguf, folder / "model/weights.gguf")
    made = json.dumps([*recipe(gguf, source / "model.onnx")])
    (folder / "model/recipe.json").write_text(made, "utf-8")
    _zip_package(folder / "package.zip")
    (folder / "parts.json").unlink(missing_ok=True)
    there = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    listed = [
        {
            "name": file.relative_to(folder).as_posix(),
            "bytes": file.stat().st_size,
            "sha256": sha256(file),
        }
        for file in there
    ]
    (folder / "parts.json").write_text(json.dumps(listed, indent=1), "utf-8")


def _zip_package(target: Path) -> None:
    """Write what Python runs in the page; the same files give the same bytes."""
    with zipfile.ZipFile(target, "w") as archive:
        for name, file in sorted(_python_files()):
            entry = zipfile.ZipInfo(name)  # with the oldest date that there is
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)


def _python_files() -> Iterator[tuple[str, Path]]:
    """Yield the name in the archive and the file, without what was compiled."""
    for file in PACKAGE.rglob("*.*"):
        if file.parent.name != "__pycache__":
            yield file.relative_to(ROOT).as_posix(), file
    for file in (WEB / "beside").glob("*.py"):
        yield file.name, file
    for name in ("jinja2", "markupsafe"):
        for part in files(name) or ():
            if part.suffix in {".py", ".txt"}:  # the code and its licence
                yield part.as_posix(), Path(str(part.locate()))
