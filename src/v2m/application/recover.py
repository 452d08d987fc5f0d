"""What a crash left behind: found at start, kept, offered; never typed by itself."""

import logging
from pathlib import Path

from v2m.application.announce import Announcer
from v2m.application.ledger import Ledger
from v2m.domain.audio import SAMPLE_RATE_HZ
from v2m.domain.delivery import Certainty
from v2m.domain.dictation import HistoryEntry, Phase
from v2m.domain.errors import HistoryError, StorageError
from v2m.domain.ports import History, SpoolStore

log = logging.getLogger(__name__)

# Where an interrupted dictation comes to rest: text that may have been typed is uncertain, text that
# was not is held, audio without text is failed and can be decoded again.
_RESTS = {
    Phase.RECORDING: Phase.FAILED,
    Phase.CAPTURED: Phase.FAILED,
    Phase.TRANSCRIBED: Phase.HELD,
    Phase.REFINED: Phase.HELD,
    Phase.DELIVERING: Phase.UNCERTAIN,
}


async def recover(*, history: History, ledger: Ledger, spools: SpoolStore, announcer: Announcer) -> int:
    """Bring every unfinished row to rest, give orphan audio a row, tell the user once; return how many."""
    try:
        left = await history.unfinished()
        found = [await _rest(entry, ledger, spools) for entry in left]
        known = await history.spools()
    except HistoryError as error:
        log.warning("recovery: %s", error)
        return 0
    for path, samples, started_ns in spools.orphans(known):
        found.append(await _adopt(path, samples, started_ns, ledger))
    if found:
        last = f"v2m {'again' if left and left[-1].text and found[-1] == left[-1].dictation else 'retry'} {found[-1]}"
        announcer.say(f"Recovered {len(found)} dictation{'s' * (len(found) > 1)}", f"v2m history · {last}", urgent=True)
        log.info("recovered %d dictations", len(found))
    return len(found)


async def _rest(entry: HistoryEntry, ledger: Ledger, spools: SpoolStore) -> int:
    duration_s = entry.duration_s
    if entry.spool and not duration_s:
        try:
            duration_s = round(spools.samples(Path(entry.spool)) / SAMPLE_RATE_HZ, 3)
        except StorageError as error:
            log.warning("recovery: %s", error)
    reason = "The daemon ended before this dictation was finished."
    surely: dict[str, Certainty] = {"certainty": Certainty.UNCERTAIN} if entry.phase is Phase.DELIVERING else {}
    await ledger.move(
        entry.dictation, _RESTS[entry.phase], duration_s=duration_s, error="interrupted", reason=reason, **surely
    )
    return entry.dictation


async def _adopt(path: Path, samples: int, started_ns: int, ledger: Ledger) -> int:
    dictation = ledger.next_id()
    await ledger.begin(
        HistoryEntry(
            dictation,
            started_ns,
            Phase.FAILED,
            duration_s=round(samples / SAMPLE_RATE_HZ, 3),
            spool=str(path),
            error="interrupted",
            reason="Audio without a row was found.",
        )
    )
    return dictation


async def expire(*, history: History, spools: SpoolStore, now_ns: int) -> None:
    """Delete audio and rows that have been kept long enough."""
    try:
        for entry in await history.expired_audio(now_ns):
            if _delete(entry, spools):
                await history.forget_audio(entry.dictation)
        await history.expire_rows(now_ns)
    except HistoryError as error:
        log.warning("retention: %s", error)


def _delete(entry: HistoryEntry, spools: SpoolStore) -> bool:
    """Delete the audio of a row; tell whether it is gone. One stubborn file does not keep the others."""
    try:
        if entry.spool:
            spools.delete(Path(entry.spool))
    except StorageError as error:
        log.warning("retention: %s", error)
        return False
    return True
