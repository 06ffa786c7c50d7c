from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tiny_tokenizer
from tokenizers import decoders, processors

from llm_walkthrough import catalogue
from llm_walkthrough.errors import InputError
from llm_walkthrough.kv_cache import checked_tokens
from llm_walkthrough.tokenizer import StopText, TextStream, Tokenizer, open_tokenizer

STYLES = {
    "byte-level": tiny_tokenizer.byte_level,
    "sentencepiece": tiny_tokenizer.sentencepiece,
}
TEXTS = (
    "the  a\n\n\tthe",
    "  two spaces before",
    "🙂 and 👨‍👩‍👧, 🧑🏽‍🚀",
    "你好世界 the",
    "e\u0301 ไทย العربية",
    " ",
    "\n",
    "",
)


@pytest.fixture(params=STYLES)
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> Tokenizer:
    return opened(tmp_path, request.param)


def opened(folder: Path, style: str, **config: object) -> Tokenizer:
    return open_tokenizer(
        tiny_tokenizer.write_folder(folder, STYLES[style](), **config)
    )


def streamed(
    tokenizer: Tokenizer,
    ids: Sequence[int],
    stop_texts: Sequence[str] = (),
) -> str:
    stream = TextStream(tokenizer, stop_texts=stop_texts)
    return "".join([stream.feed(token) for token in ids]) + stream.flush()


def ids_of(tokenizer: Tokenizer, *written: str) -> list[int]:
    vocab = tokenizer.library.get_vocab(with_added_tokens=True)
    return [vocab[one] for one in written]


# --- whole texts --------------------------------------------------------------------
@pytest.mark.parametrize("text", TEXTS)
def test_decode_gives_back_the_encoded_text(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int64
    assert ids.ndim == 1
    assert tokenizer.decode(ids) == text


def test_encode_adds_no_special_token_of_its_own(tmp_path: Path) -> None:
    library = tiny_tokenizer.sentencepiece()
    library.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    assert library.encode("the").ids[0] == 1, "the file does ask for <s>"
    folder = tiny_tokenizer.write_folder(tmp_path, library)
    assert 1 not in open_tokenizer(folder).encode("the")


def test_encode_recognises_the_text_of_special_tokens(tmp_path: Path) -> None:
    tokenizer = opened(tmp_path, "byte-level")
    ids = tokenizer.encode("<|im_start|>a<|im_end|>")
    assert list(ids) == ids_of(tokenizer, "<|im_start|>", "a", "<|im_end|>")


def test_plain_text_has_no_special_tokens_and_is_the_same_text(tmp_path: Path) -> None:
    tokenizer = opened(tmp_path, "byte-level")
    ids = tokenizer.encode_plain("<|im_start|>a<|im_end|>")
    assert tokenizer.special_tokens.isdisjoint(ids.tolist())
    assert tokenizer.decode(ids) == "<|im_start|>a<|im_end|>"
    assert list(tokenizer.encode_plain("the a")) == list(tokenizer.encode("the a"))


def test_encode_ignores_a_length_that_the_file_asks_for(tmp_path: Path) -> None:
    library = tiny_tokenizer.byte_level()
    library.enable_truncation(2)
    library.enable_padding(length=9)
    tokenizer = open_tokenizer(tiny_tokenizer.write_folder(tmp_path, library))
    assert tokenizer.decode(tokenizer.encode("abcdef"), show_special=True) == "abcdef"
    assert len(tokenizer.encode("a")) == 1


def test_folders_with_the_same_file_share_what_was_read_of_it(tmp_path: Path) -> None:
    one, other = (opened(tmp_path / name, "byte-level") for name in ("one", "other"))
    assert one.library is other.library
    assert one.folder != other.folder
    library = opened(tmp_path / "third", "sentencepiece").library
    assert library is not one.library


def test_a_special_token_shows_its_control_signs_as_numbers(tmp_path: Path) -> None:
    library = tiny_tokenizer.byte_level()
    library.add_special_tokens(["<\x1b\u202e end\n>"])
    tokenizer = open_tokenizer(tiny_tokenizer.write_folder(tmp_path, library))
    assert tokenizer.piece(tokenizer.vocab - 1) == "<<0x1B><U+202E>␣end⏎>"


def test_decode_shows_special_tokens_only_when_asked(tmp_path: Path) -> None:
    tokenizer = opened(tmp_path, "byte-level")
    ids = tokenizer.encode("a<|im_end|>")
    assert tokenizer.decode(ids) == "a"
    assert tokenizer.decode(ids, show_special=True) == "a<|im_end|>"


def test_vocab_and_special_tokens_come_from_the_file(tmp_path: Path) -> None:
    tokenizer = opened(tmp_path, "byte-level")
    assert tokenizer.vocab == 256 + 6 + 2
    assert tokenizer.special_tokens == {262, 263}


def test_an_id_that_only_the_graph_has_a_place_for_has_no_text(tmp_path: Path) -> None:
    plain = opened(tmp_path, "byte-level")
    last = plain.vocab + 3
    tokenizer = plain.for_vocab(last + 1)
    assert tokenizer.for_vocab(last + 1) is tokenizer
    assert tokenizer.vocab == plain.vocab
    assert tokenizer.piece(last) == f"<no text {last}>"
    [letter] = tokenizer.encode("a")
    assert tokenizer.decode([letter, last, letter]) == "aa"
    assert TextStream(tokenizer).feed(last) == ""
    for wrong in (plain, tokenizer.for_vocab(last)):
        with pytest.raises(InputError, match="has no text"):
            wrong.piece(last)


def test_a_graph_may_have_padded_logits_but_no_word_without_one(
    tokenizer: Tokenizer,
) -> None:
    tokenizer.for_vocab(tokenizer.vocab + 64)
    words = tokenizer.library.get_vocab_size(with_added_tokens=False)
    with pytest.raises(InputError, match=f"up to {words - 1}, .* only {words - 1} log"):
        tokenizer.for_vocab(words - 1)


def test_a_token_that_was_added_behind_the_logits_harms_nobody(tmp_path: Path) -> None:
    library = tiny_tokenizer.byte_level()
    words = library.get_vocab_size(with_added_tokens=False)
    folder = tiny_tokenizer.write_folder(tmp_path, library)
    tokenizer = open_tokenizer(folder).for_vocab(words)
    assert tokenizer.encode("the").max() < words
    beyond = tokenizer.encode("<|im_end|>")
    with pytest.raises(InputError, match=f"token id {beyond[0]} is not in 0"):
        checked_tokens(beyond, words)


def test_raw_text_begins_as_the_file_itself_has_it(tmp_path: Path) -> None:
    library = tiny_tokenizer.sentencepiece()
    plain = open_tokenizer(tiny_tokenizer.write_folder(tmp_path, library))
    tokens = plain.encode("the").tolist()
    assert plain.encode_raw("the").tolist() == tokens
    library.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    tokenizer = open_tokenizer(tiny_tokenizer.write_folder(tmp_path, library))
    assert tokenizer.encode_raw("the").tolist() == [1, *tokens]
    assert tokenizer.encode_raw("the").dtype == np.int64


def test_two_threads_decode_at_once(tokenizer: Tokenizer) -> None:
    ids = [tokenizer.encode(text) for text in TEXTS * 50]
    with ThreadPoolExecutor(2) as threads:
        texts = list(threads.map(tokenizer.decode, ids))
        streams = list(threads.map(lambda one: streamed(tokenizer, one), ids))
    assert texts == list(TEXTS * 50)
    assert streams == texts


# --- one token ----------------------------------------------------------------------
PIECES = {
    "byte-level": {
        "Ġthe": "␣the", "Ċ": "⏎", "ĉ": "⇥", "ðŁ": "<0xF0><0x9F>", "č": "<0x0D>",
        "<|im_end|>": "<|im_end|>",
    },
    "sentencepiece": {
        "▁the": "␣the", "▁▁": "␣␣", "the": "the", "<0x0A>": "⏎", "<0xF0>": "<0xF0>",
        "<0x41>": "A", "</s>": "</s>",
    },
}  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
def test_a_piece_shows_what_a_token_holds(tmp_path: Path, style: str) -> None:
    tokenizer, expected = opened(tmp_path, style), PIECES[style]
    pieces = map(tokenizer.piece, ids_of(tokenizer, *expected))
    assert dict(zip(expected, pieces, strict=True)) == expected


def test_piece_names_characters_without_a_shape_and_ids_without_text(
    tmp_path: Path,
) -> None:
    library = tiny_tokenizer.byte_level()
    library.add_tokens(["\u200b"])
    content = json.loads(library.to_str())
    skipped = content["model"]["vocab"]["ä½"]
    content["model"]["vocab"]["ä½"] = 300
    folder = tiny_tokenizer.write_folder(tmp_path, library)
    (folder / "tokenizer.json").write_text(json.dumps(content))
    tokenizer = open_tokenizer(folder)
    assert tokenizer.vocab == 301
    assert tokenizer.piece(*tokenizer.encode("\u200b").tolist()) == "<U+200B>"
    assert tokenizer.piece(skipped) == f"<no text {skipped}>"
    assert tokenizer.decode([65, skipped]) == tokenizer.decode([65])
    assert streamed(tokenizer, [65, skipped]) == tokenizer.decode([65])


def test_no_piece_is_empty_or_holds_an_unprintable_character(
    tokenizer: Tokenizer,
) -> None:
    pieces = [tokenizer.piece(token) for token in range(tokenizer.vocab)]
    assert all(piece and piece.isprintable() and " " not in piece for piece in pieces)


@pytest.mark.parametrize("text", TEXTS)
def test_bytes_of_the_tokens_are_the_utf8_of_the_text(
    tokenizer: Tokenizer, text: str
) -> None:
    spelled = b"".join(map(tokenizer.token_bytes, tokenizer.encode(text).tolist()))
    # Sentencepiece puts a space before the first word.
    assert spelled in (text.encode(), b" " + text.encode())


# --- text as it is made -------------------------------------------------------------
@pytest.mark.parametrize("text", TEXTS)
def test_a_stream_gives_the_text_that_decode_gives(
    tokenizer: Tokenizer, text: str
) -> None:
    ids = list(tokenizer.encode(text))
    for end in range(len(ids) + 1):
        assert streamed(tokenizer, ids[:end]) == tokenizer.decode(ids[:end])


def test_a_stream_of_random_tokens_gives_the_text_that_decode_gives(
    tokenizer: Tokenizer,
) -> None:
    chance = np.random.default_rng(2)
    invalid = 0
    for _ in range(2000):
        ids = chance.integers(tokenizer.vocab, size=chance.integers(8)).tolist()
        text = tokenizer.decode(ids)
        assert streamed(tokenizer, ids) == text
        invalid += "\ufffd" in text
    assert invalid > 500, "most of these sequences are no UTF-8"


def test_a_stream_holds_a_run_of_byte_tokens_that_may_still_become_invalid(
    tmp_path: Path,
) -> None:
    tokenizer = opened(tmp_path, "sentencepiece")
    good, bad = TextStream(tokenizer), TextStream(tokenizer)
    run = ids_of(tokenizer, "a", "<0xE4>", "<0xBD>", "<0xA0>")
    for token in run:
        good.feed(token)
        bad.feed(token)
    assert good.pending == "你".encode()
    assert good.feed(*ids_of(tokenizer, "b")) == "你b"
    assert bad.feed(*ids_of(tokenizer, "<0xFF>")) == ""
    assert bad.feed(*ids_of(tokenizer, "b")) == "\ufffd\ufffd\ufffd\ufffdb"
    assert good.pending == bad.pending == b""


def test_pending_shows_unfinished_bytes_until_flush(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer)
    for token in tokenizer.encode("a🙂")[:-2]:
        stream.feed(int(token))
    assert stream.pending == "🙂".encode()[:2]
    assert stream.flush() == tokenizer.decode(tokenizer.encode("a🙂")[:-2])[1:]
    assert stream.pending == b""


# --- stop texts ---------------------------------------------------------------------
def test_a_stream_holds_back_what_may_become_a_stop_text(tmp_path: Path) -> None:
    tokenizer = opened(tmp_path, "byte-level")
    stream = TextStream(tokenizer, stop_texts=("END",))
    fed = [stream.feed(token) for token in ids_of(tokenizer, *"aENaEN")]
    assert fed == ["a", "", "", "ENa", "", ""]
    assert stream.pending == b"EN"
    assert stream.feed(*ids_of(tokenizer, "D")) == ""
    assert stream.stopped
    assert stream.feed(*ids_of(tokenizer, "a")) == stream.flush() == ""
    assert stream.pending == b""


def test_a_stream_that_ends_without_its_stop_text_gives_all(
    tokenizer: Tokenizer,
) -> None:
    ids = list(tokenizer.encode("the E"))
    stream = TextStream(tokenizer, stop_texts=("END",))
    assert "".join(map(stream.feed, ids)) == "the "
    assert stream.pending == b"E"
    assert stream.flush() == "E"
    assert stream.pending == b""
    assert not stream.stopped


@pytest.mark.parametrize(
    ("text", "stop_texts", "shown"),
    [
        ("the a the", (" the",), "the a"),  # not the first word, which has no space
        ("a\n\nthe", ("\n\n",), "a"),
        ("a 🙂 b", ("🙂",), "a "),
        ("abel", ("elx", "be"), "a"),
        ("the the", ("xyz", "he t"), "t"),
        ("hello", ("ell", "el"), "h"),
        ("bell.", ("bell", "el"), "b"),  # "el" is complete before "bell" is
        ("a the", ("the", "h"), "a t"),  # also where both are in one token
    ],
)
def test_a_stop_text_and_what_follows_is_never_shown(
    tokenizer: Tokenizer, text: str, stop_texts: tuple[str, ...], shown: str
) -> None:
    assert streamed(tokenizer, list(tokenizer.encode(text)), stop_texts) == shown


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("stop_text", ["the", " ", "\n\n", "🙂", "界", " two", "es b"])
def test_a_stop_rule_stops_with_the_token_that_completes_the_stop_text(
    tokenizer: Tokenizer, text: str, stop_text: str
) -> None:
    ids = tokenizer.encode(text)
    rule = StopText(tokenizer, (stop_text,))
    counts = range(1, len(ids) + 1)
    complete = [tokenizer.decode(ids[:n]).count(stop_text) for n in counts]
    completed = [now > was for was, now in zip([0, *complete], complete, strict=False)]
    assert [rule(ids[:n]) for n in counts] == completed


def test_a_stop_rule_is_not_repeated_by_tokens_after_it(tmp_path: Path) -> None:
    tokenizer = opened(tmp_path, "byte-level")
    rule = StopText(tokenizer, ("END",))
    ids = np.array(ids_of(tokenizer, *"END", "<|im_end|>", "a"))
    assert [n for n in range(6) if rule(ids[:n])] == [3]


def test_a_stop_rule_looks_at_a_tail_however_long_the_text_is(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = StopText(tokenizer, ("🙂", "a"))
    ids = np.concatenate([tokenizer.encode("the b " * 500), tokenizer.encode("🙂")])
    looked_at: list[int] = []
    written = Tokenizer.written

    def counted(self: Tokenizer, token: int) -> str:
        looked_at.append(token)
        return written(self, token)

    monkeypatch.setattr(Tokenizer, "written", counted)
    assert rule(ids)
    assert len(looked_at) <= len("🙂".encode()) + 1


# --- bad input ----------------------------------------------------------------------
@pytest.mark.parametrize("stop_texts", ["END", ("",), (3,), ("\ud83d",)])
def test_stop_texts_must_be_a_sequence_of_texts(
    tokenizer: Tokenizer,
    stop_texts: tuple[str, ...],
) -> None:
    with pytest.raises(InputError, match="stop text"):
        TextStream(tokenizer, stop_texts=stop_texts)
    with pytest.raises(InputError, match="stop text"):
        StopText(tokenizer, stop_texts)


@pytest.mark.parametrize("text", [None, 7, b"bytes", ["a"], "half \ud83d"])
def test_encode_refuses_what_is_no_text(tokenizer: Tokenizer, text: str) -> None:
    with pytest.raises(InputError, match="text"):
        tokenizer.encode(text)


@pytest.mark.parametrize("token", [-1, 100_000, 1 << 40])
def test_an_id_out_of_range_is_named(tokenizer: Tokenizer, token: int) -> None:
    expected = f"token id {token} .* 0 to {tokenizer.vocab - 1}"
    for use in (
        lambda: tokenizer.decode([0, token]),
        lambda: tokenizer.piece(token),
        lambda: tokenizer.token_bytes(token),
        lambda: TextStream(tokenizer).feed(token),
    ):
        with pytest.raises(InputError, match=expected):
            use()


def test_a_missing_tokenizer_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no tokenizer\.json in .*; fetch the model"):
        open_tokenizer(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]", b"\xff\xfe", b'{"a": 1}'])
def test_a_broken_tokenizer_names_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(InputError, match=r"tokenizer\.json is not a tokenizer .*fetch"):
        open_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        # here the library's own code panics, which is no Exception
        ({"continuing_subword_prefix": "#####"}, "out of range"),
        ({"merges": [], "vocab": {"a": 2**32 - 1}}, "token id 4,294,967,295"),
    ],
)
def test_a_tokenizer_that_breaks_the_library_or_has_no_end_is_refused(
    tmp_path: Path, changed: dict[str, object], reason: str
) -> None:
    folder = tiny_tokenizer.write_folder(tmp_path, tiny_tokenizer.byte_level())
    content = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    content["model"] |= changed
    (folder / "tokenizer.json").write_text(json.dumps(content | {"added_tokens": []}))
    with pytest.raises(InputError, match=rf"is not a tokenizer .*{reason}"):
        open_tokenizer(folder)


@pytest.mark.parametrize("decoder", [None, decoders.WordPiece(), decoders.CTC()])
def test_a_style_that_cannot_be_streamed_is_refused(
    tmp_path: Path, decoder: decoders.Decoder | None
) -> None:
    library = tiny_tokenizer.byte_level()
    library.decoder = decoder
    folder = tiny_tokenizer.write_folder(tmp_path, library)
    with pytest.raises(InputError, match=r"decoder .*wanted ByteLevel or"):
        open_tokenizer(folder)


def test_a_chat_without_a_template_says_what_to_do_instead(
    tokenizer: Tokenizer,
) -> None:
    with pytest.raises(InputError, match=r"no chat template.*--raw"):
        tokenizer.chat([{"role": "user", "content": "the"}])


def test_a_chat_goes_through_the_template_of_the_folder(tmp_path: Path) -> None:
    tokenizer = opened(tmp_path, "byte-level", chat_template=tiny_tokenizer.CHATML)
    messages = [{"role": "user", "content": "the a"}]
    assert tokenizer.chat(messages, add_generation_prompt=False) == (
        "<|im_start|>user\nthe a<|im_end|>\n"
    )
    assert tokenizer.chat(messages).endswith("<|im_end|>\n<|im_start|>assistant\n")


# --- the default model --------------------------------------------------------------
REAL_TEXTS = (
    "Give me a short yoga routine for lower back pain.",
    "def f(x):\n    return {'a': x ** 2}  # comment\n\n\n\tend",
    "In 2024, 1,234.56 € — “quoted”… naïve café, Straße, e\u0301",
    "🙂🙃👨‍👩‍👧🧑🏽‍🚀🇩🇪 and then text",
    "你好世界。今天天气怎么样? 日本語のテキスト 한국어",
    "Привет, мир! مرحبا بالعالم हिन्दी ไทย 𓀀𒀀𐍈",
    "   leading, trailing   ",
    "\x00\x07\u200b\ufeff\r\n",
    "<|im_start|>user\nHello<|im_end|>\n",
)


@pytest.fixture(scope="module")
def smollm2() -> Tokenizer:
    return open_tokenizer(catalogue.find("smollm2-135m-instruct-int4"))


@pytest.mark.model
def test_the_chat_template_of_smollm2_gives_chatml(smollm2: Tokenizer) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello <&> 🙂"},
    ]
    text = smollm2.chat(messages)
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nHello <&> 🙂<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    ids = smollm2.encode(text).tolist()
    assert [ids.count(1), ids.count(2)] == [3, 2], "<|im_start|> and <|im_end|>"
    assert list(map(smollm2.piece, ids[-4:])) == ["<|im_start|>", "ass", "istant", "⏎"]


@pytest.mark.model
@pytest.mark.parametrize("text", REAL_TEXTS)
def test_smollm2_gives_back_every_text_whole_and_streamed(
    smollm2: Tokenizer, text: str
) -> None:
    ids = smollm2.encode(text).tolist()
    assert smollm2.decode(ids, show_special=True) == text
    for end in range(len(ids) + 1):
        assert streamed(smollm2, ids[:end]) == smollm2.decode(ids[:end])


@pytest.mark.model
def test_smollm2_has_a_readable_piece_for_every_token(smollm2: Tokenizer) -> None:
    assert smollm2.vocab == 49_152
    assert smollm2.piece(2) == "<|im_end|>"
    assert smollm2.piece(198) == "⏎"
    pieces = [smollm2.piece(token) for token in range(smollm2.vocab)]
    assert all(piece and piece.isprintable() and " " not in piece for piece in pieces)
