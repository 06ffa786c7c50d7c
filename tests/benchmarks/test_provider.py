"""A provider is measured against the CPU, and its nodes are counted in the title."""

from __future__ import annotations

import pytest

from benchmarks import __main__ as command
from benchmarks import speed
from benchmarks.provider import measure
from benchmarks.speed import Sizes
from llm_walkthrough.catalogue import find
from llm_walkthrough.errors import InputError


@pytest.mark.model
def test_both_sides_of_every_row_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "REST_SECONDS", 0)
    monkeypatch.setattr(Sizes, "prompt", 8)
    monkeypatch.setattr(Sizes, "new", 2)
    report = measure(find(), lambda *_: None, 1, threads=1, provider="cpu")
    assert "on CPUExecutionProvider" in report.title
    assert [row.what for row in report.rows] == ["prefill", "greedy decode"]
    assert all(row.against == "the CPU" and row.theirs for row in report.rows)


@pytest.mark.model
def test_naming_a_provider_is_enough_to_have_it_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.main(["--provider", "abacus"]) == 2
    assert "no provider 'abacus' here" in capsys.readouterr().err
    with pytest.raises(InputError, match="no provider"):
        measure(find(), lambda *_: None, provider="abacus")
