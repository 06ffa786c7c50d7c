from __future__ import annotations

from pathlib import Path

import httpx2
import psutil
import pytest

from benchmarks.browsers import memory_of
from benchmarks.page import Folder, is_inside, kept, same

RUN = '{"model": "one", "steps": [[1, 0.5, 0], [2, null, 0], [3, 0.1, 0]]}'


def test_only_this_machine_is_inside() -> None:
    assert is_inside("http://127.0.0.1:1234/panel/page.js")
    assert is_inside("blob:http://127.0.0.1:1234/0-0")
    assert is_inside("data:,")
    assert not is_inside("https://example.org/127.0.0.1")
    assert not is_inside("http://localhost.example.org/")


def test_runs_are_the_same_if_all_but_the_name_of_the_model_is() -> None:
    assert same(RUN, RUN.replace("one", "two"))
    assert not same(RUN, RUN.replace("0.5", "0.6"))


def test_the_tokens_that_two_runs_share_are_counted() -> None:
    assert kept(RUN, RUN.replace("0.5", "0.6")) == 3
    assert kept(RUN, RUN.replace("[2,", "[7,")) == 2


def test_a_folder_is_served_from_time_to_time_at_one_address(tmp_path: Path) -> None:
    (tmp_path / "it.mjs").write_bytes(b"x" * 100_000)
    folder = Folder(tmp_path)
    addresses = []
    for _ in range(2):
        with folder.served() as address:
            addresses.append(address)
            answer = httpx2.get(address + "it.mjs")
            assert answer.headers["Content-Type"] == "text/javascript"
            assert len(answer.content) == 100_000
    assert addresses == [address] * 2
    assert folder.num_sent == 200_000
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(address)


def test_the_memory_of_a_process_is_counted() -> None:
    assert memory_of(psutil.Process()) > 1_000_000
