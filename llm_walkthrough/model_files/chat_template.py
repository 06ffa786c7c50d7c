"""The form in which a chat model was trained to read a conversation.

A chat template is a jinja2 program that comes with the model. Since somebody else wrote
it, it runs in a sandbox, and in a process of its own. Knows nothing of tokens: the text
that it gives names special tokens such as `<|im_end|>`; `tokenizer` makes ids of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.small_file import is_file, read_json, read_text
from llm_walkthrough.guards.trial import TrialError, tried

Message = Mapping[str, str]
"""One turn of a conversation: `{"role": "user", "content": "Hello"}`."""

RENDERER = "llm_walkthrough.guards.template"


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template and the special tokens that it may name.

    >>> from pathlib import Path
    >>> program = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    >>> template = ChatTemplate(program, Path("chat_template.jinja"), {})
    >>> template.render([{"role": "user", "content": "Hello"}])
    '<user>Hello'
    """

    program: str  # the jinja2 text
    origin: Path  # the file that it was read from, for error messages
    special_texts: Mapping[str, str]  # its names, such as {"bos_token": "<s>"}

    def render(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = True
    ) -> str:
        """Write the conversation, oldest turn first, as the model expects it.

        By `add_generation_prompt` it ends with the opening of the assistant's turn.

        InputError: a message of a wrong form, or a template that is broken, refuses
        these messages or reaches outside its sandbox.
        """
        _check_messages(messages)
        names = {"add_generation_prompt": add_generation_prompt, **self.special_texts}
        try:
            return tried(f"{RENDERER}:rendered", self.program, messages, names)
        except (InputError, TrialError) as error:
            raise InputError(
                f"the chat template in {self.origin} {error}, so it was stopped: do "
                "not trust this model folder, or encode your text without the template"
            ) from error
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(
                f"the chat template in {self.origin} cannot write these messages: "
                f"{error}; change them, or encode your text without the template"
            ) from error


def read_chat_template(folder: Path) -> ChatTemplate | None:
    """Read the template of a model folder, None where it has none.

    `chat_template.jinja` goes before the `chat_template` of `tokenizer_config.json`,
    which is one text, or a list of named ones of which "default" is taken.

    InputError: a file that cannot be read, or no template named "default".
    """
    config_file = folder / "tokenizer_config.json"
    config = read_json(config_file) if is_file(config_file) else {}
    special_texts = {
        name: text
        for name, value in config.items()
        if name.endswith("_token") and (text := special_text(value)) is not None
    }
    template_file = folder / "chat_template.jinja"
    if is_file(template_file):
        return ChatTemplate(read_text(template_file), template_file, special_texts)
    default = _default_program(config.get("chat_template"), config_file)
    return ChatTemplate(default, config_file, special_texts) if default else None


def _default_program(value: object, origin: Path) -> str | None:
    if isinstance(value, list):
        named = [one for one in value if isinstance(one, dict)]
        texts = {one.get("name"): one.get("template") for one in named}
        value = texts.get("default", value)
    if value is None or isinstance(value, str):
        return value or None
    raise InputError(
        f"chat_template in {origin} is neither a text nor a list of named texts with "
        'one called "default"; add one, or encode your text without a template'
    )


def special_text(value: object) -> str | None:
    """Return the text of a token, written as "<s>" or as {"content": "<s>", ...}."""
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else None


def _check_messages(messages: Sequence[Message]) -> None:
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise InputError(
            'messages must be a list such as [{"role": "user", "content": "Hello"}] '
            f"with at least one message, got {messages!r:.60}"
        )
    for number, message in enumerate(messages):
        for name in ("role", "content"):
            text = message.get(name) if isinstance(message, Mapping) else None
            if not isinstance(text, str):
                raise InputError(
                    f'message {number} must have a text under "{name}", as in '
                    f'{{"role": "user", "content": "Hello"}}, got {message!r:.60}'
                )
