"""What a card says of a model is so, all that is wrong with it included."""

from __future__ import annotations

import html
import json
import time
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from large_folder import HIDDEN, LAYERS, write_large_folder
from tiny_folder import CONTEXT, write_tiny_folder
from tiny_gguf import write_tiny_gguf
from tiny_graph import LAYOUTS, PLAIN, write_model

from llm_walkthrough import preflight
from llm_walkthrough.command_line import cli
from llm_walkthrough.errors import InputError
from llm_walkthrough.machine.facts import Memory
from llm_walkthrough.model import open_model
from llm_walkthrough.preflight import Card, bandwidth, inspect, memory_warning

CACHE = 2 * 2 * 2 * 16 * 4 * 4_096  # (key, value), layers, kv_heads, head_dim, bytes


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_folder(tmp_path / "tiny")


def change(file: Path, **entries: object) -> None:
    """Write entries into a JSON file, at the place of the model's own."""
    content = json.loads(file.read_text("utf-8"))
    content |= entries
    file.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("key", ["n_ctx", "seq_length", "max_seq_len"])
def test_the_longest_context_is_read_wherever_a_graph_takes_it_from(
    tiny: Path, key: str
) -> None:
    (tiny / "config.json").write_text(json.dumps({key: CONTEXT}))
    config = tiny / "genai_config.json"
    settings = json.loads(config.read_text("utf-8"))
    del settings["model"]["context_length"]
    config.write_text(json.dumps(settings))
    assert ("longest context", None, CONTEXT, None) in inspect(tiny).says


def test_a_sound_folder_has_no_fault_and_all_sources_agree(tiny: Path) -> None:
    card = inspect(tiny)
    assert card.faults == []
    (why,) = card.notes  # the tiny graph has no norms
    assert why.startswith("no inside view: GroupQueryAttention 'mixed_cache0' is in")
    assert card.says == [
        ("layers", 2, None, None),
        ("heads in the cache", 2, 2, None),
        ("numbers in a head", 16, 16, None),
        ("tokens it knows", 64, 64, 64),
        ("longest context", None, CONTEXT, None),
    ]
    assert [end[:2] for end in card.ends] == [("<|im_end|>", 3), ("<|end|>", 5)]
    assert card.works == {
        "chat template": "yes, from tokenizer_config.json",
        "shared buffer": "yes",
        "undo": "yes",
        "inside view": "no",
        "JSON": "yes",
    }
    assert card.costs["GB for a cache of 4,096 tokens"] == round(CACHE / 1e9, 3)


def test_all_that_is_wrong_is_listed_and_not_only_the_first(tiny: Path) -> None:
    write_model(tiny, LAYOUTS["grouped, positions"])  # with its weights outside
    (tiny / "model.onnx.data").unlink()
    (tiny / "tokenizer.json").write_text("{", encoding="utf-8")
    (tiny / "generation_config.json").write_text("[]", encoding="utf-8")
    said = inspect(tiny).faults
    assert len(said) == 3
    for words in ("model.onnx.data with the weights", "tokenizer.json", "generation_"):
        assert any(words in fault for fault in said), said


def test_a_data_file_that_is_short_is_named_with_its_bytes(tiny: Path) -> None:
    write_model(tiny, LAYOUTS["grouped, positions"])
    (tiny / "model.onnx.data").write_bytes(b"short")
    (fault,) = inspect(tiny).faults
    assert "is cut short: 5 of at least" in fault


def test_where_settings_and_graph_disagree_both_are_shown(tiny: Path) -> None:
    (tiny / "config.json").write_text('{"num_hidden_layers": 9}', encoding="utf-8")
    config = json.loads((tiny / "genai_config.json").read_text("utf-8"))
    config["model"]["decoder"]["head_size"] = 32
    (tiny / "genai_config.json").write_text(json.dumps(config), encoding="utf-8")
    card = inspect(tiny)
    assert card.says[0] == ("layers", 2, 9, None)
    assert card.says[2] == ("numbers in a head", 16, 32, None)
    assert any("9 for num_hidden_layers" in note for note in card.notes)
    assert any("32 for head_size" in note for note in card.notes)


def test_a_template_that_does_not_compile_and_one_that_is_missing(tiny: Path) -> None:
    change(tiny / "tokenizer_config.json", chat_template="{% if %}")
    assert "chat template in" in inspect(tiny).faults[0]
    change(tiny / "tokenizer_config.json", chat_template=None)
    card = inspect(tiny)
    assert card.faults == []
    assert "`ask` needs --raw" in card.notes[0]


def test_a_tokenizer_of_another_model_is_a_fault(tiny: Path) -> None:
    content = json.loads((tiny / "tokenizer.json").read_text("utf-8"))
    content["model"]["vocab"]["zz"] = 99
    (tiny / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    assert any("token ids up to 99" in fault for fault in inspect(tiny).faults)


def test_an_encoder_is_told_from_a_decoder(tiny: Path) -> None:
    def take_cache(model: onnx.ModelProto) -> None:
        kept = [port for port in model.graph.input if "past" not in port.name]
        del model.graph.input[:]
        model.graph.input.extend(kept)

    write_model(tiny, PLAIN, change=take_cache)
    assert any("export the model with its KV cache" in f for f in inspect(tiny).faults)


def test_weights_of_a_type_that_does_not_exist_are_a_fault(tiny: Path) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].data_type = 99

    write_model(tiny, PLAIN, change=spoil)
    assert any("of an unknown type 99" in text for text in inspect(tiny).faults)


def has_no_such_operator(model: onnx.ModelProto) -> None:
    next(n for n in model.graph.node if n.op_type == "Tanh").op_type = "Fancy"


def is_of_a_later_onnx(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 99


def is_of_a_later_file_format(model: onnx.ModelProto) -> None:
    model.ir_version = 99


def has_a_mask_of_fractions(model: onnx.ModelProto) -> None:
    mask = next(port for port in model.graph.input if port.name == "attention_mask")
    mask.type.tensor_type.elem_type = onnx.TensorProto.FLOAT


def has_one_token_at_a_time(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1


@pytest.mark.parametrize(
    "change",
    [
        has_no_such_operator,
        is_of_a_later_onnx,
        is_of_a_later_file_format,
        has_a_mask_of_fractions,
        has_one_token_at_a_time,
    ],
)
def test_a_graph_that_cannot_be_opened_cannot_run(
    tiny: Path, change: Callable[[onnx.ModelProto], None]
) -> None:
    write_model(tiny, LAYOUTS["grouped, positions"], change=change)
    with pytest.raises(InputError):
        open_model(tiny)
    assert len(inspect(tiny).faults) == 1


def test_an_export_that_was_found_to_differ_is_told_by_its_exporter(tiny: Path) -> None:
    def built(model: onnx.ModelProto) -> None:
        model.producer_name = "onnxruntime-genai"

    write_model(tiny, change=built)
    assert not any("PyTorch" in note for note in inspect(tiny).notes)
    config = json.loads((tiny / "genai_config.json").read_text("utf-8"))
    config["model"]["type"] = "olmo"
    (tiny / "genai_config.json").write_text(json.dumps(config), encoding="utf-8")
    card = inspect(tiny)
    assert card.faults == []
    assert any("2.1 off PyTorch in a logit for olmo" in note for note in card.notes)


def test_a_tokenizer_without_the_end_token_is_shown_as_far_as_it_goes(
    tiny: Path,
) -> None:
    content = json.loads((tiny / "tokenizer.json").read_text("utf-8"))
    content["model"]["vocab"], content["added_tokens"] = {"a": 0}, []
    (tiny / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    assert next(end[:2] for end in inspect(tiny).ends) == ("<no text 3>", 3)


def test_what_of_the_course_does_not_work_is_told_with_the_reason(tiny: Path) -> None:
    write_model(tiny, PLAIN)
    card = inspect(tiny)
    assert card.works["shared buffer"] == "no"
    assert any("no shared buffer: attention other than" in text for text in card.notes)


def test_a_gguf_file_is_read_by_its_header(tmp_path: Path) -> None:
    card = inspect(write_tiny_gguf(tmp_path / "tiny.gguf"))
    assert card.faults == []
    assert [size for _, size in card.says] == [2, 1, 32, 264, 128]
    assert [end[:2] for end in card.ends] == [("<|im_end|>", 2), ("<|endoftext|>", 0)]
    (tmp_path / "bad.gguf").write_bytes(b"GGUF")
    assert "not a complete GGUF file" in inspect(tmp_path / "bad.gguf").faults[0]


@pytest.mark.parametrize(
    "fields",
    [
        {"llama.rope.freq_base": 0.0},
        {"tokenizer.ggml.eos_token_id": 999},
        {"tokenizer.chat_template": 5},
    ],
)
def test_a_gguf_file_that_cannot_be_converted_cannot_run(
    tmp_path: Path, fields: dict[str, object]
) -> None:
    file = write_tiny_gguf(tmp_path / "tiny.gguf", fields=fields)
    assert inspect(file).faults
    assert cli.main(["models", "convert", str(file), str(tmp_path / "new")]) == 2


def test_the_chat_template_of_a_gguf_file_is_tried(tmp_path: Path) -> None:
    fields = {"tokenizer.chat_template": "{% if %}"}
    file = write_tiny_gguf(tmp_path / "tiny.gguf", fields=fields)
    (fault,) = inspect(file).faults
    assert f"the chat template in {file} cannot write" in fault


def test_a_gguf_file_without_an_end_token_cannot_run(tmp_path: Path) -> None:
    tokens = [f"t{number}" for number in range(264)]
    file = write_tiny_gguf(
        tmp_path / "tiny.gguf",
        tokens=tokens,
        fields={"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.merges": ["t1 t2"]},
    )
    assert inspect(file).faults


def test_a_link_that_leads_nowhere_is_a_missing_file(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tiny, LAYOUTS["grouped, positions"])
    (tiny / "model.onnx.data").unlink()
    (tiny / "model.onnx.data").symlink_to("nowhere")
    assert cli.main(["ask", "Hello", "--model", str(tiny)]) == 2
    assert "model.onnx.data with the weights" in capsys.readouterr().err


def test_a_folder_of_seven_billion_weights_is_told_in_two_seconds(
    tmp_path: Path,
) -> None:
    folder, size = write_large_folder(tmp_path / "large")
    seconds = []
    for _ in range(3):  # the machine may be busy
        start = time.perf_counter()
        card = inspect(folder)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 2
    told = [n for what, n in card.costs.items() if what.startswith("GB of weights")]
    assert sum(told) == pytest.approx(size / 1e9, abs=0.002)
    codes = LAYERS * (6144 + HIDDEN + 3 * 14336) * HIDDEN / 2
    assert card.costs["GB of weights in 4 bits"] == round(codes / 1e9, 3)
    # a step reads one row of the embedding, and all the rest
    read = size - 32_000 * HIDDEN * 4
    assert card.costs["GB read for each token"] == round(read / 1e9, 3)
    assert card.works["shared buffer"] == "yes"


def test_speed_is_what_memory_gives_for_the_bytes_of_a_token(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bandwidth() > 1e8
    monkeypatch.setattr(preflight, "bandwidth", lambda: 2e9)
    card = inspect(tiny)
    numpy_size = sum(
        preflight.count_weights(onnx.load(tiny / "model.onnx").graph).values()
    )
    assert card.costs["tokens/s at the very most"] >= 2e9 / numpy_size


@pytest.mark.parametrize("total", [5e9, 16e9, 64e9])
def test_too_little_memory_is_said_before_the_work_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, total: float
) -> None:
    folder, _ = write_large_folder(tmp_path / "large")
    free = 60e9 if total > 60e9 else 4e9
    monkeypatch.setattr(
        preflight, "memory", lambda: Memory(int(total), int(free), None)
    )
    card = inspect(folder)
    assert any("this machine has" in text for text in card.faults) == (total == 5e9)
    assert any("close other" in text for text in card.notes) == (total == 16e9)
    if total == 5e9:
        with pytest.raises(InputError, match=r"large takes .* choose a smaller model"):
            memory_warning(folder)
    else:
        assert ("large takes" in memory_warning(folder)) == (total == 16e9)


def test_ask_warns_of_a_model_that_is_tight_and_refuses_one_that_cannot_fit(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["ask", "Hello", "--max-new-tokens", "1", "--model", str(tiny)]
    monkeypatch.setattr(preflight, "memory", lambda: Memory(2**30, 1000, None))
    assert cli.main(words) == 0
    assert (
        "tiny takes about 0.0 GB of memory, and 0.0 GB are free"
        in capsys.readouterr().err
    )
    monkeypatch.setattr(preflight, "memory", lambda: Memory(2**30, 1000, 2000))
    assert cli.main(words) == 2
    assert "choose a smaller model" in capsys.readouterr().err


def test_the_card_fits_a_terminal_and_says_the_same_on_a_page(tiny: Path) -> None:
    change(tiny / "tokenizer_config.json", chat_template="{% if %}")
    (tiny / "config.json").write_text('{"num_hidden_layers": 9}', encoding="utf-8")
    card = inspect(tiny)
    card.path = "tiny"  # a long path may be wider
    text = repr(card)
    assert "It cannot run here:\n• the chat template" in text
    assert max(map(len, text.splitlines())) <= 80
    page = html.unescape(card._repr_html_())
    assert all(word in page for word in text.split() if word[0].isalnum())


def test_a_card_without_anything_is_still_shown() -> None:
    assert repr(Card("nowhere")) == "nowhere\nIt can run here."


def test_the_command_tells_it_and_ends_with_1_if_it_cannot_run(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["models", "inspect", str(tiny)]) == 0
    assert "It can run here." in capsys.readouterr().out
    (tiny / "tokenizer.json").unlink()
    assert cli.main(["models", "inspect", str(tiny), "--json"]) == 1
    record = json.loads(capsys.readouterr().out)
    assert "no tokenizer.json" in record["faults"][0]
    assert record["costs"]["GB free on this machine"] > 0
    assert cli.main(["models", "inspect", "nix"]) == 2
    assert "no model nix" in capsys.readouterr().err
    assert cli.main(["models", "inspect", "me/nix"]) == 2
    assert "models fetch me/nix" in capsys.readouterr().err
