from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_walkthrough.errors import InputError
from llm_walkthrough.guards import trial
from llm_walkthrough.model_files.chat_template import (
    ChatTemplate,
    Message,
    read_chat_template,
)

HELLO = [{"role": "user", "content": "Hello"}]


def template(folder: Path, program: object, **config: object) -> ChatTemplate:
    content = json.dumps({"chat_template": program, **config})
    (folder / "tokenizer_config.json").write_text(content, encoding="utf-8")
    read = read_chat_template(folder)
    assert read is not None
    return read


def rendered(folder: Path, program: str, **config: object) -> str:
    return template(folder, program, **config).render(HELLO)


# --- where the template comes from --------------------------------------------------
def test_a_folder_without_a_template_has_none(tmp_path: Path) -> None:
    assert read_chat_template(tmp_path) is None
    (tmp_path / "tokenizer_config.json").write_text('{"bos_token": "<s>"}')
    assert read_chat_template(tmp_path) is None


def test_the_template_named_default_is_taken_from_a_list(tmp_path: Path) -> None:
    named = [
        {"name": "tool_use", "template": "tools"},
        {"name": "default", "template": "{{ messages[0].content }}"},
    ]
    assert template(tmp_path, named).render(HELLO) == "Hello"


def test_a_jinja_file_goes_before_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text("{{ bos_token }}file")
    tokens = {"bos_token": "<s>"}
    assert rendered(tmp_path, "configuration", **tokens) == "<s>file"


@pytest.mark.parametrize(
    "program", [7, {"a": 1}, [], [{"name": "rag", "template": "x"}], ["text"]]
)
def test_a_template_of_a_wrong_form_names_the_file(
    tmp_path: Path, program: object
) -> None:
    with pytest.raises(InputError, match=r"tokenizer_config\.json .*default"):
        template(tmp_path, program)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_a_broken_configuration_names_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer_config.json").write_bytes(content)
    with pytest.raises(InputError, match=r"tokenizer_config\.json .*the model again"):
        read_chat_template(tmp_path)


# --- what a template may expect -----------------------------------------------------
@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("{{ bos_token }}|{{ eos_token }}|{{ pad_token }}", "<s>|</s>|"),
        ("{{ messages[0]['role'] }}: {{ messages[0].content }}", "user: Hello"),
        ("  {% if add_generation_prompt %}\nyes\n  {% endif %}\n", "yes\n"),
        ("{{ {'a': '<é&>'} | tojson }}", '{"a": "<é&>"}'),
        ("{{ [1] | tojson(indent=1) }}", "[\n 1\n]"),
        ("{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}", '{"a": 2, "b": 1}'),
        ("{{ ['é', 1] | tojson(ensure_ascii=true) }}", '["\\u00e9", 1]'),
        ("{{ {'a': [1, 2]} | tojson(separators=(',', ':')) }}", '{"a":[1,2]}'),
        ("{% if tools is none and documents is none %}none{% endif %}", "none"),
        ("{% for i in [1, 2] %}{{ i }}{% break %}{% endfor %}", "1"),
        ("a{% generation %}{{ messages[0].role }}{% endgeneration %}b", "auserb"),
        ("{{ strftime_now('%Y') | length }}", "4"),
        ("{% set ns = namespace(n=1) %}{% set ns.n = 2 %}{{ ns.n }}", "2"),
    ],
)
def test_a_template_finds_the_names_of_the_hugging_face_hub(
    tmp_path: Path, program: str, text: str
) -> None:
    tokens = {"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": False}}
    read = template(tmp_path, program, **tokens, pad_token=None, add_bos_token=True)
    assert read.render(HELLO) == text


def test_the_opening_of_the_answer_can_be_left_out(tmp_path: Path) -> None:
    read = template(tmp_path, "{{ add_generation_prompt }}")
    assert read.render(HELLO, add_generation_prompt=False) == "False"


# --- bad input ----------------------------------------------------------------------
@pytest.mark.parametrize(
    "program",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ raise_exception.__globals__['json'] }}",
        "{{ messages.append({}) }}",
        "{{ '{0.__class__.__mro__}'.format(messages) }}",
        "{% set _ = messages[0].update({'content': 'x'}) %}",
    ],
)
def test_a_template_that_reaches_outside_its_sandbox_is_stopped(
    tmp_path: Path, program: str
) -> None:
    with pytest.raises(InputError, match="outside its sandbox"):
        rendered(tmp_path, program)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("{{ ([0] * 1000000000) | length }}", "needs more than 1 GB"),
        ("{{ messages | tojson(indent=10**9) }}", "needs more than 1 GB"),
        ("{{ 'a' * 20000000 }}", "writes more than 10,000,000 characters"),
        (
            "{% for i in range(99999) %}{{ range(99999) | sum }}{% endfor %}",
            "takes more",
        ),
    ],
)
def test_a_template_without_measure_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, reason: str
) -> None:
    monkeypatch.setattr(trial, "MOST_SECONDS", 0.3 if "takes" in reason else 60.0)
    with pytest.raises(InputError, match=f"{reason}.*so it was stopped"):
        rendered(tmp_path, program)
    assert rendered(tmp_path, "alive") == "alive"


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("{% break %}", "outside loop"),
        ("{{ " + "(" * 20_000 + ")" * 20_000 + " }}", "recursion"),
        ("{% if a %}" * 5_000 + "{% endif %}" * 5_000, "recursion"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{% if %}", "Expected an expression"),
        ("{{ none + 'text' }}", "NoneType"),
        ("{{ missing.name }}", "'missing' is undefined"),
        ("{{ range(10 ** 9) }}", "Range too big"),
        ("{{ 1 / 0 }}", "division"),
        ("{% include 'secrets' %}", "loader"),
    ],
)
def test_a_template_that_fails_says_why(
    tmp_path: Path, program: str, reason: str
) -> None:
    with pytest.raises(InputError, match=f"cannot write these messages: .*{reason}"):
        rendered(tmp_path, program)


@pytest.mark.parametrize(
    "messages",
    [
        [],
        "Hello",
        None,
        {"role": "user", "content": "Hello"},
        ["Hello"],
        [{"role": "user"}],
        [{"role": "user", "content": None}],
        [{"role": 1, "content": "Hello"}],
        [{"content": "Hello"}],
    ],
)
def test_messages_of_a_wrong_form_are_refused_with_an_example(
    tmp_path: Path, messages: list[Message]
) -> None:
    with pytest.raises(InputError, match='"role": "user", "content": "Hello"'):
        template(tmp_path, "text").render(messages)
