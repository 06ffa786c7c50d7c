"""A run as a small file, and such a file read again.

The file holds the ids of the prompt and of every token that was made, and how each was
chosen. Knows nothing of models: a replay shows whether they draw the same tokens.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from llm_walkthrough.errors import InputError
from llm_walkthrough.sampling import Sampling, require_u, uniform

FORMAT = "llm-walkthrough run, version 1"


@dataclass(frozen=True)
class SavedStep:
    """One token that was made."""

    token: int  # its id
    u: float | None  # the number in [0, 1) that drew it, None if the learner chose it
    sampling: Sampling  # the settings that stood then
    seed: int  # likewise

    def __post_init__(self) -> None:
        uniform(self.seed, 0)  # refuses a seed that cannot be used
        if self.u is not None:
            require_u(self.u)


@dataclass(frozen=True)
class SavedRun:
    """A prompt, and how each token after it was chosen."""

    model: str  # what the panel called it
    prompt: tuple[int, ...]  # the ids that it began with
    steps: tuple[SavedStep, ...]  # the tokens that were made
    text: str  # of prompt and tokens, for people, and to tell vocabularies apart


def written(run: SavedRun) -> str:
    """Return the run as JSON; settings that stay the same are written once."""
    settings: list[dict[str, Any]] = []
    steps = []
    for step in run.steps:
        setting = {**asdict(step.sampling), "seed": step.seed}
        if setting not in settings:
            settings.append(setting)
        steps.append([step.token, step.u, settings.index(setting)])
    said = {"format": FORMAT, "model": run.model, "text": run.text}
    record = {**said, "prompt": run.prompt, "settings": settings, "steps": steps}
    lines = (f"{json.dumps(k)}: {json.dumps(v)}" for k, v in record.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read(text: str) -> SavedRun:
    """Read what `written` wrote; InputError if it is something else, or not whole."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refused(f"it is not JSON ({error})") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise _refused(f'its "format" is not "{FORMAT}"')
    try:
        settings = [_setting(entry) for entry in record["settings"]]
        steps = [
            SavedStep(_whole(token), None if u is None else float(u), *settings[number])
            for token, u, number in record["steps"]
        ]
        prompt = tuple(map(_whole, record["prompt"]))
        return SavedRun(str(record["model"]), prompt, tuple(steps), str(record["text"]))
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise _refused(f"it is incomplete ({type(error).__name__}: {error})") from error


def _setting(entry: dict[str, Any]) -> tuple[Sampling, int]:
    values = {**entry}
    seed = _whole(values.pop("seed"))
    return Sampling(**values), seed


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"a whole number was wanted, got {value!r:.40}")
    return value


def _refused(reason: str) -> InputError:
    way_out = "choose a file that “Save run” has written"
    return InputError(f"this is not a saved run: {reason}; {way_out}")
