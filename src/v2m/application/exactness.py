"""Which way of typing is exact for which characters under which keyboard layout, as `v2m outputs --check` found out.

Kept in one small file in the state directory. A file that is damaged counts as none: nothing is refused then.
"""

import asyncio
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from v2m.domain.delivery import Session
from v2m.domain.errors import StorageError
from v2m.domain.ports import Layouts, SessionEnvironment
from v2m.domain.text.classes import TextClass, classes_of

log = logging.getLogger(__name__)

VERSION: Final = 1
MAX_BYTES: Final = 1 << 20  # a layout takes about 2 kB
MAX_LAYOUTS: Final = 50  # the newest ones are kept
MAX_OUTPUTS: Final = 32  # of a layout; there are twelve

Results = Mapping[str, Mapping[TextClass, bool]]  # output → class → whether it arrived exactly
Table = dict[str, dict[str, dict[TextClass, bool]]]  # layout → results, in the order of their checks


class Exactness:
    """The table, and the layout that is live as far as was last looked."""

    def __init__(self, file: Path, layouts: Layouts) -> None:
        """Read the file; a damaged one is told in the log."""
        self._file = file
        self._layouts = layouts
        self._layout = ""
        self._table = load(file)

    async def look(self, session: Session) -> None:
        """Note which layout is live; asks nobody as long as every way of typing is exact as far as is known."""
        if any(not exact for _, results in self._of_all() for exact in results.values()):
            self._layout = await self._layouts.current(session)

    def refuses(self, output: str, text: str) -> str:
        """Return why an output is not to be used for a text under the layout of the last `look`; empty: it may."""
        known = self._table.get(self._layout, {}).get(output, {})
        inexact = sorted(kind.value for kind in classes_of(text) if not known.get(kind, True))
        if not inexact:
            return ""
        layout = f" under the layout {self._layout}" if self._layout else ""
        return f"{output} does not type {', '.join(inexact)} exactly{layout}, as v2m outputs --check found out."

    def noticing(self, sessions: SessionEnvironment) -> SessionEnvironment:
        """Return sessions that are looked at whenever one is found: that is what comes before each text."""
        return _Noticed(sessions, self)

    async def record(self, layout: str, results: Results) -> None:
        """Remember what a check found under a layout, in place of what was known of these outputs.

        Raises:
            StorageError: the file cannot be written; until the daemon ends it is known all the same.
        """
        known = self._table.pop(layout, {})
        known.update({output: dict(found) for output, found in results.items()})
        for oldest in list(known)[:-MAX_OUTPUTS]:
            del known[oldest]
        self._table[layout] = known
        for oldest in list(self._table)[:-MAX_LAYOUTS]:
            del self._table[oldest]
        content = json.dumps({"version": VERSION, "layouts": self._table}, ensure_ascii=False, indent=1)
        await asyncio.to_thread(_write, self._file, content)

    def _of_all(self) -> list[tuple[str, dict[TextClass, bool]]]:
        return [entry for outputs in self._table.values() for entry in outputs.items()]


class _Noticed:
    """`SessionEnvironment` that tells the table of each session."""

    def __init__(self, sessions: SessionEnvironment, exactness: Exactness) -> None:
        self._sessions = sessions
        self._exactness = exactness

    async def current(self, hint: Mapping[str, str]) -> Session:
        """Return the session, once its layout is known."""
        session = await self._sessions.current(hint)
        await self._exactness.look(session)
        return session


def load(file: Path) -> Table:
    """Return the table of a file; empty when there is none or it is not what we wrote."""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not keep us waiting
        with os.fdopen(fd, "rb") as opened:
            return parse(json.loads(opened.read(MAX_BYTES + 1) or b""))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s is left aside: %s", file.name, error)
        return {}


def parse(content: Any) -> Table:  # noqa: ANN401 - JSON
    """Return a table from its JSON form. Raises ValueError when that has another shape."""
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise ValueError("it is of another version")
    return {
        _text(layout): {_text(output): _results(found) for output, found in _object(outputs).items()}
        for layout, outputs in _object(content.get("layouts")).items()
    }


def _text(name: str) -> str:
    """Return a name that can be written. Raises ValueError: it holds half a character."""
    name.encode()
    return name


def _object(content: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    if not isinstance(content, dict):
        raise ValueError("it has something else than an object")  # noqa: TRY004 - what is read is bad, not the call
    return content


def _results(content: Any) -> dict[TextClass, bool]:  # noqa: ANN401 - JSON
    found = {TextClass(kind): exact for kind, exact in _object(content).items()}
    if not all(isinstance(exact, bool) for exact in found.values()):
        raise ValueError("it has a result that is neither true nor false")
    return found


def _write(file: Path, content: str) -> None:
    """Replace the file in one step; others cannot read it. Raises StorageError."""
    beside = file.with_name(f"{file.name}.new")
    try:
        beside.unlink(missing_ok=True)
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as opened:
            opened.write(content)
        beside.replace(file)
    except OSError as error:
        raise StorageError(
            f"What the check found cannot be kept: {error.strerror}.", hint="df -h ~/.local/state"
        ) from error
