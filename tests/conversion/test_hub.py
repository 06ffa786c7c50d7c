"""What is fetched from a hub is whole, or one sentence says why there is nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from huggingface_hub import constants
from huggingface_hub._tree_cache import TreeCacheEntry, write_tree_cache
from tiny_gguf import write_tiny_gguf
from tiny_hub import COMMIT, TinyHub, tiny_hub

from llm_walkthrough import answer
from llm_walkthrough.catalogue import fetch, find, here
from llm_walkthrough.conversion.convert import convert
from llm_walkthrough.conversion.hub import choose
from llm_walkthrough.errors import InputError
from llm_walkthrough.machine import storage

CLI = [sys.executable, "-m", "llm_walkthrough.command_line.cli"]
MISTRAL = "mistral-7b-instruct-v0.2"
GENAI = f"onnx/cpu_and_mobile/{MISTRAL}-cpu-int4-rtn-block-32"


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """The files of a repository with GGUF files, and of one with ONNX files."""
    folder = tmp_path_factory.mktemp("published")
    gguf = write_tiny_gguf(folder / "a.gguf")
    convert(gguf, folder / "onnx", variant="int4")
    names = ("model.onnx", "model.onnx.data", "tokenizer.json", "genai_config.json")
    files = {name: (folder / "onnx" / name).read_bytes() for name in names}
    large = {name: files[name] for name in names[:2]}
    there = "cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4"
    return {
        "me/tiny-GGUF": {
            "README.md": b"# Tiny",
            "tiny-q4_k_m.gguf": gguf.read_bytes(),
            "tiny-f16.gguf": b"another",
        },
        "me/tiny-ONNX": {
            **{f"{there}/{name}": content for name, content in files.items()},
            "cuda/cuda-int4-rtn-block-32/model.onnx": b"for another device",
        },
        "me/tiny-web": {
            **{f"onnx/{name}": content for name, content in large.items()},
            "onnx/model_quantized.onnx": b"another",
            **{name: files[name] for name in names[2:]},
            "pytorch_model.bin": b"another",
        },
    }


@pytest.fixture
def hub(
    contents: dict[str, dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[TinyHub]:
    """A hub, and a models folder with nothing in it."""
    monkeypatch.setenv("LLM_WALKTHROUGH_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with tiny_hub({name: dict(files) for name, files in contents.items()}) as hub:
        template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield hub


def record(folder: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((folder / "conversion.json").read_text())
    return content


def refusal(name: str, *, revision: str = "") -> str:
    """The one sentence by which a fetch ends, having left no model behind."""
    with pytest.raises(InputError) as refused:
        fetch(name, revision=revision)
    assert here() == []
    sentence = str(refused.value)
    assert "\n" not in sentence
    return sentence


@pytest.mark.usefixtures("hub")
def test_a_gguf_file_is_converted_and_its_origin_recorded() -> None:
    folder = fetch("me/tiny-GGUF")
    assert folder.name == "me--tiny-GGUF"
    wanted = {"repository": "me/tiny-GGUF", "commit": COMMIT}
    wanted["file"] = "tiny-q4_k_m.gguf"
    assert wanted.items() <= record(folder).items()
    assert find("me/tiny-GGUF") == find("me--tiny-GGUF") == folder
    assert [one.folder for one in here()] == [folder]


def test_only_what_the_chosen_graph_needs_is_downloaded(hub: TinyHub) -> None:
    folder = fetch("me/tiny-ONNX")
    assert {path.name for path in folder.iterdir()} == {
        *("model.onnx", "model.onnx.data", "tokenizer.json", "genai_config.json"),
        *("conversion.json", "verified.json"),
    }
    assert not any("/cuda" in line for line in hub.asked)
    loaded, _ = answer.load(folder)
    assert loaded.graph.num_layers == 2


def test_small_files_may_lie_above_the_folder_of_the_graph(hub: TinyHub) -> None:
    folder = fetch("me/tiny-web:onnx/model.onnx")
    assert folder.name == "me--tiny-web--onnx--model.onnx"
    assert (folder / "tokenizer.json").is_file()
    assert not any("pytorch" in line for line in hub.asked)


def test_what_is_there_is_not_asked_for_again_unless_by_a_revision(
    hub: TinyHub,
) -> None:
    folder = fetch("me/tiny-GGUF")
    hub.asked.clear()
    assert fetch("me/tiny-GGUF") == folder
    assert hub.asked == []
    fetch("me/tiny-GGUF", revision="v1")  # the same commit
    assert hub.bytes_asked == []
    hub.commit = "beef" * 10
    assert record(fetch("me/tiny-GGUF", revision="main"))["commit"] == "beef" * 10


def test_a_connection_that_is_cut_goes_on_where_it_was(
    hub: TinyHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.cut = [7500, 5500]
    fetch("me/tiny-GGUF")
    assert hub.bytes_asked == ["", "bytes=7000-", "bytes=12000-"]


def test_a_download_that_ended_halfway_goes_on_at_the_next_start(
    hub: TinyHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.cut = [7500, *[0] * 9]
    assert "cannot be reached" in refusal("me/tiny-GGUF")
    hub.cut, hub.asked = [], []
    fetch("me/tiny-GGUF")
    assert hub.bytes_asked == ["bytes=7000-"]


def test_a_file_that_changed_on_the_way_is_thrown_away(hub: TinyHub) -> None:
    name, files = "tiny-q4_k_m.gguf", hub.repositories["me/tiny-GGUF"]
    whole = files[name]
    hub.lists[name], files[name] = whole, whole[:-1] + b"?"
    assert "another hash than the hub names" in refusal("me/tiny-GGUF")
    files[name] = whole
    assert fetch("me/tiny-GGUF").is_dir()


def test_what_another_program_has_downloaded_is_taken_from_its_cache(
    hub: TinyHub,
) -> None:
    cache = Path(constants.HF_HUB_CACHE, "models--me--tiny-GGUF", "snapshots", COMMIT)
    cache.mkdir(parents=True)
    name = "tiny-q4_k_m.gguf"
    (cache / name).write_bytes(hub.repositories["me/tiny-GGUF"][name])
    assert fetch("me/tiny-GGUF").is_dir()
    assert hub.bytes_asked == []


@pytest.mark.parametrize("name", ["me/tiny-GGUF", "me/tiny-ONNX"])
def test_offline_a_model_is_made_from_what_another_program_has_downloaded(
    hub: TinyHub, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "is not in its cache, and HF_HUB_OFFLINE is set: unset it" in refusal(name)
    cache = Path(constants.HF_HUB_CACHE, f"models--{name.replace('/', '--')}")
    for path, content in hub.repositories[name].items():
        place = cache / "snapshots" / COMMIT / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(COMMIT)
    left_out = {"other.bin": TreeCacheEntry(1, "a" * 40, None, None, None)}
    write_tree_cache(str(cache), COMMIT, left_out)
    folder = fetch(name)
    assert hub.asked == []
    assert record(folder)["commit"] == COMMIT
    assert answer.load(folder)[0].graph.num_layers == 2


def test_a_token_is_sent_and_without_one_the_way_out_is_named(
    hub: TinyHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.wants = "Bearer hf_mine"
    assert "terms accepted on its page, and your HF_TOKEN" in refusal("me/tiny-ONNX")
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    assert fetch("me/tiny-ONNX").is_dir()


def test_what_cannot_be_had_is_one_sentence(
    hub: TinyHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"me/nix on {hub.address} is not there, or private" in refusal("me/nix")
    assert "no such revision" in refusal("me/tiny-GGUF", revision="nix")
    hub.lists["lost-q4_k_m.gguf"] = b"gone"
    assert "lacks a file that it lists" in refusal("me/tiny-GGUF:lost")
    for status, code, said in (
        (401, "RepoNotFound", "is not there, or private"),
        (401, "", "was refused"),
        (403, "GatedRepo", "terms accepted"),
        (500, "", "was refused"),
    ):
        hub.status, hub.error_code = status, code
        assert said in refusal("me/tiny-ONNX")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set: unset it" in refusal("me/tiny-ONNX")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nothing listens
    assert "cannot be reached" in refusal("me/tiny-ONNX")


def test_a_graph_whose_weights_the_repository_lacks_is_refused(hub: TinyHub) -> None:
    files = hub.repositories["me/tiny-ONNX"]
    del files[next(name for name in files if name.endswith(".data"))]
    assert "keeps weights in" in refusal("me/tiny-ONNX")


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    "about",
    [b" ", b"<html>", b"[]", b"{}", b"[" * 100_000, b'{"id":"a","siblings":[{}]}'],
)
def test_a_hub_that_talks_nonsense_is_named_in_one_sentence(
    hub: TinyHub, about: bytes
) -> None:
    hub.about = about
    assert "check the network and HF_ENDPOINT" in refusal("me/tiny-GGUF")


def test_a_hub_that_answers_byte_by_byte_is_not_heard_to_the_end(
    hub: TinyHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.drips = 0.1
    monkeypatch.setattr("llm_walkthrough.conversion.hub._MOST_SECONDS", 0.5)
    began = time.monotonic()
    assert "cannot be reached" in refusal("me/tiny-GGUF")
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("name", ["../x", "me/..", "me/x.git"])
def test_a_name_that_no_repository_can_have_is_not_asked_for(
    hub: TinyHub, name: str
) -> None:
    assert "name a repository as OWNER/NAME" in refusal(name)
    assert not hub.asked


@pytest.mark.parametrize("name", ["../x.gguf", "/x.gguf", "a/../../x.gguf", "x\n.gguf"])
def test_a_file_whose_name_leads_elsewhere_is_as_if_it_were_not_listed(
    hub: TinyHub, name: str
) -> None:
    hub.repositories["me/tiny-GGUF"] = {name: b"x"}
    assert "found none" in refusal("me/tiny-GGUF")


@pytest.mark.parametrize("wrong", ["../../evil", "/evil", None, 5])
def test_a_hash_that_is_none_names_no_folder(
    hub: TinyHub, wrong: object, tmp_path: Path
) -> None:
    sizes = {"sha256": wrong, "size": 1, "pointerSize": 1}
    hub.claims = {"lfs": sizes, "blobId": wrong}
    there = {*tmp_path.iterdir()} | {tmp_path / "models"}
    assert refusal("me/tiny-GGUF")
    assert {*tmp_path.iterdir()} == there


def test_a_body_that_is_longer_than_listed_is_left_where_the_list_ends(
    hub: TinyHub, tmp_path: Path
) -> None:
    path, genuine = "tiny-q4_k_m.gguf", hub.repositories["me/tiny-GGUF"]
    hub.lists = {path: genuine[path][:1000]}
    assert "sends more than the 1,000 bytes" in refusal("me/tiny-GGUF")
    (part,) = tmp_path.glob("models/downloads/*/*.gguf")
    part.write_bytes(genuine[path] + b"left by an older start")
    assert "sends more" in refusal("me/tiny-GGUF")
    assert not part.stat().st_size


@pytest.mark.parametrize("place", ["sub/w.data", "../w.data", "tokenizer.json"])
def test_weights_that_cannot_stand_beside_the_graph_are_refused(
    hub: TinyHub, place: str
) -> None:
    files = hub.repositories["me/tiny-web"]
    proto = onnx.ModelProto.FromString(files["onnx/model.onnx"])
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            entry.value = place if entry.key == "location" else entry.value
    files["onnx/model.onnx"] = proto.SerializeToString()
    files[f"onnx/{place}"] = files["onnx/model.onnx.data"]
    assert "does not have beside it" in refusal("me/tiny-web:onnx/model.onnx")


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_graph_that_is_none_is_not_taken_for_a_model(
    hub: TinyHub, content: bytes
) -> None:
    hub.repositories["me/tiny-web"]["onnx/model.onnx"] = content
    assert "fetch or convert" in refusal("me/tiny-web:onnx/model.onnx")


def test_a_repository_without_a_tokenizer_is_refused_before_the_download(
    hub: TinyHub,
) -> None:
    del hub.repositories["me/tiny-web"]["tokenizer.json"]
    assert "has no tokenizer.json" in refusal("me/tiny-web:onnx/model.onnx")
    assert not hub.bytes_asked


def test_of_very_many_files_some_are_listed(hub: TinyHub) -> None:
    many = [*(f"{i}.gguf" for i in range(1000)), ".gguf"]
    hub.repositories["me/many"] = dict.fromkeys(many, b"")
    assert len(refusal("me/many")) < 400


def test_a_disk_without_room_is_named_before_the_work_starts(
    hub: TinyHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "free_disk", lambda _: 10_000)
    assert "only 0 MB free; free some" in refusal("me/tiny-GGUF")
    assert hub.bytes_asked == []


@pytest.mark.usefixtures("hub")
def test_a_name_of_the_catalogue_has_its_own_revision() -> None:
    with pytest.raises(InputError, match="revision of mistral-7b stands in the cat"):
        fetch("mistral-7b", revision="main")


@pytest.mark.usefixtures("hub")
def test_a_model_that_was_not_fetched_names_the_command() -> None:
    with pytest.raises(
        InputError, match="not there; run `llm-walkthrough models fetch"
    ):
        find("me/tiny-GGUF")


@pytest.mark.parametrize(
    ("paths", "wanted", "chosen"),
    [
        (["a-Q8_0.gguf", "a-Q4_K_M.gguf", "a-Q2_K.gguf"], "", "a-Q4_K_M.gguf"),
        (["a.Q8_0.gguf", "a.IQ4_NL.gguf"], "", "a.Q8_0.gguf"),
        (["a-Q8_0.gguf", "a-Q4_0.gguf"], "q4_0", "a-Q4_0.gguf"),
        (["only.gguf"], "", "only.gguf"),
        (["model.onnx", "model_fp16.onnx", "model_q4.onnx"], "", "model_q4.onnx"),
        (["model.onnx", "model_fp16.onnx", "model_int8.onnx"], "", "model_fp16.onnx"),
        (["model.onnx", "model_quantized.onnx"], "", "model.onnx"),
        (["a-q4_k_m.gguf", "onnx/model.onnx"], "", "onnx/model.onnx"),
        (
            [
                f"{GENAI}/{MISTRAL}-cpu-int4-rtn-block-32.onnx",
                f"{GENAI}-acc-level-4/model.onnx",
                "onnx/cuda/cuda-int4-rtn-block-32/model.onnx",
            ],
            "",
            f"{GENAI}-acc-level-4/model.onnx",
        ),
        (["cuda/int4/model.onnx", "cpu/fp32/model.onnx"], "", "cpu/fp32/model.onnx"),
        (["a/model.onnx", "b/model.onnx"], "b/", "b/model.onnx"),
        (["model.onnx", "sub/model.onnx"], "model.onnx", "model.onnx"),
    ],
)
def test_the_file_that_is_taken_follows_a_rule(
    paths: list[str], wanted: str, chosen: str
) -> None:
    assert choose(paths, "me/a", wanted) == chosen
    assert choose(paths[::-1], "me/a", wanted) == chosen


@pytest.mark.parametrize(
    ("paths", "wanted", "said"),
    [
        (["model.safetensors"], "", "found none"),
        (["a-Q8_0.gguf"], "Q4_0", "of 'Q4_0' name, found a-Q8_0.gguf"),
        (["a-Q2_K.gguf", "a-Q3_K.gguf"], "", "found a-Q2_K.gguf, a-Q3_K.gguf"),
        (["decoder_model.onnx", "encoder_model.onnx"], "", "me/a:FILE"),
    ],
)
def test_where_the_rule_leaves_a_doubt_the_names_are_listed(
    paths: list[str], wanted: str, said: str
) -> None:
    with pytest.raises(InputError, match="name one of them as me/a:FILE") as refused:
        choose(paths, "me/a", wanted)
    assert said in str(refused.value)


def test_the_command_fetches_from_the_hub_that_the_environment_names(
    hub: TinyHub, tmp_path: Path
) -> None:
    environment = os.environ | {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path)}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [*CLI, *words]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )

    del environment["HF_HUB_DISABLE_TELEMETRY"]  # it was set when this test loaded
    done = run("models", "fetch", "me/tiny-ONNX", "--revision", "main")
    assert (done.returncode, done.stdout) == (0, f"{find('me/tiny-ONNX')}\n")
    assert "downloading me/tiny-ONNX: 100 %" in done.stderr
    assert "agent" not in "".join(hub.asked)  # it sends nothing about itself
    words = ("ask", "--raw", "Hello", "--model", "me/tiny-ONNX", "--max-new-tokens=2")
    assert run(*words).returncode == 0
    assert "every file is unchanged" in run("models", "check").stdout
    assert run("models", "where", "me/tiny-ONNX").stdout == done.stdout
    (find("me/tiny-ONNX") / "model.onnx.data").write_bytes(b"short")
    checked = run("models", "check")
    assert checked.returncode == 1
    assert "run `llm-walkthrough models fetch me--tiny-ONNX`" in checked.stderr
    assert run("models", "fetch", "me/tiny-ONNX").returncode == 0
    assert run("models", "check", "me/tiny-ONNX").returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_in_a_download_says_how_to_go_on(hub: TinyHub, tmp_path: Path) -> None:
    large = b"x" * 30_000_000
    hub.repositories["me/tiny-GGUF"]["large.gguf"] = large
    hub.cut = [25_000_000, *[0] * 9]  # and waits a second between tries
    environment = os.environ | {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path)}
    command = [*CLI, "models", "fetch", "me/tiny-GGUF:large"]
    stopped = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True
    )
    while len(hub.bytes_asked) < 2:
        time.sleep(0.05)
    stopped.send_signal(signal.SIGINT)
    said = stopped.communicate()[1]
    assert stopped.returncode == 130
    assert "what came so far is kept" in said
    assert here() == []
