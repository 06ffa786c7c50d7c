"""What stands beside the graph in a model folder, and how is it made from a GGUF file?

    tokenizer.json         vocabulary, merges and how text is split
    tokenizer_config.json  chat template and the names of the special tokens
    genai_config.json      the model's numbers and ports, in onnxruntime-genai's layout

Knows nothing of weights and nodes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from llm_walkthrough.conversion.onnx_writer import GRAPH_FILE
from llm_walkthrough.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from llm_walkthrough.conversion.gguf_model import GgufModel

SPLITTING = "smollm"
"""Name in a GGUF file of the one way to split text that is written here."""

CONTROL = 3
"""Token type in a GGUF file of <|im_end|> and its like."""

END_TEXTS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>")
"""Control tokens that end an answer, even where the metadata names only one of them."""


def write_tokenizer(model: GgufModel, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json.

    Text is split at every digit and then as GPT-2 does; special tokens stay whole.

    Raises:
        InputError: if the file's vocabulary is not byte-level BPE of that kind.
    """
    splitting = model.field("tokenizer.ggml.pre")
    if model.field("tokenizer.ggml.model") != "gpt2" or splitting != SPLITTING:
        raise InputError(
            f"{model.path.name}: its tokenizer splits text as {splitting!r}; only "
            f"byte-level BPE with {SPLITTING!r} can be converted"
        )
    tokens = model.field("tokenizer.ggml.tokens")
    merges = [tuple(pair.split(" ")) for pair in model.field("tokenizer.ggml.merges")]
    vocabulary = {token: token_id for token_id, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [
            AddedToken(text, special=True, normalized=False)
            for text in control_tokens(model)
        ]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(folder / "tokenizer_config.json", tokenizer_config(model))


def control_tokens(model: GgufModel) -> dict[str, int]:
    """The special tokens and their ids, lowest id first."""
    tokens = model.field("tokenizer.ggml.tokens")
    kinds = model.field("tokenizer.ggml.token_type")
    return {
        text: token_id
        for token_id, (text, kind) in enumerate(zip(tokens, kinds, strict=True))
        if kind == CONTROL
    }


def end_tokens(model: GgufModel) -> list[int]:
    """Ids that end an answer; the one that the metadata names comes first."""
    named = model.field("tokenizer.ggml.eos_token_id")
    known = [
        token_id
        for text, token_id in control_tokens(model).items()
        if text in END_TEXTS and token_id != named
    ]
    return [named, *known]


def tokenizer_config(model: GgufModel) -> dict[str, Any]:
    """Chat template and special tokens, in the layout of the Hugging Face hub."""
    tokens = model.field("tokenizer.ggml.tokens")
    roles = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    special = {
        f"{role}_token": tokens[token_id]
        for role, key in roles.items()
        if (token_id := model.field(f"tokenizer.ggml.{key}_token_id")) is not None
    }
    return {
        "tokenizer_class": "GPT2Tokenizer",
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": model.shape.context_length,
        **special,
        "chat_template": model.field("tokenizer.chat_template"),
    }


def write_genai_config(model: GgufModel, folder: Path) -> None:
    """Write genai_config.json, which tells onnxruntime-genai all it needs."""
    _write_json(
        folder / "genai_config.json",
        {"model": _model_section(model), "search": _search_section(model)},
    )


def _model_section(model: GgufModel) -> dict[str, Any]:
    shape, ends = model.shape, end_tokens(model)
    return {
        "type": "llama",
        "vocab_size": shape.vocab,
        "context_length": shape.context_length,
        "bos_token_id": model.field("tokenizer.ggml.bos_token_id"),
        "eos_token_id": ends,
        "pad_token_id": model.field("tokenizer.ggml.padding_token_id") or ends[0],
        "decoder": {
            "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
            "filename": GRAPH_FILE,
            "hidden_size": shape.hidden,
            "num_hidden_layers": shape.num_layers,
            "num_attention_heads": shape.num_heads,
            "num_key_value_heads": shape.kv_heads,
            "head_size": shape.head_dim,
            "inputs": {
                "input_ids": "input_ids",
                "attention_mask": "attention_mask",
                "past_key_names": "past_key_values.%d.key",
                "past_value_names": "past_key_values.%d.value",
            },
            "outputs": {
                "logits": "logits",
                "present_key_names": "present.%d.key",
                "present_value_names": "present.%d.value",
            },
        },
    }


def _search_section(model: GgufModel) -> dict[str, Any]:
    """Greedy unless told otherwise, one shared buffer for past and present."""
    return {
        "do_sample": False,
        "max_length": model.shape.context_length,
        "min_length": 0,
        "num_beams": 1,
        "num_return_sequences": 1,
        "past_present_share_buffer": True,
        "repetition_penalty": 1.0,
        "temperature": 1.0,
        "top_k": 50,
        "top_p": 1.0,
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
