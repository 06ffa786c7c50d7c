"""A model folder made from a repository of the Hugging Face hub, whole or not at all.

Takes what one model needs, at one commit, compares each file with the hash that the hub
names, and goes on where an earlier try was cut off. `huggingface_hub` does the talking,
so that HF_TOKEN and its other variables count. Knows nothing of the catalogue.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tomllib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from threading import Thread
from types import SimpleNamespace

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when the library loads

from huggingface_hub import HfApi, constants, errors, hf_hub_url, try_to_load_from_cache
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import ModelInfo, RepoSibling
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]
from huggingface_hub.utils.sha import git_hash

from llm_walkthrough.conversion.convert import Variant, convert
from llm_walkthrough.conversion.download import RULE, Repository, Show
from llm_walkthrough.conversion.record import sha256, trouble, write_record
from llm_walkthrough.errors import InputError
from llm_walkthrough.machine import storage
from llm_walkthrough.model_files.onnx_file import bytes_needed, read_structure

_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
_REFUSALS = {getattr(errors, name): said for name, said in _TABLES["refusals"].items()}
_OTHER_DEVICES, _SMALL_FILES = map(re.compile, _TABLES["names"].values())
_HASH = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_SECONDS, _MOST_SECONDS = 10.0, 60.0  # without a word from the hub, and in all
_ROOM = {"int4": 2.5, "float32": 9.0}  # times a GGUF file, for it and what it becomes


def make_folder(source: Repository, folder: Path, variant: Variant, show: Show) -> None:
    """Make a model folder of a repository, also over an older one.

    A GGUF file is converted to `variant`; an ONNX model is taken as it is. What cannot
    be had or used is an InputError, and so is too little room; errors of the disk pass.
    """
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # we say it ourselves
    revision = source.revision or None
    with _explained(source.name):
        ask = _cached if constants.HF_HUB_OFFLINE else _listed
        info = ask(source.name, revision)
        files = {one.rfilename: one for one in info.siblings or () if _is_sound(one)}
    waiting = folder.parent / "downloads"
    snapshot = _Snapshot(source.name, str(info.sha), files, waiting, show)
    chosen = choose(files, source.name, source.file)
    origin = {"repository": source.name, "file": chosen, "commit": snapshot.commit}
    if not trouble(folder, anew=False, **origin):
        return
    if chosen.endswith(".gguf"):
        (gguf,) = snapshot.download([chosen], _ROOM[variant])
        progress = partial(show, f"converting {source.name} to {variant}")
        convert(gguf, folder, variant=variant, origin=origin, progress=progress)
        return
    with storage.replacement(folder) as complete:
        parts = snapshot.download([chosen, *_small_files(files, chosen)])
        parts += snapshot.download(_weight_files(files, chosen, parts[0]))
        for part in parts:
            part.replace(complete / part.name)
        write_record(complete, is_as_published=True, **origin)


def _listed(name: str, revision: str | None) -> ModelInfo:
    """Ask what is in a repository; who answers byte by byte is not heard to the end."""
    told: Future[ModelInfo] = Future()
    ask = partial(HfApi().model_info, name, revision=revision, files_metadata=True)

    def hear() -> None:
        try:
            told.set_result(ask(timeout=_SECONDS))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            told.set_exception(error)

    Thread(target=hear, daemon=True).start()
    return told.result(_MOST_SECONDS)


def _cached(name: str, revision: str | None) -> ModelInfo:
    """List what other programs have brought of a repository, as the hub would."""
    bring = partial(HfApi().snapshot_download, local_files_only=True)
    folder = Path(bring(name, revision=revision, allow_patterns=[]))  # else all of it
    siblings = []
    for file in filter(Path.is_file, folder.rglob("*")):
        lfs = {"sha256": sha256(file), "size": file.stat().st_size, "pointerSize": 0}
        path = file.relative_to(folder).as_posix()
        siblings.append({"rfilename": path, "size": lfs["size"], "lfs": lfs})
    return ModelInfo(id=name, sha=folder.name, siblings=siblings)  # type: ignore[no-untyped-call]


def choose(paths: Iterable[str], repository: str, wanted: str = "") -> str:
    """Return the GGUF or ONNX file that `wanted` is a part of, or that `RULE` names.

    ONNX files go before GGUF files, those for a processor before others, and those of
    accuracy level 4, which are faster, before others. InputError if not one remains.

    >>> choose(["onnx/model.onnx", "onnx/model_q4.onnx"], "me/b")
    'onnx/model_q4.onnx'
    """
    models = [path for path in paths if path.endswith((".gguf", ".onnx"))]
    ranks = {path: _rank(path) for path in models if wanted.lower() in path.lower()}
    best = [path for path, rank in ranks.items() if rank == min(ranks.values())]
    if wanted not in models and len(best) != 1:
        found = ", ".join((best or models)[:9]) or "none"
        what = f"one GGUF or ONNX file of {wanted or 'any'!r} name, found {found}"
        way_out = f"name one of them as {repository}:FILE ({RULE})"
        raise InputError(f"{repository} should hold {what}; {way_out}")
    return wanted if wanted in models else best[0]


def _rank(path: str) -> tuple[bool, bool, int, bool]:
    """Return how far a file is from the one to take."""
    name, marks = path.lower(), _TABLES["marks"][path[-5:]]
    has = [re.search(f"(?<![a-z0-9])({mark})(?![a-z0-9])", name) for mark in marks]
    place = next((place for place, found in enumerate(has) if found), len(marks))
    is_elsewhere, is_slow = _OTHER_DEVICES.search(name), "acc-level-4" not in name
    return name.endswith(".gguf"), bool(is_elsewhere), place, is_slow


def _small_files(files: Iterable[str], chosen: str) -> list[str]:
    """Name the files on settings and tokens: beside the graph, else further up."""
    found: dict[str, str] = {}
    for folder in PurePosixPath(chosen).parents:
        near = [one for one in map(PurePosixPath, files) if one.parent == folder]
        small = {one.name: str(one) for one in near if _SMALL_FILES.fullmatch(one.name)}
        found = small | found
        if "tokenizer.json" in found:
            return [*found.values()]
    what = f"{chosen} has no tokenizer.json beside it, nor further up"
    raise InputError(f"{what}; choose another repository or file")


def _weight_files(files: Iterable[str], chosen: str, graph: Path) -> list[str]:
    """Name the files in which a graph keeps its weights; it may keep them itself."""
    places = bytes_needed(graph, read_structure(graph).graph)
    beside = PurePosixPath(chosen).parent
    for place in places:  # all become files of one folder, where JSON has its own names
        near = "/" not in place and not place.endswith(".json")
        if not near or str(beside / place) not in files:
            what = f"{chosen} keeps weights in {place!r}, which its repository does not"
            raise InputError(f"{what} have beside it; choose another file")
    return [str(beside / place) for place in sorted(places)]


@dataclass(frozen=True)
class _Snapshot:
    """A repository at one commit, and where its files are brought to."""

    name: str
    commit: str
    files: dict[str, RepoSibling]
    folder: Path
    show: Show

    def download(self, paths: Iterable[str], room: float = 1.0) -> list[Path]:
        """Bring files to folders named by hash; `room` times their size is needed."""
        wanted = {path: _hash_of(self.files[path])[:12] for path in paths}
        names = {path: PurePosixPath(path).name for path in wanted}
        here = {path: self.folder / wanted[path] / names[path] for path in wanted}
        total = sum(self.files[path].size or 0 for path in here)
        for path, part in here.items():
            if part.exists() and part.stat().st_size > (self.files[path].size or 0):
                part.unlink()  # there is nothing after it to ask for
        done = sum(part.stat().st_size for part in here.values() if part.exists())
        storage.require_room(self.folder, int(total * room) - done)

        def tell(size: int) -> None:
            nonlocal done
            done += size
            if done > total:
                what = f"{self.name} sends more than the {total:,} bytes that it lists"
                way_out = "fetch it again later, or choose another repository"
                raise InputError(f"{what}; {way_out}")
            self.show(f"downloading {self.name}", min(done / max(total, 1), 1.0))

        tell(0)
        for path, part in here.items():
            part.parent.mkdir(parents=True, exist_ok=True)
            self._bring(path, part, tell)
            if not _is_genuine(part, self.files[path]):
                part.unlink()
                what = f"{path} of {self.name} has another hash than the hub names"
                why = "it changed on the way and was thrown away, so fetch it again"
                raise InputError(f"{what}; {why}")
        return [*here.values()]

    def _bring(self, path: str, part: Path, tell: Callable[[int], None]) -> None:
        @contextmanager
        def heard(**_: object) -> Iterator[SimpleNamespace]:  # in place of a tqdm bar
            yield SimpleNamespace(update=tell)

        at = {"filename": path, "revision": self.commit}
        cached = try_to_load_from_cache(self.name, **at)
        if isinstance(cached, str):  # by another program
            shutil.copyfile(cached, part)
        with _explained(self.name), part.open("ab") as stream:
            http_get(
                hf_hub_url(self.name, **at),
                stream,
                resume_size=stream.tell(),
                headers=build_hf_headers() | {"Accept-Encoding": "identity"},
                expected_size=self.files[path].size,
                tqdm_class=heard,  # type: ignore[arg-type]
            )


def _is_sound(file: RepoSibling) -> bool:
    """Tell a file that may be asked for from one that would lead out of its folder."""
    parts = PurePosixPath(file.rfilename.replace("\\", "/")).parts
    is_near = file.rfilename.isprintable() and not {"/", ".."} & {*parts}
    return is_near and bool(_HASH.fullmatch(_hash_of(file))) and file.size is not None


def _hash_of(file: RepoSibling) -> str:
    """Return the SHA-256 of a large file, or Git's own SHA-1 of a small one."""
    return file.lfs.sha256 if file.lfs else str(file.blob_id)


def _is_genuine(part: Path, file: RepoSibling) -> bool:
    return _hash_of(file) == (sha256(part) if file.lfs else git_hash(part.read_bytes()))


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """What goes wrong between here and the hub becomes an `InputError`."""
    try:
        yield
    except Exception as error:  # the library raises anything for a wrong answer
        reason = " ".join(str(error).split()) or type(error).__name__
        why = f"cannot be reached ({reason:.200}): check the network and HF_ENDPOINT"
        known = [text for kind, text in _REFUSALS.items() if isinstance(error, kind)]
        is_of_disk = isinstance(error, OSError) and error.errno is not None
        if isinstance(error, InputError) or (is_of_disk and not known):
            raise
        said = [*known, why][0]
        raise InputError(f"{name} on {constants.ENDPOINT} {said}") from error
