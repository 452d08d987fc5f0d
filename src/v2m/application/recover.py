"""What a crash left behind: found at start, decoded behind everything else, offered; never typed by itself."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from v2m.application.announce import Announcer
from v2m.application.decoding import decoded
from v2m.application.ledger import Ledger
from v2m.application.preview import Turn
from v2m.domain.audio import SAMPLE_RATE_HZ
from v2m.domain.delivery import Certainty, Deliver, Delivery
from v2m.domain.dictation import HistoryEntry, Phase
from v2m.domain.errors import EngineError, HistoryError, StorageError, V2mError
from v2m.domain.policy import Manner, worded
from v2m.domain.ports import History, SpoolStore, TranscribeOptions, Transcriber
from v2m.domain.transcript import Transcript

log = logging.getLogger(__name__)

INTERRUPTED: Final = "interrupted"  # the error of a row that is offered

# Stages of such a row, in milliseconds after the start of the daemon that went through them. What was not offered is
# found again by the next daemon; what two of them did not survive is left to whoever asks for it.
_TRIES: Final = ("recovering", "recovering_again")
_TOLD: Final = "offered"

# Where an interrupted dictation comes to rest: text that may have been typed is uncertain, text that
# was not is held, audio without text is failed until it has been decoded.
_RESTS = {
    Phase.RECORDING: Phase.FAILED,
    Phase.CAPTURED: Phase.FAILED,
    Phase.TRANSCRIBED: Phase.HELD,
    Phase.REFINED: Phase.HELD,
    Phase.DELIVERING: Phase.UNCERTAIN,
}
_OFFERED: Final = frozenset({Phase.HELD, Phase.UNCERTAIN})
_LEFT: Final = _OFFERED | {Phase.FAILED}


class Again(Protocol):
    """Delivers a text once more, as `Handover.again`."""

    async def __call__(
        self, dictation: int, text: str, where: Deliver, hint: Mapping[str, str], *, language: str
    ) -> Delivery:
        """Return how it went. Raises V2mError."""
        ...


class Recovery:
    """`settle` before the first key is obeyed, `run` beside everything else."""

    def __init__(
        self,
        *,
        history: History,
        ledger: Ledger,
        spools: SpoolStore,
        transcriber: Transcriber,
        announcer: Announcer,
        again: Again,
        turn: asyncio.Lock | Turn,
    ) -> None:
        """`turn` is that of `Handover`: whoever has it is the only one that gives a dictation another text."""
        self._history = history
        self._ledger = ledger
        self._spools = spools
        self._transcriber = transcriber
        self._announcer = announcer
        self._again = again
        self._turn = turn
        self._since_ns = time.monotonic_ns()
        self._found: list[int] = []
        self._chosen: asyncio.Queue[tuple[int, Deliver | None]] = asyncio.Queue()

    async def settle(self) -> int:
        """Bring every unfinished row to rest and give orphan audio a row; return how many are to be offered.

        Rows that an earlier daemon found, and did not live to offer, are among them.
        A history that ends with the process knows nothing of the audio that is there: it is left to the one that does.
        """
        if not self._history.durable:
            return 0
        for aside in await asyncio.to_thread(self._spools.mend):
            log.warning("a recording was broken; as it was found it is %s", aside)
        try:
            earlier = [row.dictation for row in await self._history.resting(INTERRUPTED) if _is_unoffered(row)]
            fresh = [await self._rest(entry) for entry in await self._history.unfinished()]
            self._found = sorted({*earlier, *fresh})
            known = await self._history.spools()
        except HistoryError as error:
            log.warning("recovery: %s", error)
            return len(self._found)
        for path, samples, started_ns in self._spools.orphans(known):
            self._found.append(await self._adopt(path, samples, started_ns))
        if self._found:
            log.info("recovered %d dictations", len(self._found))
        return len(self._found)

    async def run(self) -> None:
        """Decode what was found, offer it, and do what the user chooses."""
        if self._found:
            for dictation in self._found:
                await self._decode(dictation)
            await self._offer()
        while True:
            dictation, where = await self._chosen.get()
            await self._obey(dictation, where)

    async def _rest(self, entry: HistoryEntry) -> int:
        duration_s = entry.duration_s
        if entry.spool and not duration_s:
            try:
                duration_s = round(self._spools.samples(Path(entry.spool)) / SAMPLE_RATE_HZ, 3)
            except StorageError as error:
                log.warning("recovery: %s", error)
        reason = "The daemon ended before this dictation was finished."
        surely: dict[str, Certainty] = {"certainty": Certainty.UNCERTAIN} if entry.phase is Phase.DELIVERING else {}
        await self._ledger.move(
            entry.dictation,
            _RESTS[entry.phase],
            duration_s=duration_s,
            error=INTERRUPTED,
            reason=reason,
            stages=_without_marks(entry),
            **surely,
        )
        return entry.dictation

    async def _adopt(self, path: Path, samples: int, started_ns: int) -> int:
        dictation = self._ledger.next_id()
        await self._ledger.begin(
            HistoryEntry(
                dictation,
                started_ns,
                Phase.FAILED,
                duration_s=round(samples / SAMPLE_RATE_HZ, 3),
                spool=str(path),
                error=INTERRUPTED,
                reason="Audio without a row was found.",
            )
        )
        return dictation

    # --- beside everything else ---

    async def _decode(self, dictation: int) -> None:
        """Give a row that has only audio its text; whoever speaks meanwhile comes first."""
        entry = await self._waiting(dictation)
        if entry is None or entry.spool is None:
            return
        trial = next((name for name in _TRIES if name not in entry.stages), None)
        if trial is None:
            reason = f"Two daemons ended while they decoded this dictation; v2m retry {dictation} tries again."
            await self._note(dictation, reason=reason)
            return
        await self._note(dictation, trial)
        try:
            heard = await self._heard(entry, Path(entry.spool))
        except (StorageError, EngineError) as error:
            log.warning("recovery: %s", error)
        except asyncio.CancelledError:  # an orderly end is no sign against the recording
            await self._note(dictation, stages=_without_marks(entry))
            raise
        else:
            async with self._turn:
                await self._keep(dictation, heard)

    async def _heard(self, entry: HistoryEntry, spool: Path) -> Transcript:
        """Raises StorageError, EngineError."""
        options = TranscribeOptions(entry.language or "auto", live=False)
        samples = self._spools.samples(spool)
        utterance = self._transcriber.open(entry.dictation, self._spools.open_reader(spool), options)
        try:
            return await decoded(utterance, samples, dictation=entry.dictation)
        finally:
            await utterance.abandon()

    async def _note(self, dictation: int, stage: str = "", **changes: Any) -> None:  # noqa: ANN401 - row fields
        """Write fields of a row that is still what the crash left; nothing happens when somebody else had it."""
        async with self._turn:
            row = None if self._ledger.is_late(dictation) else await self._row(dictation)
            if row is None or row.error != INTERRUPTED or row.phase not in _LEFT:
                return
            if stage:
                changes["stages"] = {**row.stages, stage: round((time.monotonic_ns() - self._since_ns) / 1e6, 2)}
            await self._ledger.move(dictation, row.phase, **changes)

    async def _keep(self, dictation: int, heard: Transcript) -> None:
        """Write down what was heard, unless somebody decoded or deleted it meanwhile."""
        if await self._waiting(dictation) is None:
            return
        text = worded(heard.text, Manner())
        if not text:
            reason = "The daemon ended meanwhile, and no speech was found."
            await self._ledger.move(dictation, Phase.FAILED, error="no_speech", reason=reason)
            return
        await self._ledger.move(dictation, Phase.TRANSCRIBED, raw=heard.text, text=text, engine=heard.engine)
        await self._ledger.move(dictation, Phase.HELD, certainty=Certainty.HELD)

    async def _waiting(self, dictation: int) -> HistoryEntry | None:
        """Return the row if it still has audio and no text; one whose newest steps are unwritten is somebody's."""
        if self._ledger.is_late(dictation):
            return None
        entry = await self._row(dictation)
        return entry if entry and entry.phase is Phase.FAILED and entry.error == INTERRUPTED else None

    async def _row(self, dictation: int) -> HistoryEntry | None:
        try:
            return await self._history.get(dictation)
        except HistoryError as error:
            log.warning("recovery: %s", error)
            return None

    async def _offer(self) -> None:
        """Tell the user once what was found; the choices are about the newest that has a text."""
        rows = [row for dictation in self._found if (row := await self._row(dictation))]
        left = [row for row in rows if row.error == INTERRUPTED]
        if not left:
            return
        texts = [row.dictation for row in left if row.phase in _OFFERED and row.text]
        title = f"Recovered {len(left)} dictation{'s' * (len(left) > 1)}"
        self._announcer.say(
            title,
            "The daemon had ended before they were finished. v2m recover lists them.",
            urgent=True,
            choices=self._choices(texts[-1]) if texts else {},
        )
        for row in left:
            await self._note(row.dictation, _TOLD)

    def _choices(self, dictation: int) -> Mapping[str, Callable[[], None]]:
        ways = {"Type it": Deliver.TYPE, "Copy": Deliver.COPY, "Show": None}
        return {label: partial(self._chosen.put_nowait, (dictation, where)) for label, where in ways.items()}

    async def _obey(self, dictation: int, where: Deliver | None) -> None:
        entry = await self._row(dictation)
        if entry is None or entry.phase not in _OFFERED:
            self._announcer.say("Not typed", "It has been typed or deleted since: v2m history")
        elif where is None:
            self._announcer.say("Recovered", entry.text, urgent=True)
        else:
            try:
                await self._again(entry.dictation, entry.text, where, {}, language=entry.language)
            except V2mError as error:
                self._announcer.say("Not typed", f"{error} v2m again {dictation} tries again.", urgent=True)
            except Exception:  # the wall of a choice: it fails, the daemon lives
                log.exception("a choice failed")
                self._announcer.say("Not typed", f"Something broke inside v2m. v2m again {dictation}", urgent=True)


def _is_unoffered(row: HistoryEntry) -> bool:
    """Whether a row at rest has something to offer that nobody was told of."""
    return row.phase in _LEFT and _TOLD not in row.stages and bool(row.text or row.spool)


def _without_marks(row: HistoryEntry) -> dict[str, float]:
    return {name: value for name, value in row.stages.items() if name not in (*_TRIES, _TOLD)}


async def expire(*, history: History, spools: SpoolStore, now_ns: int, broken_kept_s: float) -> None:
    """Delete audio and rows that have been kept long enough; `broken_kept_s`: recordings as they were found broken."""
    try:
        for entry in await history.expired_audio(now_ns):
            if _delete(entry, spools):
                await history.forget_audio(entry.dictation)
        await history.expire_rows(now_ns)
        spools.expire(now_ns / 1e9 - broken_kept_s)
    except (HistoryError, StorageError) as error:
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
