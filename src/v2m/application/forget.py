"""Deletes dictations because somebody wants it: audio first, so that what is half deleted is not found as new."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from v2m.domain.dictation import FINAL, HistoryEntry
from v2m.domain.errors import ProtocolError, StorageError
from v2m.domain.ports import History, SpoolStore

log = logging.getLogger(__name__)

_PAGE: Final = 500  # rows looked at in one go


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a deletion came to."""

    deleted: int
    kept: Sequence[int]  # on their way, or their audio cannot be deleted


async def forget(
    *,
    history: History,
    spools: SpoolStore,
    dictations: Sequence[int],
    until_ns: int | None,
    shred: bool,
    is_queued: Callable[[int], bool],
) -> Forgotten:
    """Delete the named dictations; without names all that began up to `until_ns`, None: all.

    `is_queued` tells whether a dictation's audio is being decoded once more: its words would outlive its row.

    Raises:
        ProtocolError: there is none of a name.
        HistoryError: rows, or copies of their words, are still there; the same call goes on.
    """
    chosen = await _named(history, dictations) if dictations else [row async for row in _all(history, until_ns)]
    gone, kept = [], []
    for entry in chosen:
        under_way = entry.phase not in FINAL or is_queued(entry.dictation)  # asked in the step that deletes the audio
        if not under_way and _silenced(entry, spools, shred=shred):
            gone.append(entry.dictation)
        else:
            kept.append(entry.dictation)
    deleted = await history.delete(gone, shred=shred) if gone or not dictations else 0
    log.info("deleted %d dictations, kept %d", deleted, len(kept))
    return Forgotten(deleted, kept)


async def _named(history: History, dictations: Sequence[int]) -> list[HistoryEntry]:
    found = []
    for dictation in dict.fromkeys(dictations):
        entry = await history.get(dictation)
        if entry is None:
            raise ProtocolError(f"There is no dictation {dictation} in the history.", hint="v2m history")
        found.append(entry)
    return found


async def _all(history: History, until_ns: int | None) -> AsyncIterator[HistoryEntry]:
    before = None
    while page := await history.entries(limit=_PAGE, before=before):
        for entry in page:
            if until_ns is None or entry.started_ns <= until_ns:
                yield entry
        before = page[-1].dictation


def _silenced(entry: HistoryEntry, spools: SpoolStore, *, shred: bool) -> bool:
    """Delete the audio of a row; tell whether it is gone."""
    try:
        if entry.spool:
            spools.delete(Path(entry.spool), shred=shred)
    except StorageError as error:
        log.warning("not deleted: %s", error)
        return False
    return True
