"""Execution providers, and the options of a session that computes with one.

Knows nothing of graphs, and holds no session.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections import Counter
from functools import cache
from typing import Any

import onnxruntime as ort

from llm_walkthrough.errors import InputError
from llm_walkthrough.machine.facts import cores, place

CPU = "CPUExecutionProvider"
_FATAL_ONLY = 4  # onnxruntime's log severity; what is an error is raised as well
_RANK = {"CPU": 0, "GPU": 1, "NPU": 2}  # of the devices that one provider may have


@cache  # onnxruntime refuses a second registration
def plug_ins() -> dict[str, str]:
    """Register the plug-ins that are installed; tells by module why one failed."""
    states = {}
    for name in (module.name for module in pkgutil.iter_modules()):
        if name.startswith(("onnxruntime_ep_", "onnxruntime_qnn")):
            try:
                plug_in = importlib.import_module(name)
                what = plug_in.get_ep_name(), plug_in.get_library_path()
                ort.register_execution_provider_library(*what)
                states[name] = ""
            except Exception as error:  # noqa: BLE001 - a stranger's code raises anything
                states[name] = " ".join(f"{type(error).__name__}: {error}".split())
    return states


def session_options(
    threads: int | None, provider: str | None
) -> tuple[ort.SessionOptions, list[str] | None]:
    """Return options, and the names of providers unless the options hold a device.

    InputError if no thread may be used, or there is no such provider.
    """
    if threads is not None and threads < 1:
        what = f"threads must be at least 1, got {threads}"
        raise InputError(f"{what}; leave it out for one per core")
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = threads or _threads()
    if place():  # others want the core on which a thread would wait for its next task
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if provider is None:
        return options, [CPU]
    plug_ins()
    ranked = sorted(ort.get_ep_devices(), key=lambda one: _RANK[one.device.type.name])
    devices = {one.ep_name: one for one in ranked}
    known = {_short(name): name for name in (*devices, *ort.get_available_providers())}
    name = known.get(_short(provider))
    if name is None:
        what = f"there is no provider {provider!r} here; choose from {', '.join(known)}"
        way_out = "see in `llm-walkthrough doctor` what another lacks"
        raise InputError(f"{what}, or {way_out}")
    # what it cannot compute goes to the CPU without a word: `placement` tells
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if name not in devices:
        return options, [name, CPU]
    options.add_provider_for_devices([devices[name]], {})
    return options, None


def _threads() -> int:
    """Return 0, one for each core; or how many there are if some are not for us.

    onnxruntime counts the machine's: in a container threads would wait for each other.
    """
    here = cores()
    ours = min(here.usable, math.ceil(here.quota or here.usable))
    return ours if ours < here.logical else 0


def placement(session: Any) -> str:  # noqa: ANN401 - onnxruntime has no types
    """Count the nodes on each provider of a session that was opened for a named one."""
    nodes = Counter(dict.fromkeys(session.get_providers(), 0))
    for part in session.get_provider_graph_assignment_info():
        nodes[part.ep_name] += len(part.get_nodes())
    return ", ".join(f"{count} on {name}" for name, count in nodes.items())


def _short(name: str) -> str:
    return name.lower().removesuffix("executionprovider")
