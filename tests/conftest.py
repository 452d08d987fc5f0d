"""What holds for every test: the ledger may be refused nothing; with CI in the environment nothing may be skipped.

Every skip is named with its reason, and fails the run. Files with real desktops come first, so that no worker is left
alone with a slow one at the end.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.daemon import sweep_homes

# Engines that tests load in this process report to nobody; in v2m's own processes that is v2m's promise.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

SLOWEST_FIRST = ("desktop", "faults", "integration", "contract")
_TESTS = Path(__file__).parent

_skipped: dict[str, str] = {}


class _Refusals(logging.Handler):
    """Keeps what the ledger logs when the history refuses a step: our mistake, which no dictation may be lost to."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.errors.append(f"{record.getMessage()}: {error}")


@pytest.fixture(autouse=True)
def _every_step_is_allowed() -> Iterator[None]:
    """Fail a test in whose course a row was left behind."""
    refusals, ledger = _Refusals(), logging.getLogger("v2m.application.ledger")
    ledger.addHandler(refusals)
    yield
    ledger.removeHandler(refusals)
    assert not refusals.errors, refusals.errors


@pytest.fixture(scope="session", autouse=True)
def _no_daemons_of_earlier_runs() -> None:
    """End what a run that was killed has left; its own fixtures could not."""
    sweep_homes()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(_TESTS).parts[0]
        return SLOWEST_FIRST.index(folder) if folder in SLOWEST_FIRST else len(SLOWEST_FIRST)

    items.sort(key=rank)  # stable: within a folder everything stays in its order


def _is_ci() -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true"}


def _note(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _skipped[report.nodeid] = reason.removeprefix("Skipped: ")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _note(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    _note(report)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _is_ci() and _skipped:
        terminalreporter.section("skipped, and CI allows none", red=True)
        for test, reason in _skipped.items():
            terminalreporter.write_line(f"{test}: {reason}")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    # of pytest-xdist: files that are skipped whole are known to its workers only
    _skipped.update(getattr(node, "workeroutput", {}).get("skipped", {}))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["skipped"] = _skipped
    elif _is_ci() and _skipped and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    elif _is_ci() and _skipped and session.exitstatus == pytest.ExitCode.TESTS_FAILED:
        session.exitstatus = pytest.ExitCode.INTERRUPTED  # scripts/test asks only failures again, and would forget it
