"""The tokenizer of a GGUF file, as tokenizer.json has it.

Two kinds. "gpt2" merges bytes, after a text was split into words in one of some ways
that files name; "llama" is SentencePiece, which merges characters of the whole text,
the likeliest token first, and falls back to bytes. Knows nothing of chats.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import NamedTuple

from gguf import TokenType
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from llm_walkthrough.conversion.gguf_model import GgufModel
from llm_walkthrough.errors import InputError

SPACE = "▁"  # how SentencePiece writes a space
_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


class Splitting(NamedTuple):
    """How a text is split into words before its bytes are merged."""

    names: list[str]  # tokenizer.ggml.pre in the files that split like this; or any
    tokenizer_class: str  # for tokenizer_config.json
    model: str = "gpt2"  # tokenizer.ggml.model; SentencePiece is "llama"
    pattern: str = ""  # of a word; "" for that of GPT-2
    single_digits: bool = False
    takes_whole_words: bool = False  # those in the vocabulary are not merged at all
    composes_accents: bool = False  # é is one character, however it was typed (NFC)
    adds_bos: bool = False  # where the file does not say


SPLITTINGS = [Splitting(**table) for table in _TABLES["splitting"]]


def make_tokenizer(model: GgufModel) -> Tokenizer:
    """Make the tokenizer, whose special tokens stay whole; InputError if unknown."""
    how = splitting_of(model)
    try:
        tokenizer = _byte_level(model, how) if how.model == "gpt2" else _pieces(model)
    except InputError:
        raise
    except Exception as error:  # the library raises no narrower class
        wanted = "pairs that fit its tokens"
        raise model.wrong("tokenizer.ggml.merges", wanted, error) from error
    for kind in (TokenType.CONTROL, TokenType.USER_DEFINED):
        special, texts = kind == TokenType.CONTROL, tokens_of_kind(model, kind)
        added = [AddedToken(one, special=special, normalized=False) for one in texts]
        (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(added)
    bos = model.token("tokenizer.ggml.bos_token_id")
    adds_bos = model.field("tokenizer.ggml.add_bos_token")
    if (how.adds_bos if adds_bos is None else adds_bos) and bos is not None:
        text = model.tokens[bos]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[text, "$A"], pair=[text, "$A", "$B"], special_tokens=[(text, bos)]
        )
    return tokenizer


def tokens_of_kind(model: GgufModel, kind: TokenType) -> dict[str, int]:
    """The tokens of one kind and their ids, lowest id first."""
    kinds = _numbers(model, "token_type")
    found = zip(model.tokens, enumerate(kinds), strict=True)
    return {text: token for text, (token, one) in found if one == kind}


def _numbers(model: GgufModel, name: str) -> list[float]:
    """One number for each token."""
    found = model.field(f"tokenizer.ggml.{name}")
    if isinstance(found, list) and len(found) == model.vocab:
        return found
    wanted = f"a list of {model.vocab:,} numbers, one for each token"
    raise model.wrong(f"tokenizer.ggml.{name}", wanted, found)


def splitting_of(model: GgufModel) -> Splitting:
    """Find how the file splits text; InputError if that is not known here."""
    kind, name = map(model.field, ("tokenizer.ggml.model", "tokenizer.ggml.pre"))
    for one in SPLITTINGS:
        if kind == one.model and name in (one.names or [name]):
            return one
    known = ", ".join(name for one in SPLITTINGS for name in one.names)
    what = f"{model.path.name}: its tokenizer {kind!r} splits text as {name!r}"
    only = f"only SentencePiece ('llama') and 'gpt2' with {known} can be converted"
    raise InputError(f"{what}; {only}")


def _byte_level(model: GgufModel, splitting: Splitting) -> Tokenizer:
    pairs = (text.partition(" ") for text in model.texts("tokenizer.ggml.merges"))
    merges = [(left, right) for left, _, right in pairs]
    whole = {"ignore_merges": True} if splitting.takes_whole_words else {}
    tokenizer = Tokenizer(models.BPE(model.ids, merges, **whole))
    steps: list[pre_tokenizers.PreTokenizer] = []
    if splitting.single_digits:
        steps.append(pre_tokenizers.Digits(individual_digits=True))
    if splitting.pattern:
        steps.append(pre_tokenizers.Split(Regex(splitting.pattern), "isolated"))
    by_gpt2 = not splitting.pattern
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=by_gpt2))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    if splitting.composes_accents:
        tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def _pieces(model: GgufModel) -> Tokenizer:
    """SentencePiece: each token that two others make is a merge, by its score."""
    scores = _numbers(model, "scores")
    ids = tokens_of_kind(model, TokenType.NORMAL)
    by_score = sorted(ids, key=lambda text: -scores[ids[text]])
    merges = [
        (text[:place], text[place:])
        for text in by_score
        for place in range(1, len(text))
        if text[:place] in ids and text[place:] in ids
    ]
    unknown = model.tokens[model.token("tokenizer.ggml.unknown_token_id") or 0]
    options = {"unk_token": unknown, "fuse_unk": True, "byte_fallback": True}
    tokenizer = Tokenizer(models.BPE(model.ids, merges, **options))
    spaces: normalizers.Normalizer = normalizers.Replace(" ", SPACE)
    decoding = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if model.field("tokenizer.ggml.add_space_prefix") is not False:
        spaces = normalizers.Sequence([normalizers.Prepend(SPACE), spaces])
        decoding.append(decoders.Strip(" ", 1, 0))
    tokenizer.normalizer = spaces
    tokenizer.decoder = decoders.Sequence(decoding)
    return tokenizer
