"""A command line ends with the right status, and with one sentence if it is wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from tiny_folder import CONTEXT, write_tiny_folder

from llm_walkthrough import answer
from llm_walkthrough.answer import Settings
from llm_walkthrough.command_line import cli
from llm_walkthrough.sampling import Sampling

FULL = Path("/dev/full")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_folder(tmp_path_factory.mktemp("tiny")))


def refusals(tiny: str) -> dict[str, tuple[list[str], str]]:
    """What is wrong, the words that are written, and what is said."""
    hello = ["ask", "Hello", "--model", tiny]
    return {
        "empty": (["ask", "", "--model", tiny], "the prompt is empty"),
        "spaces": (["ask", " \n", "--model", tiny], "the prompt is empty"),
        "too long": (
            ["ask", "a" * CONTEXT, "--model", tiny],
            f"context holds {CONTEXT}",
        ),
        "no model": (["ask", "Hello", "--model", "nix"], "no model nix"),
        "temperature": ([*hello, "--temperature", "-1"], "temperature must be"),
        "not a number": ([*hello, "--temperature", "nan"], "temperature must be"),
        "top-k": ([*hello, "--top-k", "-1"], "top-k must be"),
        "top-p": ([*hello, "--top-p", "0"], "top-p must be"),
        "min-p": ([*hello, "--min-p", "2"], "min-p must be"),
        "penalty": ([*hello, "--repetition-penalty", "0"], "penalty must be"),
        "seed": ([*hello, "--seed", "-1"], "seed must be"),
        "limit": ([*hello, "--max-new-tokens", "0"], "at least 1, got 0"),
        "threads": ([*hello, "--threads", "0"], "threads must be at least 1"),
        "stop": ([*hello, "--stop", ""], "stop text must not be empty"),
        "no pattern": ([*hello, "--regex", "["], "unclosed character class"),
        "two grammars": (
            [*hello, "--regex", "a", "--lark", "x"],
            "got --regex and --lark",
        ),
        "no schema": (
            [*hello, "--json-schema", "nowhere.json"],
            "nowhere.json cannot be read",
        ),
        "not JSON": ([*hello, "--json-schema", __file__], "is not JSON"),
        "not Lark": ([*hello, "--lark", __file__], "a rule named start"),
        "stop text": (
            [*hello, "--regex", "a+", "--stop", "b"],
            "the stop text 'b' would cut off",
        ),
        "too few": (
            [*hello, "--regex", "a{9}", "--max-new-tokens", "8"],
            "the shortest text that was found takes 9",
        ),
        "system": ([*hello, "--raw", "--system", "x"], "no place for --system"),
        "where": (["models", "where", "nix"], "no model nix"),
        "fetch": (["models", "fetch", "nix"], "nix"),
    }


@pytest.mark.parametrize("wrong", refusals(""))
def test_whatever_cannot_be_used_is_one_sentence_and_status_2(
    capsys: pytest.CaptureFixture[str], tiny: str, wrong: str
) -> None:
    words, said = refusals(tiny)[wrong]
    assert cli.main(words) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("llm-walkthrough: ")
    assert written.err.count("\n") == 1
    assert said in written.err


def test_bad_options_are_found_before_the_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answer, "load", None)
    assert cli.main(["ask", "Hello", "--top-p", "0"]) == 2


def test_unknown_option_is_refused_for_every_command_but_lab(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["ask", "Hello", "--topk", "3"])
    assert stopped.value.code == 2
    assert "not known here: --topk" in capsys.readouterr().err


def test_ctrl_c_while_loading_ends_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tiny: str
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(answer, "load", interrupted)
    assert cli.main(["ask", "Hello", "--model", tiny]) == 130
    assert capsys.readouterr() == ("", "")


def test_unexpected_error_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, tiny: str
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(answer, "load", broken)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        cli.main(["ask", "Hello", "--model", tiny])


def test_reader_that_goes_away_ends_the_answer_quietly(tiny: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "llm_walkthrough.command_line.cli"]
    command += ["ask", "Hello", "--model", tiny]
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.skipif(not FULL.exists(), reason="Linux has /dev/full")
def test_full_disk_is_one_sentence(tiny: str) -> None:
    command = [sys.executable, "-m", "llm_walkthrough.command_line.cli"]
    command += ["ask", "Hello", "--model", tiny]
    with FULL.open("w") as full:
        ended = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert ended.returncode == 2
    assert ended.stderr.decode().count("\n") == 1
    assert b"standard output cannot be written (No space left" in ended.stderr


def test_help_names_the_defaults_that_are_in_force(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["ask", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    named = {
        option.replace("-", "_"): default
        for option, default in re.findall(
            r"--([a-z-]+) [XN] .*?default: ([\d.]+)", text
        )
    }
    settings = (*fields(Sampling), *fields(Settings))
    in_force = {one.name: str(one.default) for one in settings if one.name in named}
    assert named == in_force
    assert len(named) == 7


def test_nothing_heavy_is_imported_before_a_command_needs_it() -> None:
    code = "import sys, llm_walkthrough.command_line.cli; print(*sys.modules)"
    imported = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"numpy", "onnx", "onnxruntime", "tokenizers", "rich", "jupyterlab"}
    assert not heavy & set(imported.stdout.split())
