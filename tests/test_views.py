"""Tests of the tables that notebooks show."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from llm_walkthrough.exports.limits import Limits
from llm_walkthrough.graph import Graph
from llm_walkthrough.machine.judgements import Row, Severity
from llm_walkthrough.model_files.ports import Port
from llm_walkthrough.views import (
    Chips,
    Code,
    Passage,
    Table,
    arrays_table,
    byte_count,
    candidates_table,
    columns_table,
    ports_table,
    rows_table,
    token_chips,
    tokens_table,
)


class Letters:
    """A tokenizer of letters: token 0 is "a"."""

    def piece(self, token: int) -> str:
        return chr(ord("a") + token)


@pytest.fixture
def logits() -> np.ndarray:
    return np.array([1.0, 3.0, -np.inf, 2.0], np.float32)


# --- tables -------------------------------------------------------------------------


def test_numbers_stand_on_the_right_and_words_on_the_left() -> None:
    table = Table(("name", "bytes"), [("key", 8), ("attention", 1200)])
    assert repr(table).splitlines() == [
        "name       bytes",
        "─────────  ─────",
        "key            8",
        "attention   1200",
    ]


def shown(table: Table) -> list[str]:
    """The rows of a table as text."""
    return repr(table).splitlines()[2:]


def test_values_are_written_for_people_and_stand_straight() -> None:
    table = Table(("x",), [(True,), (False,), (None,), (0.123456,), (np.float32(2),)])
    assert " ".join(map(str.strip, shown(table))) == "yes no — 0.1235 2"
    sizes = Table(("size",), [("8 B",), ("1,200 B",), (None,)])
    assert shown(sizes) == ["    8 B", "1,200 B", "      —"]
    # a name of digits is no number
    assert shown(Table(("token",), [(Code("1"),), (Code("365"),)])) == ["1", "365"]
    wide = Table(("token", "id"), [(Code("你好"), 1), (Code("ab"), 2)])
    assert shown(wide) == ["你好    1", "ab      2"]


def test_a_table_is_its_caption_its_headings_and_its_rows_if_it_has_any() -> None:
    table = Table(("x",), [(1,)], caption="What & why")
    assert repr(table).startswith("What & why\nx")
    assert table._repr_html_().index("What &amp; why") < table._repr_html_().index("<t")
    table = Table(("name", "bytes"), [])
    assert repr(table) == "name  bytes\n────  ─────"
    assert table._repr_html_().count("<tr>") == 1
    with pytest.raises(ValueError, match="argument 2 is longer"):
        repr(Table(("one",), [(1, 2)]))


def test_a_table_can_be_made_of_columns() -> None:
    columns = {"word": ["back", "mat"], "share": ["60 %", "40 %"]}
    rows = [("back", "60 %"), ("mat", "40 %")]
    assert columns_table(columns, "all") == Table(("word", "share"), rows, "all")
    with pytest.raises(ValueError, match="shorter"):
        columns_table({"word": ["back"], "share": []})


def test_no_text_can_bring_its_own_markup() -> None:
    evil = "<script>alert('x')</script>"
    views: list[Table | Chips | Passage] = [
        Table(("x",), [(evil,)]),
        Table((evil,), [("x",)]),
        Table(("x",), [("x",)], caption=evil),
        Chips([evil]),
        Passage(evil),
    ]
    for page in (view._repr_html_() for view in views):
        assert "<script" not in page
        assert "&lt;script&gt;" in page


def test_the_html_survives_a_page_that_is_not_trusted(logits: np.ndarray) -> None:
    page = candidates_table(Letters(), logits)._repr_html_()
    assert set(re.findall(r"<(\w+)", page)) <= {"div", "b", "table", "tr", "th", "td"}
    assert set(re.findall(r" ([\w-]+)=", page)) == {"style"}
    assert "background" not in page
    assert "var(" not in page


# --- what the tables show ----------------------------------------------------------


def test_ports_that_differ_in_the_layer_share_a_row() -> None:
    shape = (1, 3, "past", 64)
    past = []
    for i in range(2):
        past.append(Port(f"past.{i}.key", "float16", shape, "past key", i))
        past.append(Port(f"past.{i}.value", "float16", shape, "past value", i))
    ids = Port("input_ids", "int64", (1, "sequence"), "token ids")
    out = Port("logits", "float32", (1, "sequence", 9), "logits")
    rest = (3, 64, 9, Limits(32), ())  # what the table does not show
    graph = Graph(Path("m"), (ids, *past), (out,), *rest, can_share_buffers=False)
    assert ports_table(graph).rows == [
        ("in", "input_ids", "int64", "[1, sequence]", "token ids", 1),
        ("in", "past.{layer}.key", "float16", "[1, 3, past, 64]", "past key", 2),
        ("in", "past.{layer}.value", "float16", "[1, 3, past, 64]", "past value", 2),
        ("out", "logits", "float32", "[1, sequence, 9]", "logits", 1),
    ]


def test_arrays_of_equal_shape_share_a_row_with_the_bytes_of_all() -> None:
    arrays = {f"past.{i}.key": np.zeros((1, 3, 5, 64), np.float32) for i in range(4)}
    arrays["past.4.key"] = np.zeros((1, 3, 6, 64), np.float32)
    rows = arrays_table(arrays).rows
    assert rows[0][2:] == ("[1, 3, 5, 64]", 4, f"{4 * 3 * 5 * 64 * 4:,}")
    assert rows[1][2:] == ("[1, 3, 6, 64]", 1, f"{3 * 6 * 64 * 4:,}")


def test_a_row_about_the_machine_says_in_words_whether_it_will_do() -> None:
    row = Row("Python", "3.9", "3.11", Severity.PROBLEM, "Update.")
    assert rows_table([row]).rows == [("✗ problem", "Python", "3.9", "3.11", "Update.")]


def test_tokens_are_shown_by_position_id_and_piece_or_in_a_row() -> None:
    tokens = np.array([2, 0])
    assert tokens_table(Letters(), tokens).rows == [(0, 2, "c"), (1, 0, "a")]
    assert repr(token_chips(Letters(), tokens, "Prompt")) == "Prompt\nc a"


def test_a_passage_keeps_its_line_breaks() -> None:
    passage = Passage("1. **Rest**\n\n2.", caption="greedy")
    assert "1. **Rest**<br><br>2." in passage._repr_html_()
    assert "greedy" in passage._repr_html_()
    assert repr(passage) == "greedy\n1. **Rest**\n\n2."


def test_candidates_are_ranked_and_removed_tokens_left_out(logits: np.ndarray) -> None:
    weights = np.exp([3.0, 2.0, 1.0])
    shares = [f"{100 * w / weights.sum():.1f} %" for w in weights]
    assert candidates_table(Letters(), logits).rows == [
        (1, 1, "b", "3.0", shares[0]),
        (2, 3, "d", "2.0", shares[1]),
        (3, 0, "a", "1.0", shares[2]),
    ]
    assert len(candidates_table(Letters(), logits, count=2).rows) == 2


def test_bytes_are_told_in_the_unit_that_suits_them() -> None:
    told = [byte_count(count) for count in (0, 999, 1000, 2_400_000)]
    assert told == ["0 B", "999 B", "1.00 kB", "2.40 MB"]
