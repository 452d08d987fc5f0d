"""The rows of the history for verbs that look at all of them: from the daemon, else from its file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from v2m.client import Client, DaemonNotRunningError
from v2m.config import load_settings

_PAGE: Final = 500  # rows asked for at once; the daemon's pages are smaller when texts are long


def entries() -> Iterator[dict[str, Any]]:
    """Yield every row, newest first, as LIST_HISTORY has them; the daemon is asked, without one its file is read.

    Raises:
        ClientError, V2mError: neither can be read.
    """
    with Client() as client:
        before: dict[str, int] = {}
        while True:
            try:
                page = client.call("LIST_HISTORY", limit=_PAGE, **before)
            except DaemonNotRunningError:
                if before:
                    raise
                break
            yield from page["entries"]
            if not page["more"] or not page["entries"]:
                return
            before = {"before": page["entries"][-1]["dictation"]}
    yield from _from_file(database())


def database() -> Path:
    """Return where the history is. Raises ConfigError."""
    return load_settings().paths.state() / "history.db"


def _from_file(path: Path) -> Iterator[dict[str, Any]]:
    from v2m.application.entries import entry_data
    from v2m.infrastructure.history.reader import read_entries

    for entry in read_entries(path):
        yield entry_data(entry)
