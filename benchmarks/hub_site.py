"""A JupyterHub on this machine alone, for a while: packages, models, accounts, hub.

It is set up with the very files in binder/hub/ that a class would get, in a temporary
folder, with an account of this system for each learner. Knows nothing of what learners
do there: `hub` does.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import httpx2
import psutil

from benchmarks.lab import LOOPBACK, free_port
from llm_walkthrough.catalogue import models_folder
from llm_walkthrough.errors import InputError
from llm_walkthrough.machine.pythons import NEWEST, OLDEST

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "binder" / "hub" / "Dockerfile"  # names the JupyterHub that we use
PROXY = "configurable-http-proxy@5.3.0"
LEFT_OUT = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "my_course", "packed"
)
ACCOUNT = "lw-learner-{:02}"
PATIENCE = 300  # seconds for the hub, and for a learner's server

# What the hub is told besides course.py: this machine, and who may come.
CONFIG = """
load_subconfig({course!r})
c.JupyterHub.bind_url = "http://{host}:{port}"
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://{host}:{api_port}"
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = {password!r}
c.Authenticator.allowed_users = {names!r}
"""


def python_for_all() -> str:
    """Return a Python that runs the course, and that other accounts may start.

    Raises:
        InputError: there is none, or something else is missing.
    """
    wanted = ("useradd", "userdel", "npm")
    missing = [name for name in wanted if shutil.which(name) is None]
    if sys.platform != "linux" or os.geteuid() or missing:
        raise InputError(
            "a hub makes accounts for its learners and fetches its proxy with npm; run "
            f"this as root, on Linux, with {', '.join(missing or wanted)} on the PATH"
        )
    supported = (
        f"import sys; sys.exit(not {OLDEST} <= sys.version_info[:2] <= {NEWEST})"
    )
    for python in (f"{sys.base_prefix}/bin/python3", "/usr/bin/python3"):
        with suppress(OSError):
            words = [python, "-c", supported]
            if not subprocess.run(words, check=False, user="nobody").returncode:  # noqa: S603
                return python
    raise InputError(
        f"learners cannot start {sys.base_prefix}/bin/python3, nor is /usr/bin/python3 "
        "one that the course runs on; install a Python that every account may start"
    )


@dataclass(frozen=True)
class Site:
    """What all learners share, in a folder."""

    home: Path

    @property
    def course(self) -> Path:
        """The copy of this repository, with the models."""
        return self.home / "course"

    @property
    def environment(self) -> Path:
        """The virtual environment."""
        return self.home / "environment"

    @property
    def wheels(self) -> Path:
        """What was downloaded for the environment."""
        return self.home / "wheels"

    def set_up(self, python: str) -> None:
        """Make all of it; the models are those of this clone.

        Raises:
            InputError: a command fails.
        """
        self.home.chmod(0o755)  # learners are to get in
        shutil.copytree(ROOT, self.course, ignore=LEFT_OUT)
        for model in models_folder().glob("smollm2-*"):
            there = self.course / "models" / model.name
            shutil.copytree(model, there, ignore=LEFT_OUT, dirs_exist_ok=True)
        binder = self.course / "binder"
        (pin,) = re.findall(r"jupyterhub==\S+", DOCKERFILE.read_text("utf-8"))
        pip = [sys.executable, "-m", "pip", "--quiet", "--python"]
        pins = ["pip", pin, "--requirement", binder / "requirements.txt"]
        self._run(python, "-m", "venv", "--without-pip", self.environment)
        self._run(*pip, python, "download", "--dest", self.wheels, *pins)
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels)}
        new = self.environment / "bin" / "python"
        self._run(*pip, new, "install", "pip", **offline)
        self._run(binder / "hub" / "install", pin, **offline)
        self._run("npm", "install", "--prefix", self.home / "proxy", PROXY)

    def variables(self) -> Mapping[str, str]:
        """Return this process's variables, but for those of its Python and course."""
        own = ("LLM_WALKTHROUGH", "JUPYTER", "PYTHON", "VIRTUAL_ENV")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(own)}
        commands = self.environment / "bin", self.home / "proxy/node_modules/.bin"
        kept["PATH"] = ":".join([*map(str, commands), kept["PATH"]])
        return kept | {"LLM_WALKTHROUGH_COURSE": str(self.course)}

    def _run(self, *command: str | Path, **variables: str) -> None:
        done = subprocess.run(  # noqa: S603 - our own commands
            command,
            cwd=self.home,
            env={**self.variables(), **variables},
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            words = " ".join(map(str, command))
            raise InputError(f"`{words}` fails; it said:\n{done.stdout[-2000:]}")


@contextmanager
def accounts(count: int, homes: Path) -> Iterator[list[str]]:
    """Make accounts with a home that is closed to others, and remove them."""
    homes.mkdir()
    names: list[str] = []
    try:
        for number in range(1, count + 1):
            name = ACCOUNT.format(number)
            words = ["useradd", "--create-home", "--home-dir", str(homes / name), name]
            if subprocess.run(words, check=False).returncode:  # noqa: S603
                raise InputError(f"{name} cannot be made; try `userdel {name}` first")
            names.append(name)
            (homes / name).chmod(0o700)
        yield names
    finally:
        for process in processes_of(names):
            with suppress(psutil.NoSuchProcess):
                process.kill()
                process.wait(PATIENCE)
        for name in names:
            subprocess.run(["userdel", name], check=False)  # noqa: S603, S607


def processes_of(names: Sequence[str]) -> list[psutil.Process]:
    """List what runs under some accounts."""
    every = psutil.process_iter(["username"])
    return [process for process in every if process.info["username"] in names]


@dataclass(frozen=True)
class Learner:
    """A learner whose server runs."""

    name: str
    token: str  # of the API, as good as the password
    addresses: tuple[str, str]  # of the server: behind the proxy, and its own port
    server: psutil.Process

    def variable(self, name: str) -> str:
        """Return what the server has under this name in its environment."""
        return str(self.server.environ()[name])


@dataclass(frozen=True)
class Hub:
    """A hub that runs."""

    address: str
    password: str

    def log_in(self, name: str) -> Learner:
        """Log a learner in, and start the server.

        Raises:
            InputError: the server does not start.
        """
        who = {"username": name, "password": self.password}
        api = httpx2.Client(base_url=f"{self.address}hub/api/users/", timeout=60)
        token = api.post(f"{name}/tokens", json={"auth": who}).raise_for_status().json()
        api.headers["Authorization"] = f"token {token['token']}"
        api.post(f"{name}/server").raise_for_status()

        def is_ready() -> bool:
            user = api.get(name).raise_for_status().json()
            return bool(user["servers"].get("", {}).get("ready"))

        wait_for(is_ready, f"the server of {name}")
        (server,) = (
            process
            for process in processes_of([name])
            if "JUPYTERHUB_SERVICE_URL" in process.environ()
            and process.parent().username() != name
        )
        own = server.environ()["JUPYTERHUB_SERVICE_URL"]
        behind = f"{self.address}user/{name}/"
        return Learner(name, token["token"], (behind, own), server)


@contextmanager
def started(site: Site, names: Sequence[str]) -> Iterator[Hub]:
    """Run a hub for these accounts until the block ends.

    Raises:
        InputError: it does not start.
    """
    folder = site.home / "hub"
    folder.mkdir(mode=0o700)  # with its secrets
    port, hub_port, api_port = free_port(), free_port(), free_port()
    hub = Hub(f"http://{LOOPBACK}:{port}/", token_hex())
    config, log = folder / "config.py", folder / "log"
    config.write_text(
        CONFIG.format(
            course=str(site.course / "binder" / "hub" / "course.py"),
            host=LOOPBACK,
            port=port,
            hub_port=hub_port,
            api_port=api_port,
            password=hub.password,
            names=set(names),
        )
    )
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - the command that was installed
            [site.environment / "bin" / "jupyterhub", "--config", config],
            cwd=folder,
            env=site.variables(),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(lambda: answers(f"{hub.address}hub/api/"), "the hub", process)
        yield hub
    except InputError as error:
        raise InputError(f"{error}; it said:\n{log.read_text()[-3000:]}") from error
    finally:
        process.terminate()
        process.wait(PATIENCE)


def answers(address: str) -> bool:
    """Tell whether there is a server."""
    with suppress(httpx2.TransportError):
        return bool(httpx2.get(address).is_success)
    return False


def wait_for(
    is_there: Callable[[], bool],
    what: str,
    process: subprocess.Popen[bytes] | None = None,
) -> None:
    """Wait until something is there; InputError if it takes too long or has ended."""
    end = time.monotonic() + PATIENCE
    while not is_there():
        if time.monotonic() > end or (process and process.poll() is not None):
            raise InputError(f"{what} does not start")
        time.sleep(0.3)
