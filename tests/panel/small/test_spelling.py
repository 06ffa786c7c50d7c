from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import pytest
from tiny_tokenizer import sentencepiece, write_folder
from walking import tokenizer

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.small.spelling import Spelled, Spelling
from llm_walkthrough.tokenizer import Tokenizer, open_tokenizer

TEXTS = ("a the 🙏!", "腰 e\u0301 कमर", "🙏🙏", "<|im_start|>a", "\u200fא<script>")


@cache
def mistral_style() -> Tokenizer:
    with tempfile.TemporaryDirectory() as folder:
        return open_tokenizer(write_folder(Path(folder), sentencepiece()))


def to_the_end(one: Spelling) -> Spelled:
    one.act("run")
    while one.now.running:
        one.act("tick")
    return one.snapshot()


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("style", [tokenizer, mistral_style])
def test_the_stream_ends_with_the_whole_text(style: object, text: str) -> None:
    assert callable(style)
    one: Tokenizer = style()
    shot = to_the_end(Spelling(one, text))
    assert shot.certain == one.decode(one.encode(text))
    assert shot.held == ()


def test_what_was_shown_never_changes() -> None:
    one = Spelling(tokenizer(), "a 🙏 腰")
    shown = ""
    for _ in one.tokens:
        one.act("step")
        certain = one.snapshot().certain
        assert certain.startswith(shown)
        assert "\ufffd" not in certain
        shown = certain


def test_bytes_wait_until_they_are_a_character() -> None:
    one = Spelling(tokenizer(), "🙏")
    held = []
    for _ in one.tokens:
        one.act("step")
        shot = one.snapshot()
        held.append((len(shot.held), shot.done[-1].pending, shot.certain))
    assert held == [
        (1, b"\xf0\x9f", ""),
        (2, b"\xf0\x9f\x99", ""),
        (0, b"", "🙏"),
    ]


def test_decoded_alone_each_part_of_a_character_is_a_replacement_sign() -> None:
    shot = to_the_end(Spelling(tokenizer(), "a🙏"))
    assert shot.alone == "a\ufffd\ufffd\ufffd"


def test_tokens_that_lose_their_space_alone_keep_it_in_the_stream() -> None:
    shot = to_the_end(Spelling(mistral_style(), "the the"))
    assert shot.alone == "thethe"
    assert shot.certain == "the the"


def test_a_stream_that_still_waits_at_the_end_gives_what_it_held() -> None:
    one = Spelling(mistral_style(), "🙏")
    for _ in one.tokens:
        one.act("step")
    assert one.snapshot().certain == ""
    one.act("step")
    assert one.snapshot().certain == "🙏"
    assert one.snapshot().done[-1].token is None


def test_the_tokens_that_were_fed_are_those_of_the_text() -> None:
    shot = to_the_end(Spelling(tokenizer(), "a the"))
    assert [one.token for one in shot.done] == tokenizer().encode("a the").tolist()
    spelled = b"".join(one.spelled for one in shot.done)
    assert spelled == b"a the"


def test_back_takes_one_token_back_and_ends_a_run() -> None:
    one = Spelling(tokenizer(), "a the")
    one.act("run")
    one.act("tick")
    one.act("tick")
    one.act("back")
    assert (one.now.num_fed, one.now.running) == (1, False)


def test_back_to_goes_to_a_token_at_once() -> None:
    one = Spelling(tokenizer(), "a the the")
    to_the_end(one)
    one.act("back_to", 1)
    assert one.now.num_fed == 1


@pytest.mark.parametrize(("action", "value"), [("back", None), ("back_to", 5)])
def test_there_is_no_way_back_to_where_it_has_not_been(
    action: str, value: int | None
) -> None:
    one = Spelling(tokenizer(), "a the")
    one.act(action, value)
    assert one.now.num_fed == 0
    assert one.now.notice.text.startswith("0 steps were made")


def test_a_step_behind_the_last_token_is_refused() -> None:
    one = Spelling(tokenizer(), "a")
    one.do("step")
    with pytest.raises(InputError, match="all tokens were fed; press Back or Reset"):
        one.do("step")


@pytest.mark.parametrize("text", ["", "\ud800"])
def test_a_text_without_tokens_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"has no tokens|half a character"):
        Spelling(tokenizer(), text)
