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
from tools.build_site.parts import put_parts
from tools.build_site.recipe import recipe

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "web"
PACKAGE = ROOT / "llm_walkthrough"
PANEL_FILES = ("panel.css", "panel.js", "shell.js")
MODEL = "smollm2-float32"
MODEL_FILES = (
    "model.onnx",
    "tokenizer.json",
    "tokenizer_config.json",
    "genai_config.json",
)
PURE = ("jinja2", "markupsafe")  # what the package needs besides numpy
LIST = "parts.json"


def write_panel(folder: Path) -> None:
    """Write `folder` anew, the list of its files last.

    Raises:
        InputError: the model is not there, or a part cannot be had.
    """
    (folder / "model").mkdir(parents=True, exist_ok=True)
    for file in (*WEB.glob("*.*"), *(PACKAGE / "panel" / name for name in PANEL_FILES)):
        shutil.copy(file, folder)
    put_parts(folder / "parts")
    source = catalogue.find(MODEL)
    for name in MODEL_FILES:
        shutil.copy(source / name, folder / "model")
    gguf_file = catalogue.fetch_gguf(MODEL)
    shutil.copy(gguf_file, folder / "model/weights.gguf")
    made = [*recipe(gguf_file, source / "model.onnx")]
    (folder / "model/recipe.json").write_text(json.dumps(made), "utf-8")
    _zip_package(folder / "package.zip")
    listed = [_entry(file, folder) for file in sorted(folder.rglob("*.*"))]
    text = json.dumps([one for one in listed if one["name"] != LIST], indent=1)
    (folder / LIST).write_text(text + "\n", "utf-8")


def _entry(file: Path, folder: Path) -> dict[str, str | int]:
    """Return what tells this file from any other."""
    name = file.relative_to(folder).as_posix()
    return {"name": name, "bytes": file.stat().st_size, "sha256": sha256(file)}


def _zip_package(target: Path) -> None:
    """Write what Python runs in the page; the same files give the same bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in sorted(_python_files()):
            entry = zipfile.ZipInfo(name)  # with the oldest date that there is
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())


def _python_files() -> Iterator[tuple[str, Path]]:
    """Yield the name in the archive and the file, without what was compiled."""
    for file in PACKAGE.rglob("*.*"):
        if file.parent.name != "__pycache__" and file.is_file():
            yield file.relative_to(ROOT).as_posix(), file
    for file in (WEB / "beside").glob("*.py"):
        yield file.name, file
    for name in PURE:
        for part in files(name) or ():
            if part.suffix in {".py", ".txt"}:
                yield part.as_posix(), Path(str(part.locate()))
