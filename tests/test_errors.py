from __future__ import annotations

from importlib import import_module

import pytest

from llm_walkthrough.errors import InputError, StaleCacheError


def test_bad_input_is_a_value_error_and_a_stale_cache_is_not() -> None:
    assert issubclass(InputError, ValueError)
    assert not issubclass(StaleCacheError, ValueError)


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
