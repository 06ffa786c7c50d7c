"""The settings of a model, from the small JSON files beside its graph.

Reads `genai_config.json` (onnxruntime-genai), `config.json` and
`generation_config.json` (Hugging Face). Knows nothing of ONNX: `graph` asks here for
what the graph leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.small_file import is_file, read_json

MOST = 2**31 - 1  # of anything that a model has: layers, heads, tokens of its context
MOST_TOKENS = 4_000_000  # in a vocabulary; the largest have 300,000
_FILES = ("genai_config.json", "config.json", "generation_config.json")


@dataclass(frozen=True)
class ModelConfig:
    """The settings of a model: each file with what it says, the first goes first.

    >>> config = ModelConfig({"config.json": {"n_head": 9}, "other": {"n_head": 4}})
    >>> config.number("num_attention_heads", "n_head")
    9
    """

    settings: Mapping[str, dict[str, Any]]

    def number(self, *keys: str) -> int | None:
        """Return the first whole number above 0 that stands under one of these keys."""
        found = (said.get(key) for said in self.settings.values() for key in keys)
        size = next((one for one in found if is_whole(one) and one > 0), None)
        if size is not None and size > MOST:
            raise InputError(
                f"{' or '.join(keys)} must be at most {MOST:,}, got {size!r:.20}; mend "
                f"it in {' or '.join(_FILES)}"
            )
        return size

    def entry(self, key: str) -> Any:  # noqa: ANN401 - any JSON value
        """Return the first thing other than null that stands under this key."""
        found = (said.get(key) for said in self.settings.values())
        return next((one for one in found if one is not None), None)

    def table(self, key: str) -> dict[str, Any]:
        """Return the object that stands under this key, {} where there is none."""
        value = self.entry(key)
        return value if isinstance(value, dict) else {}


def small_file_folders(path: Path) -> tuple[Path, Path]:
    """Return where the small files of a model may stand, the likelier place first.

    The `path` is its folder or `.onnx` file. On the Hugging Face hub the graphs are in
    a folder `onnx` and the small files beside that.
    """
    folder = path.parent if is_file(path) else path
    top = folder.parent if folder.name == "onnx" else folder
    return top / "onnx", top


def read_model_config(path: Path) -> ModelConfig:
    """Read what stands in a model folder, given itself or as its `.onnx` file.

    What stands in its folder `onnx`, as on the Hugging Face hub, goes first. Errors as
    for `read_json`.
    """
    folders = small_file_folders(path)
    files = [folder / name for folder in folders for name in _FILES]
    return ModelConfig(
        {
            file.relative_to(folders[1]).as_posix(): _flat(read_json(file))
            for file in filter(is_file, files)
        }
    )


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    """Put what is said of the text model and its decoder beside what is at the top."""
    model = nested(config, "model")  # of genai_config.json
    text = nested(config, "text_config")  # of a model that also sees or hears
    return {**config, **text, **model, **nested(model, "decoder")}


def nested(config: object, key: str) -> dict[str, Any]:
    """Return the object under this key, {} where there is none."""
    value = config.get(key) if isinstance(config, dict) else None
    return value if isinstance(value, dict) else {}


def is_whole(value: object) -> TypeGuard[int]:
    """Tell whether a JSON value is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)
