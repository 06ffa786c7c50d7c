"""A wheel of a few kB that carries one file, as pip wants wheels to be."""

from __future__ import annotations

import zipfile
from pathlib import Path

REQUIREMENT = "tiny-model==1.0"
MEMBER = "tiny_model/tiny.gguf"
INFO = "tiny_model-1.0.dist-info"


def write_tiny_wheel(folder: Path, content: bytes) -> Path:
    """Write a wheel with `content` as its MEMBER into `folder`, which is made."""
    folder.mkdir(exist_ok=True)
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(MEMBER, content)
        wheel.writestr(
            f"{INFO}/METADATA",
            "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
        )
        wheel.writestr(
            f"{INFO}/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{INFO}/RECORD", "")
    return path
