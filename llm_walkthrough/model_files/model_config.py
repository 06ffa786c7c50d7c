"""The settings of a model, from the small JSON files beside its graph.

Reads `genai_config.json` (onnxruntime-genai), `config.json` and
`generation_config.json` (Hugging Face). Knows nothing of ONNX: `graph` asks here for
what the graph leaves open.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    """The settings of a model, from one or several files, the first found first.

    >>> config = ModelConfig(({"n_head": 9}, {"n_head": 4, "eos_token_id": [2, 0]}))
    >>> config.number("num_attention_heads", "n_head"), config.end_tokens()
    (9, (2, 0))
    """

    settings: tuple[dict[str, Any], ...]

    def number(self, *keys: str) -> int | None:
        """Return the first whole number above 0 that stands under one of these keys.

        Raises:
            InputError: it is so large that nothing can have that size.
        """
        found = (setting.get(key) for setting in self.settings for key in keys)
        size = next((one for one in found if _is_whole(one) and one > 0), None)
        if size is not None and size > MOST:
            raise InputError(
                f"{' or '.join(keys)} must be at most {MOST:,}, got {size!r:.20}; mend "
                f"it in {' or '.join(_FILES)}"
            )
        return size

    def text(self, key: str) -> str | None:
        """Return the first text that stands under this key."""
        found = (setting.get(key) for setting in self.settings)
        return next((text for text in found if text and isinstance(text, str)), None)

    def end_tokens(self) -> tuple[int, ...]:
        """Return every id that ends an answer; files name one, or a list.

        Raises:
            InputError: something else than ids stands there.
        """
        found = [setting.get("eos_token_id") for setting in self.settings]
        listed = [ids if isinstance(ids, list) else [ids] for ids in found]
        tokens = [token for ids in listed for token in ids if token is not None]
        for wrong in (token for token in tokens if not _is_whole(token)):
            raise InputError(
                f"eos_token_id must be a token id or a list of them, got {wrong!r}; "
                f"mend it in {' or '.join(_FILES)}"
            )
        return tuple(dict.fromkeys(tokens))  # each id once, in order


def read_model_config(path: Path) -> ModelConfig:
    """Read what stands in a model folder, given itself or as its `.onnx` file.

    What stands in its folder `onnx`, as on the Hugging Face hub, goes first.

    Raises:
        InputError: a file is not JSON, or holds no JSON object.
    """
    folder = path.parent if is_file(path) else path
    top = folder.parent if folder.name == "onnx" else folder
    return ModelConfig(tuple(_settings([top / "onnx", top])))


def _settings(folders: list[Path]) -> Iterator[dict[str, Any]]:
    for file in (folder / name for folder in folders for name in _FILES):
        if is_file(file):
            config = read_json(file)
            # genai_config.json nests what config.json has at the top
            model = _nested(config, "model")
            yield {**config, **model, **_nested(model, "decoder")}


def _nested(config: dict[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key)
    return value if isinstance(value, dict) else {}


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
