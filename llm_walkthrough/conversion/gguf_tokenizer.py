"""The tokenizer of a GGUF file, as tokenizer.json has it.

Two kinds. "gpt2" merges bytes, after a text was split into words in one of some ways
that files name; "llama" is SentencePiece, which merges characters of the whole text,
the likeliest token first, and falls back to bytes. Knows nothing of chats.
"""

from __future__ import annotations

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
PIECES = "llama"  # the name of SentencePiece in a GGUF file
_TAILS = r"'(?i:s|t|re|ve|m|ll|d)|"
_WORDS = r"[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{0}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"


class Splitting(NamedTuple):
    """How a text is split into words before its bytes are merged."""

    names: tuple[str, ...]  # tokenizer.ggml.pre in the files that split like this
    tokenizer_class: str  # for tokenizer_config.json
    pattern: str = ""  # of a word; "" for that of GPT-2
    single_digits: bool = False
    takes_whole_words: bool = False  # those in the vocabulary are not merged at all
    composes_accents: bool = False  # é is one character, however it was typed (NFC)
    adds_bos: bool = False  # where the file does not say


_QWEN2 = Splitting(
    ("qwen2",),
    "Qwen2Tokenizer",
    _TAILS + _WORDS.format("") + _SPACES,
    composes_accents=True,
)
SPLITTINGS = (
    Splitting(("smollm", "starcoder", "refact"), "GPT2Tokenizer", single_digits=True),
    Splitting(("gpt-2",), "GPT2Tokenizer"),
    Splitting(
        ("llama-bpe", "llama3", "llama-v3"),
        "PreTrainedTokenizerFast",
        _TAILS + _WORDS.format("{1,3}") + _SPACES,
        takes_whole_words=True,
        adds_bos=True,
    ),
    _QWEN2,
    _QWEN2._replace(names=("deepseek-r1-qwen",), composes_accents=False),
    Splitting(
        ("tekken",),
        "PreTrainedTokenizerFast",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
        r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + _SPACES,
        takes_whole_words=True,
    ),
)


def tokenizer_class(model: GgufModel) -> str:
    """Name the class of the tokenizer, for tokenizer_config.json."""
    splitting = _splitting(model)
    return splitting.tokenizer_class if splitting else "LlamaTokenizer"


def make_tokenizer(model: GgufModel) -> Tokenizer:
    """Make the tokenizer; special tokens in a text stay whole.

    Raises:
        InputError: if it is of a kind, or splits text in a way, that is not known here,
            or its lists do not fit each other.
    """
    splitting = _splitting(model)
    try:
        tokenizer = _byte_level(model, splitting) if splitting else _pieces(model)
    except InputError:
        raise
    except Exception as error:  # the library raises no narrower class
        raise InputError(
            f"{model.path.name}: its merges do not fit its tokens ({error}); fetch the "
            "file again, or take another one"
        ) from error
    for kind in (TokenType.CONTROL, TokenType.USER_DEFINED):
        special = kind == TokenType.CONTROL
        texts = tokens_of_kind(model, kind)
        added = [AddedToken(one, special=special, normalized=False) for one in texts]
        (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(added)
    bos = model.token("tokenizer.ggml.bos_token_id")
    adds_bos = model.field("tokenizer.ggml.add_bos_token")
    if adds_bos is None:
        adds_bos = splitting.adds_bos if splitting else True
    if adds_bos and bos is not None:
        text = model.tokens[bos]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[text, "$A"], pair=[text, "$A", "$B"], special_tokens=[(text, bos)]
        )
    return tokenizer


def tokens_of_kind(model: GgufModel, kind: TokenType) -> dict[str, int]:
    """The tokens of one kind and their ids, lowest id first."""
    kinds = model.field("tokenizer.ggml.token_type")
    if not isinstance(kinds, list) or len(kinds) != model.vocab:
        raise InputError(
            f"{model.path.name}: tokenizer.ggml.token_type must be a list of "
            f"{model.vocab:,} numbers, one for each token; fetch the file again"
        )
    found = zip(model.tokens, enumerate(kinds), strict=True)
    return {text: token for text, (token, one) in found if one == kind}


def _splitting(model: GgufModel) -> Splitting | None:
    """Find how the file splits text; None for SentencePiece, which does not."""
    kind = model.field("tokenizer.ggml.model")
    if kind == PIECES:
        return None
    name = model.field("tokenizer.ggml.pre")
    for splitting in SPLITTINGS if kind == "gpt2" else ():
        if name in splitting.names:
            return splitting
    known = ", ".join(name for one in SPLITTINGS for name in one.names)
    raise InputError(
        f"{model.path.name}: its tokenizer {kind!r} splits text as {name!r}; "
        f"only SentencePiece ({PIECES!r}) and 'gpt2' with {known} can be converted"
    )


def _vocabulary(model: GgufModel) -> dict[str, int]:
    return {token: token_id for token_id, token in enumerate(model.tokens)}


def _byte_level(model: GgufModel, splitting: Splitting) -> Tokenizer:
    pairs = (text.partition(" ") for text in model.texts("tokenizer.ggml.merges"))
    merges = [(left, right) for left, _, right in pairs]
    whole = {"ignore_merges": True} if splitting.takes_whole_words else {}
    tokenizer = Tokenizer(models.BPE(_vocabulary(model), merges, **whole))
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
    scores = model.field("tokenizer.ggml.scores")
    if not isinstance(scores, list) or len(scores) != model.vocab:
        raise InputError(
            f"{model.path.name}: tokenizer.ggml.scores must be a list of "
            f"{model.vocab:,} numbers, one for each token; fetch the file again"
        )
    ids = tokens_of_kind(model, TokenType.NORMAL)
    by_score = sorted(ids, key=lambda text: -scores[ids[text]])
    merges = [
        (text[:place], text[place:])
        for text in by_score
        for place in range(1, len(text))
        if text[:place] in ids and text[place:] in ids
    ]
    unknown = model.token("tokenizer.ggml.unknown_token_id") or 0
    tokenizer = Tokenizer(
        models.BPE(
            _vocabulary(model),
            merges,
            unk_token=model.tokens[unknown],
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    spaces: normalizers.Normalizer = normalizers.Replace(" ", SPACE)
    decoding = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if model.field("tokenizer.ggml.add_space_prefix") is not False:
        spaces = normalizers.Sequence([normalizers.Prepend(SPACE), spaces])
        decoding.append(decoders.Strip(" ", 1, 0))
    tokenizer.normalizer = spaces
    tokenizer.decoder = decoders.Sequence(decoding)
    return tokenizer
