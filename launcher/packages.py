"""The two ways in which packages get into .venv: fast with uv, or else with pip.

uv reads none of pip's settings: we ask pip for them and hand them to uv in variables,
so that mirrors, proxies and packs count for both. None is ever written to a file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.places import PYTHON, ROOT, UV_PIN, VENV, existing
from launcher.words import Stop

if TYPE_CHECKING:
    from typing import Any

    from launcher.workshop import Workshop

PIN = re.compile(r"^[\w.-]+==[\w.+-]+", re.MULTILINE)
# Linked to this folder, so that an edit counts at once. Its build needs setuptools,
# which is pinned, and so no network. A URI, since a path that ends in `[1]` is read as
# a request for extras.
LINK = ["--no-deps", "--no-build-isolation", "--editable", ROOT.as_uri()]
# pip's own parser, since it alone knows which of its files and variables wins.
ASK_PIP = """
import json, subprocess, sys
from pip._internal.commands import create_command
from pip._internal.models.index import PyPI
options = vars(create_command("install").parse_args([])[0])
if options["index_url"] == PyPI.simple_url:
    options["index_url"] = ""  # nobody has set one
uv = [sys.executable, "-m", "uv", "cache", "dir"]
options["uv_cache"] = subprocess.check_output(uv, text=True).strip()
print(json.dumps(options, default=str))
"""


def pip(*words: str) -> list[str]:
    """Write a command for the pip in .venv, which may change nothing outside."""
    return [str(PYTHON), "-u", "-m", "pip", "--require-virtualenv", *words]


def pins(wheels: dict[str, str], *files: str) -> list[str]:
    """Write the options that ask for what some requirements files pin.

    The pins are complete and all have wheels: nobody need look for dependencies, nor
    ever start a compiler. The wheels of a pack are asked for by their full names.
    """
    options = ["--no-deps", "--only-binary=:all:"]
    for name in files:
        path = ROOT / name
        if wheels:
            text = path.read_text(encoding="utf-8")
            path = VENV / name  # those for other platforms have no wheel
            path.write_text(PIN.sub(lambda p: wheels.get(p[0], p[0]), text), "utf-8")
        options += ["-r", str(path)]
    return options


def install_with_pip(files: list[str], workshop: Workshop) -> None:
    """Install what some files pin, and the package; raises Stop if that fails."""
    workshop.check(pip("install", *pins(workshop.wheels, *files)))
    workshop.check(pip("install", *LINK))


def fetch_uv(workshop: Workshop) -> bool:
    """Install uv; returns whether it can be had here."""
    try:  # without a network, pip says so in the end; no need to wait for it twice
        words = ["--quiet", "--retries=2", *pins(workshop.wheels, UV_PIN)]
        workshop.check(pip("install", *words))
    except Stop:
        return False
    return True


def install_with_uv(files: list[str], workshop: Workshop) -> bool:
    """Install what some files pin, and the package; tells whether that worked.

    What else is in .venv stays, since a learner may have added packages.
    """
    options = workshop.ask(ASK_PIP)
    if not options:
        return False
    settings = uv_settings(options)
    if existing(Path(options["uv_cache"])).stat().st_dev != VENV.stat().st_dev:
        settings["UV_LINK_MODE"] = "copy"  # no link leads to another disk
    uv = [str(PYTHON), "-m", "uv", "pip", "install", "--python", str(PYTHON)]
    if options["no_index"]:
        uv.append("--no-index")
    wanted = (pins(workshop.wheels, *files), LINK)
    statuses = (workshop.run([*uv, *words], **settings) for words in wanted)
    return not any(statuses)  # the first that fails is the last


def uv_settings(options: dict[str, Any]) -> dict[str, str]:
    """Turn pip's options into the variables that mean the same to uv.

    What pip leaves open is left to uv's own variables and files.
    """
    bundle = os.getenv("REQUESTS_CA_BUNDLE") or os.getenv("CURL_CA_BUNDLE")
    certificate = bundle or options["cert"] or ""  # in this order, as for pip
    kind = "DIR" if Path(certificate).is_dir() else "FILE"
    settings = {
        "UV_DEFAULT_INDEX": options["index_url"],
        "UV_INDEX": " ".join(options["extra_index_urls"]),
        "UV_INDEX_STRATEGY": "unsafe-best-match",  # all indexes are equal, as for pip
        "UV_FIND_LINKS": ",".join(options["find_links"]),
        "UV_INSECURE_HOST": " ".join(options["trusted_hosts"]),
        "UV_SYSTEM_CERTS": "1",  # as pip does from 24.2 on
        "HTTP_PROXY": options["proxy"],
        "HTTPS_PROXY": options["proxy"],
        f"SSL_CERT_{kind}": certificate,
        "SSL_CLIENT_CERT": options["client_cert"],
    }
    return {name: value for name, value in settings.items() if value}
