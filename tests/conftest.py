"""With CI in the environment nothing may be skipped: every skip is named with its reason, and fails the run."""

import os
from typing import Any

import pytest

_skipped: dict[str, str] = {}


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
