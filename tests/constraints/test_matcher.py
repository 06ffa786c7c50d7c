"""A state in a grammar knows what may come next, and never changes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tiny_tokenizer import byte_level, sentencepiece, write_folder
from tiny_vocabulary import after, along

from llm_walkthrough.constraints.matcher import GrammarState, GrammarVocabulary
from llm_walkthrough.errors import InputError
from llm_walkthrough.grammar import json_schema, lark_grammar, regular_expression
from llm_walkthrough.tokenizer import Tokenizer, open_tokenizer

SPARE = 7
"""Logits that belong to no token, as graphs have them."""


@pytest.fixture(params=[byte_level, sentencepiece])
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> Tokenizer:
    return open_tokenizer(write_folder(tmp_path, request.param()))


@pytest.fixture
def vocabulary(tokenizer: Tokenizer) -> GrammarVocabulary:
    end = max(tokenizer.special_tokens)
    return GrammarVocabulary(tokenizer, tokenizer.vocab + SPARE, (end,))


def pieces(state: GrammarState) -> set[bytes]:
    """The texts of the tokens that may come next, b"" for an end token."""
    vocabulary = state.vocabulary
    tokens = state.allowed.nonzero()[0].tolist()
    ends = vocabulary.end_tokens
    return {b"" if t in ends else vocabulary.spelled[t] for t in tokens}


def test_exactly_the_tokens_of_the_pattern_may_come(
    vocabulary: GrammarVocabulary,
) -> None:
    state = vocabulary.start(regular_expression("(a|the)+"))
    assert pieces(state) == {b"a", b"t", b"th", b"the"}
    assert pieces(along(state, b"t")) == {b"h"}
    assert len(state.allowed) == vocabulary.vocab


def test_the_end_may_come_only_where_the_text_is_complete(
    vocabulary: GrammarVocabulary,
) -> None:
    [end] = vocabulary.end_tokens
    state = vocabulary.start(regular_expression("(ab)+"))
    assert b"" not in pieces(state)
    assert state.after(end) is None
    complete = along(state, b"ab")
    assert complete.is_complete
    assert pieces(complete) == {b"a", b""}
    ended = after(complete, end)
    assert pieces(ended) == {b""}
    assert ended.after(vocabulary.spelled.index(b"a")) is None


def test_a_state_that_was_left_is_as_it_was(vocabulary: GrammarVocabulary) -> None:
    state = vocabulary.start(regular_expression("a[bc]d?"))
    before = pieces(state)
    one, other = along(state, b"ab"), along(state, b"ac")
    along(one, b"d")
    assert pieces(state) == before
    assert pieces(one) == pieces(other) == {b"d", b""}


def test_what_must_come_is_spelled_as_the_tokenizer_spells_it(
    vocabulary: GrammarVocabulary,
) -> None:
    state = vocabulary.start(regular_expression("b(the){2}b[ab]"))
    following, spelled = along(state, b"b"), []
    while following.forced:
        token = following.forced[0]
        assert following.allowed.nonzero()[0].tolist() == [token]
        spelled.append(vocabulary.spelled[token])
        following = after(following, token)
    assert spelled == [b"the", b"the", b"b"]
    assert pieces(following) == {b"a", b"b"}


def test_a_text_that_can_only_end_must_end(vocabulary: GrammarVocabulary) -> None:
    complete = along(vocabulary.start(regular_expression("ab")), b"ab")
    assert complete.forced == vocabulary.end_tokens


def test_leaving_the_forced_spelling_leads_on_by_what_is_left(
    vocabulary: GrammarVocabulary,
) -> None:
    state = vocabulary.start(regular_expression("the[ab]"))
    assert [vocabulary.spelled[token] for token in state.forced] == [b"the"]
    assert pieces(along(state, b"th")) == {b"e"}


def test_special_tokens_are_no_part_of_any_text(vocabulary: GrammarVocabulary) -> None:
    state = vocabulary.start(regular_expression("(?s:.+)"))
    allowed = set(state.allowed.nonzero()[0].tolist())
    assert not allowed & vocabulary.tokenizer.special_tokens
    assert max(allowed) < vocabulary.tokenizer.vocab


@pytest.mark.parametrize("pattern", ["{}", "a{}b", "a{}(b|{})"])
def test_a_text_may_hold_what_is_written_like_a_special_token(
    vocabulary: GrammarVocabulary, pattern: str
) -> None:
    written = vocabulary.tokenizer.written(vocabulary.end_tokens[0])
    pattern = pattern.replace("{}", re.escape(written))
    state, said = vocabulary.start(regular_expression(pattern)), b""
    while not state.is_complete:
        token = int(state.allowed.argmax())
        assert token not in vocabulary.tokenizer.special_tokens
        said += vocabulary.spelled[token]
        state = after(state, token)
    assert written in said.decode()


def test_a_character_in_several_tokens_is_finished_before_anything_else(
    vocabulary: GrammarVocabulary,
) -> None:
    begun = along(vocabulary.start(regular_expression(".+")), "é".encode()[:1])
    assert not begun.is_complete
    bytes_alone = {piece for piece in pieces(begun) if len(piece) == 1}
    assert bytes_alone == {bytes([byte]) for byte in range(0x80, 0xC0)}


def test_a_grammar_that_nothing_satisfies_or_that_never_ends_is_refused(
    vocabulary: GrammarVocabulary,
) -> None:
    with pytest.raises(InputError, match=r"\(no text satisfies it\); mend the expr"):
        vocabulary.start(regular_expression("[^\\s\\S]"))
    with pytest.raises(InputError, match="never ends"):
        vocabulary.start(lark_grammar('start: "a" start'))


def test_a_tokenizer_of_a_larger_model_and_strange_end_tokens_are_refused(
    tokenizer: Tokenizer,
) -> None:
    with pytest.raises(InputError, match="of one model"):
        GrammarVocabulary(tokenizer, 9, (0,))
    for ends in ((), (100_000,)):
        with pytest.raises(InputError, match="a grammar needs end tokens"):
            GrammarVocabulary(tokenizer, tokenizer.vocab, ends)


def test_json_is_written_on_one_line_as_python_does(
    vocabulary: GrammarVocabulary,
) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"const": 1}, "b": {"const": [2, 3]}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }
    state = vocabulary.start(json_schema(schema))
    assert along(state, b'{"a": 1, "b": [2, 3]}').is_complete
    assert state.after(vocabulary.spelled.index(b"\n")) is None


@pytest.mark.parametrize(
    "rest", ["/a+/ rest", "/(ab)*/ rest", '"b" more\nmore: /a*/ more']
)
def test_a_rule_that_never_ends_is_refused_before_it_is_followed(
    vocabulary: GrammarVocabulary, rest: str
) -> None:
    grammar = lark_grammar(f'start: "a" rest | "b"\nrest: {rest}')
    state = along(vocabulary.start(grammar), b"a")
    with pytest.raises(InputError, match="mend the rule that never ends"):
        _ = state.allowed
