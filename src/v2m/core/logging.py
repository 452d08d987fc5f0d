"""Log lines to standard error: with syslog priorities where systemd's journal reads them, plain elsewhere.

Dictated text and secrets are logged at no level. Other libraries speak from WARNING on only: the D-Bus
library would show whole messages at DEBUG.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Final, TextIO

_PRIORITY: Final = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_dictation: ContextVar[int | None] = ContextVar("dictation", default=None)


@contextmanager
def about_dictation(dictation: int) -> Iterator[None]:
    """Let every log line of this task and its children name the dictation."""
    token = _dictation.set(dictation)
    try:
        yield
    finally:
        _dictation.reset(token)


class _Lines(logging.Formatter):
    """One record as lines; in the journal each begins with its priority, those of a traceback too."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__("%(name)s: %(message)s" if journal else "%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._journal = journal

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the first lines, with the dictation they are about."""
        line = super().formatMessage(record)
        dictation = _dictation.get()
        return line if dictation is None else f"{line} [dictation {dictation}]"

    def format(self, record: logging.LogRecord) -> str:
        """Return the whole record."""
        text = super().format(record)
        if not self._journal:
            return text
        prefix = f"<{_PRIORITY.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in text.splitlines())


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines until nobody reads them any more."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Write to nowhere from now on, so that what is still buffered cannot spoil the exit status."""
        del record
        with suppress(OSError, ValueError, AttributeError):
            nowhere, gone = os.open(os.devnull, os.O_WRONLY), self.stream.fileno()
            if nowhere != gone:  # a closed descriptor is the first to be given out again
                os.dup2(nowhere, gone)
                os.close(nowhere)


def configure(level: str, *, journal_stream: str | None, stream: TextIO | None = None) -> None:
    """Send log records to `stream` (standard error); calling again replaces the level.

    `journal_stream` is `$JOURNAL_STREAM`; it counts only when it names `stream`, so that redirected
    output stays plain. A stream that is closed never raises into the program.
    """
    stream = stream or sys.stderr
    handler = _Handler(stream)
    handler.setFormatter(_Lines(journal=_is_journal(stream, journal_stream)))
    root = logging.getLogger()
    for former in [handler for handler in root.handlers if isinstance(handler.formatter, _Lines)]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))
    logging.getLogger("v2m").setLevel(level.upper())
    logging.raiseExceptions = False


def _is_journal(stream: TextIO, journal_stream: str | None) -> bool:
    if not journal_stream:
        return False
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):  # closed, or no file
        return False
    return journal_stream == f"{found.st_dev}:{found.st_ino}"
