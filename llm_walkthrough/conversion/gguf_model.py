"""A GGUF file that holds a decoder, checked before anything is made of it.

Reads the shape of the decoder, its metadata and its weights: plain numbers, or the
codes and scales of a block type (module `block_types`). Nothing is rounded on the way.

Rows of the query and key matrices of the architecture "llama" are stored for a rotary
embedding that turns the neighbours (0, 1), (2, 3), … of a head; they are handed out as
the original model turns them: (0, 32), (1, 33), … of 64. Knows nothing of ONNX.
"""

from __future__ import annotations

import math
import mmap
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np

from llm_walkthrough.conversion import block_types
from llm_walkthrough.conversion.block_types import BLOCK_TYPES, Blocks
from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.small_file import is_file
from llm_walkthrough.model_files.model_config import is_whole

if TYPE_CHECKING:
    from jaxtyping import Float32, Shaped

    Numbers = Float32[np.ndarray, "..."]

Own = Any  # as the gguf library has it
Metadata = Any  # text, a number, a truth value or a list of them: the file decides

PLAIN = ("F32", "F16", "BF16")  # tensor types that are numbers, not blocks
EMBEDDING, HEAD = "token_embd.weight", "output.weight"
ROPE_FACTORS = "rope_freqs.weight"  # of Llama 3: slower turns, pair by pair
PIECE = 2**24  # bytes of a matrix that are taken apart at once
ARCHITECTURES = ("llama", "qwen2", "qwen3")
SCALINGS = ("none", "linear", "yarn")  # of the rotary embedding
_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
MOST = 2**20  # layers, heads, columns, or tokens of a context; none has more
MOST_ENTRIES = 65_536  # fields or tensors; the largest models have some thousands
MOST_LETTERS = 4_096  # of a token; each of its parts is looked up
MOST_ITEMS = 1_000_000  # in all lists; the largest vocabularies have 300,000 tokens


class GgufModel:
    """A decoder in a GGUF file, mapped and not loaded; InputError for anything else."""

    def __init__(self, path: Path) -> None:
        reader = _open(path)
        self.path = path
        self._fields = reader.fields
        self._mapped: Any = reader.data.base
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        self._require("split.count", None, 0, 1)
        self.architecture = self._require("general.architecture", *ARCHITECTURES)
        scaling = self._require(self._key("rope.scaling.type"), None, *SCALINGS)
        self.rope_scaling = scaling or "none"
        for key, value in _TABLES["neutral"].items():
            self._require(self._key(key), None, value)
        self.num_layers = self._count("block_count", most=len(self._tensors))
        self.hidden = self._count("embedding_length")
        self.num_heads = self._count("attention.head_count")
        self.kv_heads = self._count("attention.head_count_kv", self.num_heads)
        self._require_whole("attention.head_count", self.num_heads, self.kv_heads)
        if self._key("attention.key_length") not in self._fields:
            self._require_whole("embedding_length", self.hidden, self.num_heads)
        share = self.hidden // self.num_heads
        self.head_dim = self._count("attention.key_length", share)
        self._require_whole("attention.key_length", self.head_dim, 2)
        self.queries = self.num_heads * self.head_dim  # numbers, for each token
        for key in ("attention.value_length", "rope.dimension_count"):
            self._require(self._key(key), None, self.head_dim)
        self.tokens = self.texts("tokenizer.ggml.tokens")
        if (longest := max(map(len, self.tokens))) > MOST_LETTERS:
            wanted = f"texts of at most {MOST_LETTERS:,} letters"
            raise self.wrong("tokenizer.ggml.tokens", wanted, longest)
        self.vocab = len(self.tokens)
        self.ids = {text: token for token, text in enumerate(self.tokens)}
        self.context_length = self._count("context_length")
        self.norm_epsilon = self.number("attention.layer_norm_rms_epsilon")
        self._check_tensors()

    def field(self, key: str, default: Metadata = None) -> Metadata:
        """What the metadata says under `key`; the default if nothing."""
        try:
            return self._fields[key].contents() if key in self._fields else default
        except Exception as error:  # of many classes, as for a text that is not UTF-8
            raise self.wrong(key, "readable", error) from error

    def texts(self, key: str) -> list[str]:
        """Return the list of texts under `key`, or raise InputError if it is none."""
        found = self.field(key)
        if isinstance(found, list) and found and isinstance(found[0], str):
            return found  # all items of a list are of one type
        raise self.wrong(key, "a list of texts", found)

    def token(self, key: str) -> int | None:
        """Return the token id under `key`, None if nothing is; InputError as above."""
        found = self.field(key)
        if found is None or (is_whole(found) and 0 <= found < self.vocab):
            return found
        raise self.wrong(key, f"a token id below {self.vocab:,}", found)

    def number(self, key: str, default: float | None = None, above: float = 0) -> float:
        """Return the number under a key of the architecture; InputError as above."""
        number = self.field(full := self._key(key), default)
        if isinstance(number, float | int) and above < number < math.inf:
            return float(number)
        raise self.wrong(full, f"a number above {above:g}", number)

    def has(self, name: str) -> bool:
        """Is there a tensor of this name?"""
        return name in self._tensors

    def kind(self, name: str) -> str:
        """Type of the tensor, one of `PLAIN` or `BLOCK_TYPES`."""
        return str(self._tensors[name].tensor_type.name)

    def num_bytes(self, bytes_per_weight: Callable[[str], float]) -> int:
        """About how many bytes all weights take, told those of one by its type."""
        matrices = [one for one in self._tensors.values() if len(one.shape) > 1]
        shares = [bytes_per_weight(one.tensor_type.name) for one in matrices]
        return int(np.dot([one.n_elements for one in matrices], shares))

    def dense(self, name: str) -> Numbers:
        """Tensor `name` in float32: exact; scale * code + minimum is rounded once."""
        kind = self._tensors[name].tensor_type
        found = gguf.dequantize(self._rows(name), kind).astype(np.float32, copy=False)
        self._require_finite([name], found)
        return found

    def blocks(self, names: Sequence[str]) -> Blocks:
        """The matrices `names`, all of one block type, one below the other."""
        kind = self.kind(names[0])
        blocks = block_types.stacked(
            block_types.read_blocks(kind, rows)
            for matrix in map(self._rows, names)
            for rows in np.array_split(matrix, -(-matrix.nbytes // PIECE))
        )
        self._require_finite(names, blocks.scales)
        return blocks

    def _require_finite(self, names: Sequence[str], numbers: Numbers) -> None:
        if not np.isfinite(numbers.sum()):
            raise self.wrong(" or ".join(names), "finite numbers", "NaN or infinity")

    def _rows(self, name: str) -> Shaped[np.ndarray, "rows ..."]:
        """The stored bytes or numbers, rows in the order of the original model."""
        if hasattr(mmap, "MADV_DONTNEED"):  # what was read before may leave the memory
            self._mapped.madvise(mmap.MADV_DONTNEED)
        rows, (part, *_) = self._tensors[name].data, name.split(".")[-2:]
        if self.architecture != "llama" or part not in ("attn_q", "attn_k"):
            return rows
        heads = rows.reshape(-1, self.head_dim // 2, 2, *rows.shape[1:])
        return heads.swapaxes(1, 2).reshape(rows.shape)

    def _key(self, key: str) -> str:
        return f"{self.architecture}.{key}"

    def _require(self, key: str, *wanted: Metadata) -> Metadata:
        found = self.field(key)
        if found in wanted:
            return found
        known = " or ".join(repr(one) for one in wanted if one is not None)
        what = f"{key} is {found!r:.60}, but only {known}"
        raise InputError(f"{self.path.name}: {what} can be converted")

    def _count(self, key: str, default: int | None = None, most: int = MOST) -> int:
        number = self.field(full := self._key(key), default)
        if is_whole(number) and 1 <= number <= most:
            return int(number)
        raise self.wrong(full, f"a whole number from 1 to {most:,}", number)

    def _require_whole(self, key: str, number: int, parts: int) -> None:
        if number % parts:
            raise self.wrong(self._key(key), f"a multiple of {parts:,}", number)

    def wrong(self, key: str, wanted: str, found: object) -> InputError:
        """Make the error of a file that says something else than is `wanted`."""
        what = f"{self.path.name}: {key} must be {wanted}, got {found!r:.60}"
        return InputError(f"{what}; fetch the file again, or take another one")

    def _check_tensors(self) -> None:
        shapes, known = self._shapes(), (*PLAIN, *BLOCK_TYPES)
        for name in sorted(shapes.keys() ^ self._tensors.keys()):
            plain = f"not one of a plain {self.architecture} decoder"
            trouble = "missing" if name in shapes else plain
            raise InputError(f"{self.path.name}: tensor {name!r} is {trouble}")
        for name, tensor in self._tensors.items():
            if (kind := self.kind(name)) not in known:
                what = f"{self.path.name}: tensor {name} is quantised as {kind}"
                raise InputError(f"{what}; only {', '.join(known)} can be converted")
            if shapes[name] != (shape := tuple(tensor.shape[::-1].tolist())):
                wanted = str(shapes[name])
                raise self.wrong(f"the shape of tensor {name}", wanted, shape)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the tensors that the file must have, each with [rows,] columns."""
        hidden, queries, head_dim = self.hidden, self.queries, self.head_dim
        keys, inner = self.kv_heads * head_dim, self._count("feed_forward_length")
        layer: dict[str, tuple[int, ...]] = {
            "attn_norm.weight": (hidden,),
            "attn_q.weight": (queries, hidden),
            "attn_k.weight": (keys, hidden),
            "attn_v.weight": (keys, hidden),
            "attn_output.weight": (hidden, queries),
            "ffn_norm.weight": (hidden,),
            "ffn_gate.weight": (inner, hidden),
            "ffn_up.weight": (inner, hidden),
            "ffn_down.weight": (hidden, inner),
        }
        if self.architecture == "qwen2":
            lengths = {"q": queries, "k": keys, "v": keys}
            layer |= {f"attn_{part}.bias": (n,) for part, n in lengths.items()}
        if self.architecture == "qwen3":
            layer |= {f"attn_{part}_norm.weight": (head_dim,) for part in "qk"}
        rows = (self.vocab, hidden)
        optional = {HEAD: rows, ROPE_FACTORS: (head_dim // 2,)}
        return {
            EMBEDDING: rows,
            "output_norm.weight": (hidden,),
            **{name: one for name, one in optional.items() if self.has(name)},
            **{
                f"blk.{number}.{name}": shape
                for number in range(self.num_layers)
                for name, shape in layer.items()
            },
        }


class CheckedReader(gguf.GGUFReader):
    """The library's reader, which does not believe what a header claims.

    One that claims more than it has bytes for, or than any model has, is a ValueError;
    what the library raises where a file breaks off is of any class.
    """

    _items = 0  # in the lists that were read so far

    def _get(
        self, offset: int, dtype: Own, count: int = 1, *order: Own, **by_name: Own
    ) -> Own:
        found = super()._get(offset, dtype, count, *order, **by_name)
        if len(found) < count:
            raise ValueError(f"{count:,} numbers should follow, found {len(found):,}")
        return found

    def _build_fields(self, offs: int, count: int) -> int:
        if self.byte_order == "S":
            raise ValueError("its numbers are written for big-endian machines")
        claimed = max(int(count), int(self.fields["GGUF.tensor_count"].parts[0][0]))
        if claimed > MOST_ENTRIES:
            raise ValueError(f"it claims {claimed:,} entries, more than any model has")
        return int(super()._build_fields(offs, count))

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> Own:
        if raw_type == gguf.GGUFValueType.ARRAY:
            self._items += int(self._get(orig_offs + 4, np.uint64)[0])
            if self._items > MOST_ITEMS:
                raise ValueError(f"its lists have more than {MOST_ITEMS:,} items")
        return super()._get_field_parts(orig_offs, raw_type)


def _open(path: Path) -> CheckedReader:
    if not is_file(path):
        raise InputError(f"there is no file {path}; name a GGUF file")
    try:
        return CheckedReader(path)
    except Exception as error:  # what the library raises depends on the damage
        what = f"{path} is not a complete GGUF file ({error})"
        raise InputError(f"{what}; fetch it again, or name another file") from error
