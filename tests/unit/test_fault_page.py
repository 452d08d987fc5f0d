"""The table of injected faults is that of the last full run, whole, and nothing in it misses its bar."""

import json
from pathlib import Path

import pytest
from bench import __main__ as bench
from bench.faults import FULL, KINDS, MOST_RECOVERY_S

pytestmark = pytest.mark.unit

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def report() -> dict:
    return json.loads((DOCS / "faults.json").read_text(encoding="utf-8"))


def test_every_kind_of_fault_was_injected_as_often_as_a_full_run_does(report: dict) -> None:
    assert len({one["fault"] for one in report["faults"]}) == len(KINDS)
    injected = sorted(one["injected"] for one in report["faults"])
    assert all(done >= wanted for done, wanted in zip(injected, sorted(KINDS.values()), strict=True))
    assert sum(one["injected"] >= FULL for one in report["faults"]) >= 2


def test_no_bar_is_missed(report: dict) -> None:
    for one in report["faults"]:
        lost = {name: one[name] for name in ("without_row", "words_lost", "words_doubled", "samples_lost", "breaches")}
        assert set(lost.values()) == {0}, one
        assert one["recovery_s"] is None or one["recovery_s"][-1] <= MOST_RECOVERY_S, one
        assert one["words"] > 0, one


def test_the_page_names_the_command_the_commit_and_each_fault(report: dict) -> None:
    page = (DOCS / "faults.md").read_text(encoding="utf-8")
    assert report["command"].split()[-1] in bench.ON_REQUEST
    assert f"`{report['command']}`" in page
    for one in report["faults"]:
        assert one["commit"] in page
        assert one["fault"].replace("|", "\\|") in page
