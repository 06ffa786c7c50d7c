"""Files beside the graph in a model folder, made from a GGUF file.

    tokenizer.json         vocabulary, merges and how text is split
    tokenizer_config.json  chat template and the names of the special tokens
    genai_config.json      the model's numbers and ports, in onnxruntime-genai's layout

Knows nothing of weights and nodes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from gguf import TokenType
from jinja2 import Template

from llm_walkthrough.conversion.gguf_model import GgufModel
from llm_walkthrough.conversion.gguf_tokenizer import (
    make_tokenizer,
    splitting_of,
    tokens_of_kind,
)
from llm_walkthrough.errors import InputError

END_ROLES = ("eos", "eot", "eom")  # end of a text, a turn, a message to a tool
# control tokens that end an answer, even where the metadata names only one of them
END_TEXTS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>")
TEMPLATE = Path(__file__).with_name("genai_config.json.jinja")
# names of the special tokens on the Hugging Face hub, and in a GGUF file
ROLES = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}


def _tokenizer(model: GgufModel) -> str:
    return make_tokenizer(model).to_str(pretty=True)


def _tokenizer_config(model: GgufModel) -> str:
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
    return _json(config)


def _genai_config(model: GgufModel) -> str:
    """Greedy unless told otherwise, one shared buffer for past and present."""
    template = Template(TEMPLATE.read_text("utf-8"))
    return _json(json.loads(template.render(model=model, ends=end_tokens(model))))


SMALL_FILES: dict[str, Callable[[GgufModel], str]] = {
    "tokenizer.json": _tokenizer,
    "tokenizer_config.json": _tokenizer_config,
    "genai_config.json": _genai_config,
}
"""What makes the text of each file; InputError where the GGUF file lacks something."""


def end_tokens(model: GgufModel) -> list[int]:
    """Ids that end an answer, those of the metadata first; InputError without any."""
    named = [model.token(f"tokenizer.ggml.{role}_token_id") for role in END_ROLES]
    known = tokens_of_kind(model, TokenType.CONTROL)
    ends = [*named, *(known[text] for text in known if text in END_TEXTS)]
    unique = [*dict.fromkeys(token for token in ends if token is not None)]
    if not unique:
        raise InputError(
            f"{model.path.name}: no token ends an answer; take another one"
        )
    return unique


def _json(content: object) -> str:
    """Write JSON that people may read as well."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
