from __future__ import annotations

from importlib import import_module

import pytest

from llm_walkthrough.errors import InputError, StaleCacheError, harmless


def test_bad_input_is_a_value_error_and_a_stale_cache_is_not() -> None:
    assert issubclass(InputError, ValueError)
    assert not issubclass(StaleCacheError, ValueError)


def test_no_sign_in_a_sentence_gives_an_order() -> None:
    orders = "\x1b]0;title\a\x9b31m\r\u202e\u2066"
    shown = "<0x1B>]0;title<0x07><U+009B>31m<0x0D><U+202E><U+2066>"
    assert str(InputError(f"the name {orders} is new")) == f"the name {shown} is new"
    assert str(InputError("the folder a\nb is new")) == "the folder a b is new"
    assert harmless("Größe\t🙂‍↔️\n日本語\u200d\xa0") == "Größe\t🙂‍↔️\n日本語\u200d\xa0"


def test_a_notebook_shows_the_sentence_and_no_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shell = import_module("IPython.core.interactiveshell").InteractiveShell()
    shell.colors = "nocolor"
    cell = (
        "from llm_walkthrough.errors import InputError\n"
        "raise InputError('k is 0; use 1')"
    )
    shell.run_cell(cell, store_history=False)
    assert capsys.readouterr().out.strip() == "InputError: k is 0; use 1"
