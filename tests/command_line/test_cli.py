"""A command line ends with the right status, and with one sentence if it is wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import IO

import pytest
from tiny_folder import CONTEXT, write_tiny_folder
from tiny_gguf import write_tiny_gguf

import run
from llm_walkthrough import answer
from llm_walkthrough.answer import Settings
from llm_walkthrough.command_line import cli, commands
from llm_walkthrough.sampling import KNOBS, Sampling

FULL = Path("/dev/full")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_folder(tmp_path_factory.mktemp("tiny")))


HELLO = ["Hello"]
REFUSED: list[tuple[list[str], str]] = [
    *(([*HELLO, f"--{one.label}", "-1"], f"{one.label} must be") for one in KNOBS),
    ([""], "the prompt is empty"),
    ([" \n"], "the prompt is empty"),
    (["a" * CONTEXT], f"context holds {CONTEXT}"),
    ([*HELLO, "--temperature", "nan"], "temperature must be"),
    ([*HELLO, "--seed", "-1"], "seed must be"),
    ([*HELLO, "--max-new-tokens", "0"], "at least 1, got 0"),
    ([*HELLO, "--threads", "0"], "threads must be at least 1"),
    ([*HELLO, "--provider", "abacus"], "no provider 'abacus' here; choose from "),
    ([*HELLO, "--stop", ""], "stop text must not be empty"),
    ([*HELLO, "--regex", "["], "unclosed character class"),
    ([*HELLO, "--regex", "a", "--lark", "x"], "got --regex and --lark"),
    ([*HELLO, "--json-schema", "nowhere.json"], "nowhere.json cannot be read as text"),
    ([*HELLO, "--json-schema", sys.executable], f"{sys.executable} cannot be read"),
    ([*HELLO, "--lark", "."], ". cannot be read as text"),
    ([*HELLO, "--json-schema", __file__], "is not JSON"),
    ([*HELLO, "--lark", __file__], "a rule named start"),
    ([*HELLO, "--regex", "a+", "--stop", "b"], "the stop text 'b' would cut off"),
    (
        [*HELLO, "--regex", "a{9}", "--max-new-tokens", "8"],
        "text that was found takes 9",
    ),
    ([*HELLO, "--raw", "--system", "x"], "no place for --system"),
    ([*HELLO, "--model", "nix"], "no model nix"),
    ([*HELLO, "--file", "nix.onnx"], "should hold nix.onnx, found model.onnx; name"),
]


def refused(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> bool:
    """Whether the words end with status 2 and one sentence that says so."""
    status, written = cli.main(words), capsys.readouterr()
    is_sentence = re.fullmatch(r"llm-walkthrough: .+\n", written.err)
    return bool(
        status == 2 and written.out == "" and is_sentence and said in written.err
    )


def test_whatever_cannot_be_used_is_one_sentence_and_status_2(
    capsys: pytest.CaptureFixture[str], tiny: str
) -> None:
    asked = [(["ask", "--model", tiny, *words], said) for words, said in REFUSED]
    step = ["step", "--no-browser", "--model", tiny]
    asked += [
        ([*step, ""], "the prompt is empty"),
        ([*step, "a" * CONTEXT], "shorten the prompt"),
        ([*step, *HELLO, "--top-p", "0"], "top-p must be"),
        ([*step, *HELLO, "--seed", "-1"], "seed must be"),
        ([*step, *HELLO, "--provider", "abacus"], "choose from cpu"),
        ([*step, *HELLO, "--port", "99999"], "port 99999 cannot be used"),
    ]
    asked += [
        (["models", action, "nix"], "no model nix") for action in ("where", "fetch")
    ]
    assert [words for words, said in asked if not refused(capsys, words, said)] == []


def test_bad_options_are_found_before_the_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answer, "load", None)
    assert cli.main(["ask", "Hello", "--top-p", "0"]) == 2


def test_unknown_option_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["ask", "Hello", "--topk", "3"])
    assert stopped.value.code == 2
    assert "unknown here: --topk" in capsys.readouterr().err


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


def asked(tiny: str, stdout: int | IO[str]) -> subprocess.CompletedProcess[bytes]:
    """Ask in a process of its own."""
    command = [sys.executable, "-m", "llm_walkthrough.command_line.cli"]
    command += ["ask", "Hello", "--model", tiny]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, check=False)


def test_reader_that_goes_away_ends_the_answer_quietly(tiny: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = asked(tiny, writing)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.skipif(not FULL.exists(), reason="Linux has /dev/full")
def test_full_disk_is_one_sentence(tiny: str) -> None:
    with FULL.open("w") as full:
        ended = asked(tiny, full)
    assert ended.returncode == 2
    assert ended.stderr.count(b"\n") == 1
    assert b"standard output cannot be written (No space left" in ended.stderr


def test_help_names_the_defaults_that_are_in_force(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["ask", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    defaults = re.findall(r"--([a-z-]+) [XN] (?:(?! --).)*?default: ([\d.]+)", text)
    named = {option.replace("-", "_"): default for option, default in defaults}
    settings = (*fields(Sampling), *fields(Settings))
    in_force = {one.name: str(one.default) for one in settings if one.name in named}
    assert named == in_force
    assert {"seed", "max_new_tokens", *(one.name for one in KNOBS)} == {*named}


def test_nothing_heavy_is_imported_before_a_command_needs_it() -> None:
    code = "import sys, llm_walkthrough.command_line.cli; print(*sys.modules)"
    imported = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"numpy", "onnx", "onnxruntime", "tokenizers", "rich", "jupyterlab"}
    assert not heavy & set(imported.stdout.split())


@pytest.mark.parametrize(
    ("place", "said"),
    [("n" * 300, "the system refuses"), ("file/below", "a file stands in the way")],
)
def test_a_place_that_the_system_refuses_is_told_in_one_sentence(
    place: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    gguf = write_tiny_gguf(tmp_path / "tiny.gguf")
    assert cli.main(["models", "convert", str(gguf), str(tmp_path / place)]) == 2
    assert said in capsys.readouterr().err


@pytest.fixture
def _own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take back what a program that is handed over to changes in this process."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "argv", [*sys.argv])
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "")


@pytest.mark.usefixtures("_own_process")
@pytest.mark.filterwarnings("ignore:.*found in sys.modules")  # other tests import it
def test_a_word_of_the_clone_is_handed_over_with_all_that_follows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.TABLES["beside"].keys() <= {*run.BESIDE_THE_PACKAGE, "lab"}
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", "speed", "--rounds", "many"])
    assert ended.value.code == 2
    assert "invalid int value: 'many'" in capsys.readouterr().err


@pytest.mark.usefixtures("_own_process")
def test_the_word_lab_is_handed_over_to_the_course(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[str] = []
    monkeypatch.setattr("jupyterlab.labapp.LabApp.launch_instance", heard.extend)
    with pytest.raises(SystemExit) as ended:
        cli.main(["lab", "--notebook-dir", "elsewhere"])
    assert ended.value.code == 0
    assert heard[-2:] == ["--notebook-dir", "elsewhere"]


@pytest.mark.parametrize("word", ["lab", "bench", "pack", "site", "review"])
def test_a_word_of_the_clone_says_so_where_there_is_none(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    word: str,
) -> None:
    monkeypatch.setattr(commands, "__file__", str(tmp_path / "a/b/commands.py"))
    assert refused(capsys, [word, "--port", "8000"], f"run `python3 run.py {word}` in")
