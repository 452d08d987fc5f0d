"""Log lines: priorities only where the journal reads them, the dictation's id, no noise from libraries."""

import asyncio
import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from v2m.core.logging import about_dictation, configure

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging is global: leave it as it was."""
    root, ours = logging.getLogger(), logging.getLogger("v2m")
    before = (root.handlers[:], root.level, ours.level, logging.raiseExceptions)
    yield
    root.handlers[:], logging.raiseExceptions = before[0], before[3]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def logged_to(file: Path, level: str = "info", *, journal_stream: str | None = None, own: bool = False) -> str:
    with file.open("w") as stream:
        found = os.fstat(stream.fileno())
        configure(level, journal_stream=f"{found.st_dev}:{found.st_ino}" if own else journal_stream, stream=stream)
        log = logging.getLogger("v2m.test")
        log.debug("a detail")
        log.info("a fact")
        log.warning("two\nlines")
        try:
            raise RuntimeError("broken")
        except RuntimeError:
            log.exception("it failed")
    return file.read_text()


def test_in_the_journal_every_line_has_its_priority(tmp_path: Path) -> None:
    lines = logged_to(tmp_path / "log", "debug", own=True).splitlines()
    assert lines[:4] == ["<7>v2m.test: a detail", "<6>v2m.test: a fact", "<4>v2m.test: two", "<4>lines"]
    assert lines[4] == "<3>v2m.test: it failed"
    assert lines[-1] == "<3>RuntimeError: broken"
    assert all(line.startswith("<3>") for line in lines[4:])


@pytest.mark.parametrize("journal_stream", [None, "", "1:2", "nonsense"])
def test_elsewhere_lines_are_plain(tmp_path: Path, journal_stream: str | None) -> None:
    text = logged_to(tmp_path / "log", journal_stream=journal_stream)
    assert "<" not in text.replace("<module>", "")
    assert " INFO v2m.test: a fact\n" in text
    assert "a detail" not in text


def test_a_stream_that_is_no_file_is_plain() -> None:
    stream = io.StringIO()
    configure("info", journal_stream="1:2", stream=stream)
    logging.getLogger("v2m").info("a fact")
    assert stream.getvalue().endswith(" INFO v2m: a fact\n")


def test_lines_name_the_dictation_they_are_about() -> None:
    stream = io.StringIO()
    configure("info", journal_stream=None, stream=stream)
    log = logging.getLogger("v2m")

    async def one(dictation: int) -> None:
        with about_dictation(dictation):
            await asyncio.sleep(0)
            log.info("of %d", dictation)

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(one(1))
            group.create_task(one(2))
        log.info("of none")

    asyncio.run(both())
    ends = [line.split(": ", 1)[1] for line in stream.getvalue().splitlines()]
    assert ends == ["of 1 [dictation 1]", "of 2 [dictation 2]", "of none"]


def test_other_libraries_are_not_heard_below_warning_at_any_level() -> None:
    stream = io.StringIO()
    configure("debug", journal_stream=None, stream=stream)
    logging.getLogger("dbus_fast").debug("a whole message")
    logging.getLogger("asyncio").info("a selector")
    logging.getLogger("dbus_fast").warning("trouble")
    assert [line.split(": ", 1)[1] for line in stream.getvalue().splitlines()] == ["trouble"]


def test_configuring_again_changes_the_level_and_repeats_no_line() -> None:
    stream = io.StringIO()
    configure("debug", journal_stream=None, stream=stream)
    configure("error", journal_stream=None, stream=stream)
    logging.getLogger("v2m").warning("unheard")
    logging.getLogger("v2m").error("heard")
    assert len(stream.getvalue().splitlines()) == 1


CLOSED = """
import logging, os, sys
from v2m.core.logging import configure
configure("info", journal_stream="1:2")
if sys.argv[1] == "closed": os.close(2)
for _ in range(3): logging.getLogger("v2m").info("a fact")
print("alive")
"""


@pytest.mark.parametrize("how", ["closed", "broken pipe", "never opened"])
def test_a_log_that_nobody_reads_does_not_stop_the_program(how: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", CLOSED, how]
    if how == "never opened":
        command = ["sh", "-c", '"$@" 2>&-', "sh", *command]
    try:
        child = subprocess.run(command, stdout=subprocess.PIPE, stderr=writer, timeout=30)
    finally:
        os.close(writer)
    assert (child.returncode, child.stdout) == (0, b"alive\n")


def test_importing_configures_nothing() -> None:
    code = "import logging, v2m.core.logging; print(logging.getLogger().handlers, logging.getLogger('v2m').level)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "[] 0"
