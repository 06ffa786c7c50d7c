"""Files beside the graph in a model folder, made from a GGUF file.

    tokenizer.json         vocabulary, merges and how text is split
    tokenizer_config.json  chat template and the names of the special tokens
    genai_config.json      the model's numbers and ports, in onnxruntime-genai's layout

Knows nothing of weights and nodes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gguf import TokenType

from llm_walkthrough.conversion.gguf_model import GgufModel
from llm_walkthrough.conversion.gguf_tokenizer import (
    make_tokenizer,
    splitting_of,
    tokens_of_kind,
)
from llm_walkthrough.conversion.onnx_writer import GRAPH_FILE
from llm_walkthrough.errors import InputError

END_ROLES = ("eos", "eot", "eom")  # end of a text, a turn, a message to a tool
# control tokens that end an answer, even where the metadata names only one of them
END_TEXTS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>")
TEMPLATE = Path(__file__).with_name("genai_config.json")
# names of the special tokens on the Hugging Face hub, and in a GGUF file
ROLES = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}


def write_tokenizer(model: GgufModel, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json; errors as `make_tokenizer`."""
    make_tokenizer(model).save(str(folder / "tokenizer.json"))
    named = {
        f"{role}_token": model.tokens[token_id]
        for role, key in ROLES.items()
        if (token_id := model.token(f"tokenizer.ggml.{key}_token_id")) is not None
    }
    config = {
        "tokenizer_class": splitting_of(model).tokenizer_class,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": model.context_length,
        **named,
        "chat_template": model.field("tokenizer.chat_template"),
    }
    write_json(folder / "tokenizer_config.json", config)


def write_genai_config(model: GgufModel, folder: Path) -> None:
    """Fill the gaps of genai_config.json, which tells onnxruntime-genai all it needs.

    Greedy unless told otherwise, one shared buffer for past and present.
    """
    ends, config = end_tokens(model), json.loads(TEMPLATE.read_text("utf-8"))
    config["model"] |= {
        "type": model.architecture,
        "vocab_size": model.vocab,
        "context_length": model.context_length,
        "bos_token_id": model.token("tokenizer.ggml.bos_token_id"),
        "eos_token_id": ends,
        "pad_token_id": model.token("tokenizer.ggml.padding_token_id") or ends[0],
    }
    config["model"]["decoder"] |= {
        "filename": GRAPH_FILE,
        "hidden_size": model.hidden,
        "num_hidden_layers": model.num_layers,
        "num_attention_heads": model.num_heads,
        "num_key_value_heads": model.kv_heads,
        "head_size": model.head_dim,
    }
    config["search"]["max_length"] = model.context_length
    write_json(folder / "genai_config.json", config)


def end_tokens(model: GgufModel) -> list[int]:
    """Ids that end an answer, at least one; that which the metadata names comes first.

    Raises:
        InputError: there is none.
    """
    named = [model.token(f"tokenizer.ggml.{role}_token_id") for role in END_ROLES]
    known = tokens_of_kind(model, TokenType.CONTROL)
    ends = [*named, *(known[text] for text in known if text in END_TEXTS)]
    unique = [*dict.fromkeys(token for token in ends if token is not None)]
    if not unique:
        raise InputError(
            f"{model.path.name}: no token ends an answer; take another one"
        )
    return unique


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON that people may read as well."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
