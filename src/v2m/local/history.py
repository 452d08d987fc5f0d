"""`v2m history export` and `import`: JSON lines, one dictation each, without audio."""

import asyncio
import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

import click

from v2m.client import ClientError
from v2m.domain.errors import ProtocolError, V2mError
from v2m.local._entries import database, entries
from v2m.local._group import Show, Verb, build_group

ABOUT: Final = "Write the history to a file, or take one in."
MAX_LINE: Final = 8 << 20  # bytes; raw and text of the longest dictation are far below
MOST_TOLD: Final = 20  # bad lines that are named


def build_command(show: Show) -> click.Group:
    """Return `history` with the verbs that are more than one question to the daemon."""
    file = click.Argument(["file"], metavar="FILE")
    verbs: list[Verb] = [
        ("export", _export, [file], "Write every dictation as a line of JSON; - is stdout. Needs no daemon."),
        (
            "import",
            _import,
            [file],
            "Take in an export, under new ids; nothing that is there changes. No daemon may run.",
        ),
    ]
    group = build_group("history", ABOUT, show, verbs)
    group.context_settings["obj"] = _listed
    return group


def _listed(data: dict[str, Any]) -> dict[str, Any]:
    """Answer LIST_HISTORY from the file, as a daemon would, `state` null. Raises ClientError."""
    from v2m.application.entries import entry_data
    from v2m.infrastructure.history.reader import read_newest

    limit = max(1, data.pop("limit", 20))
    try:
        rows = read_newest(database(), limit=limit + 1, **data)
    except V2mError as error:
        raise ClientError(error.code, str(error), error.hint) from error
    entries = [entry_data(row) for row in rows[:limit]]
    return {"status": "success", "data": {"state": None, "entries": entries, "more": len(rows) > limit}}


def _export(show: Show, *, file: str, as_json: bool) -> int:
    count = 0
    with _written(file) as target:
        for entry in entries():
            target.write(json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            count += 1
    if file == "-":
        return 0
    return show({"exported": count, "file": file}, None, f"Exported {_dictations(count)} to {file}.", as_json=as_json)


@contextmanager
def _written(file: str) -> Iterator[IO[bytes]]:
    """Yield where to write; a file is 0600, and there only when it is complete. Raises ClientError."""
    if file == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(file)
    making = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        making.rename(target)
    except OSError as error:
        raise ClientError("storage_failed", f"{file} cannot be written: {error.strerror}.", "df -h .") from error
    finally:
        making.unlink(missing_ok=True)


def _import(show: Show, *, file: str, as_json: bool) -> int:
    from v2m.domain.errors import AlreadyRunningError
    from v2m.infrastructure.service.lock import held_lock

    path = database()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with held_lock(path.parent / "lock"), _read(file) as source:
            found = asyncio.run(_take(path, source))
    except AlreadyRunningError as error:
        raise ClientError("already_running", "The daemon has the history open.", "v2m daemon stop") from error
    told = [f"line {number}: {why}" for number, why in found.bad[:MOST_TOLD]]
    told += [f"and {len(found.bad) - MOST_TOLD} more"] if len(found.bad) > MOST_TOLD else []
    told += [f"Imported {_dictations(found.taken)}; {found.there} there already, {len(found.bad)} bad lines left out."]
    bad = [{"line": number, "reason": why} for number, why in found.bad]
    data = {"imported": found.taken, "there": found.there, "bad": bad}
    return show(data, None, "\n".join(told), as_json=as_json)


@contextmanager
def _read(file: str) -> Iterator[IO[bytes]]:
    """Yield what is to be taken in. Raises ClientError."""
    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as source:
            if not _is_fit(source):
                raise ClientError("usage", f"{file} is neither a file nor a pipe.", "v2m history export FILE makes one")
            yield source
    except OSError as error:
        raise ClientError("usage", f"{file} cannot be read: {error.strerror}.", f"ls -l {file}") from error


def _is_fit(source: IO[bytes]) -> bool:
    """Whether it is something that can end: no device."""
    mode = os.fstat(source.fileno()).st_mode
    return stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


@dataclass
class _Taken:
    """What an import came to."""

    taken: int = 0
    there: int = 0  # already, word for word
    bad: list[tuple[int, str]] = field(default_factory=list)  # line and reason


async def _take(path: Path, source: IO[bytes]) -> _Taken:
    """Write what is new.

    Raises:
        HistoryError: it cannot be written.
        ClientError: a line is too long, and nothing after it was read.
    """
    from v2m.application.entries import entry_data, parse_entry
    from v2m.infrastructure.history.reader import read_entries
    from v2m.infrastructure.history.sqlite import SqliteHistory

    found, history = _Taken(), SqliteHistory(path, retention_days=0, keep_audio_s=0, keep_trouble_audio_s=0)
    try:
        await history.open()
        known = {_mark(entry_data(entry)) for entry in read_entries(path)}
        for number, line in enumerate(iter(partial(source.readline, MAX_LINE), b""), 1):
            if len(line) == MAX_LINE:
                told = f"Line {number} is too long for a dictation, and was not read, nor what follows it."
                raise ClientError("usage", f"{told} Imported {_dictations(found.taken)}.", "v2m history")
            if not line.strip():
                continue
            try:
                entry = parse_entry(_parsed(line), dictation=0)
            except ProtocolError as error:
                found.bad.append((number, str(error)))
                continue
            mark = _mark(entry_data(entry))
            if mark in known:
                found.there += 1
                continue
            await history.begin(replace(entry, dictation=history.next_id()))
            known.add(mark)
            found.taken += 1
    finally:
        await history.aclose()
    return found


def _mark(data: dict[str, Any]) -> tuple[str, str, str]:
    """Return what makes two rows the same dictation."""
    return data["started"], data["raw"], data["text"]


def _parsed(line: bytes) -> object:
    """Return what a line holds. Raises ProtocolError."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("it is not JSON in UTF-8") from error


def _dictations(count: int) -> str:
    return f"{count} dictation{'s' * (count != 1)}"
