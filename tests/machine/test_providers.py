"""A provider is found by its name, plug-ins included, and nodes are counted on it.

`Stand` takes the place of onnxruntime where a plug-in or a device is needed that this
machine has not; what needs neither is asked of onnxruntime itself.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace

import onnx
import onnxruntime as ort
import psutil
import pytest

from llm_walkthrough.errors import InputError
from llm_walkthrough.machine import providers
from llm_walkthrough.machine.providers import CPU, placement, plug_ins, session_options

QNN = "QNNExecutionProvider"
ADD_ONE = """<ir_version: 10, opset_import: ["": 21]>
add_one (float[n] x) => (float[n] y) <float one = {1.0}> { y = Add (x, one) }"""
Install = Callable[..., "Stand"]


def device(provider: str, kind: str) -> SimpleNamespace:
    of_kind = SimpleNamespace(type=SimpleNamespace(name=kind))
    return SimpleNamespace(ep_name=provider, device=of_kind)


class Stand(SimpleNamespace):
    """What onnxruntime does with plug-ins: one that is registered shows its devices."""

    def __init__(self, devices: Sequence[SimpleNamespace]) -> None:
        self.brought = devices
        self.registered: list[str] = []
        self.there = [device(CPU, "CPU")]

    def get_available_providers(self) -> list[str]:
        return ["AzureExecutionProvider", CPU]

    def get_ep_devices(self) -> list[SimpleNamespace]:
        return self.there

    def register_execution_provider_library(self, name: str, path: str) -> None:
        if path == "broken":
            raise RuntimeError("Failed to load library\n broken")
        assert name not in self.registered, "onnxruntime refuses a second registration"
        self.registered.append(name)
        self.there = [*self.there, *self.brought]

    class SessionOptions:
        def __init__(self) -> None:
            self.entries: dict[str, str] = {}
            self.chosen: list[SimpleNamespace] = []
            self.add_session_config_entry = self.entries.__setitem__

        def add_provider_for_devices(
            self, devices: list[SimpleNamespace], _: object
        ) -> None:
            self.chosen += devices


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Give the machine this plug-in of QNN, with a library and devices."""

    def install(library: str, *devices: SimpleNamespace) -> Stand:
        stand, module = Stand(devices), "onnxruntime_qnn"
        package = {"get_ep_name": lambda: QNN, "get_library_path": lambda: library}
        monkeypatch.setattr(providers, "ort", stand)
        monkeypatch.setitem(sys.modules, module, SimpleNamespace(**package))
        modules = [SimpleNamespace(name=name) for name in (module, "onnxruntime", "os")]
        monkeypatch.setattr(pkgutil, "iter_modules", lambda: modules)
        return stand

    plug_ins.cache_clear()
    yield install
    plug_ins.cache_clear()


def placed(provider: str) -> str:
    options, names = session_options(1, provider)
    model = onnx.parser.parse_model(ADD_ONE).SerializeToString()
    return placement(ort.InferenceSession(model, options, providers=names))


def test_without_a_name_the_cpu_computes_and_no_plug_in_is_loaded(
    install: Install,
) -> None:
    stand = install("qnn.dll", device(QNN, "NPU"))
    options, names = session_options(None, None)
    assert (names, options.entries, stand.registered) == ([CPU], {}, [])


def test_a_waiting_thread_sleeps_where_others_want_its_core(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("qnn.dll")
    monkeypatch.setattr(providers, "place", lambda: "JupyterHub")
    options, _ = session_options(None, None)
    assert options.entries == {"session.intra_op.allow_spinning": "0"}


def test_a_plug_in_is_registered_once_under_the_name_of_its_provider(
    install: Install,
) -> None:
    stand = install("qnn.dll", device(QNN, "NPU"))
    assert plug_ins() == plug_ins() == {"onnxruntime_qnn": ""}
    assert stand.registered == [QNN]


def test_a_plug_in_that_cannot_be_loaded_is_named_with_the_reason_in_one_line(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("broken")
    (why,) = plug_ins().values()
    assert why == "RuntimeError: Failed to load library broken"
    plug_ins.cache_clear()
    monkeypatch.setitem(sys.modules, "onnxruntime_qnn", None)
    (why,) = plug_ins().values()
    assert why.startswith("ModuleNotFoundError")


@pytest.mark.parametrize("name", ["qnn", "QNN", QNN])
def test_a_plug_in_is_chosen_by_any_of_its_names_on_its_best_device(
    install: Install, name: str
) -> None:
    install("qnn.dll", *(device(QNN, kind) for kind in ("GPU", "NPU", "CPU")))
    options, names = session_options(None, name)
    assert names is None  # the options hold a device instead
    assert [one.device.type.name for one in options.chosen] == ["NPU"]


def test_a_plug_in_without_a_device_is_no_provider(install: Install) -> None:
    install("qnn.dll")
    with pytest.raises(InputError, match=r"no provider 'qnn' here; choose .*azure"):
        session_options(None, "qnn")


def test_a_provider_that_does_not_exist_is_named_beside_those_that_do() -> None:
    with pytest.raises(InputError, match=r"'abacus' here; choose from .*cpu.*doctor"):
        session_options(None, "abacus")


def test_placement_counts_the_nodes_of_each_provider_also_of_one_that_has_none() -> (
    None
):
    assert placed("cpu") == f"1 on {CPU}"
    if "AzureExecutionProvider" in ort.get_available_providers():  # takes no node
        assert placed("azure") == f"0 on AzureExecutionProvider, 1 on {CPU}"


def test_placement_adds_up_the_parts_of_a_graph() -> None:
    parts = [(QNN, 3), (CPU, 1), (QNN, 2)]
    session = SimpleNamespace(
        get_providers=lambda: [QNN, CPU],
        get_provider_graph_assignment_info=lambda: [
            SimpleNamespace(ep_name=name, get_nodes=lambda count=count: [None] * count)
            for name, count in parts
        ],
    )
    assert placement(session) == f"5 on {QNN}, 1 on {CPU}"


def test_a_process_that_may_use_fewer_cores_takes_no_more_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cores = range(8)
    monkeypatch.setattr(psutil, "cpu_count", lambda **_: len(cores))
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda _: cores, raising=False)
    assert session_options(None, None)[0].intra_op_num_threads == 0  # one per core
    cores = range(3)
    monkeypatch.setattr(psutil, "cpu_count", lambda **_: 8)
    assert session_options(None, None)[0].intra_op_num_threads == len(cores)
    assert session_options(5, None)[0].intra_op_num_threads == 5
