"""Dictations that have come to their end."""

import json
import time
from dataclasses import asdict
from pathlib import Path

from v2m.application import commands as c
from v2m.application.dictate import Dictations
from v2m.application.entries import entry_data
from v2m.application.forget import forget
from v2m.application.handlers._answers import Answer, Table, delivered, delivery_data, outcome_of
from v2m.application.handover import Handover
from v2m.application.job import Job
from v2m.application.second_thoughts import SecondThoughts, Version
from v2m.application.tongue import Tongue
from v2m.core.ipc_protocol import MAX_PAYLOAD_SIZE
from v2m.domain.audio import CaptureReport
from v2m.domain.delivery import Certainty, Deliver
from v2m.domain.dictation import FINAL, HistoryEntry
from v2m.domain.errors import ProtocolError, StateError, StorageError, V2mError
from v2m.domain.ports import History, SpoolStore, TranscribeOptions, Transcriber

PAGE_BYTES = MAX_PAYLOAD_SIZE * 3 // 4  # of entries in one answer; a single text is at most a seventh of the cap
DAY_NS = 86_400_000_000_000
MAX_PEAK = 32768  # of audio whose level is not known any more: never called muted


class HistoryHandlers:
    """What can be done with earlier dictations; every method is one command."""

    def __init__(
        self,
        *,
        dictations: Dictations,
        handover: Handover,
        thoughts: SecondThoughts,
        history: History,
        spools: SpoolStore,
        transcriber: Transcriber,
        tongue: Tongue,
    ) -> None:
        self._dictations = dictations
        self._handover = handover
        self._thoughts = thoughts
        self._history = history
        self._spools = spools
        self._transcriber = transcriber
        self._tongue = tongue

    def table(self) -> Table:
        """Return the coroutine of each command."""
        return {
            c.ListHistory: self.list_history,
            c.DeleteHistory: self.delete,
            c.RetryDictation: self.retry,
            c.DeliverAgain: self.deliver_again,
            c.UndoDelivery: self.undo,
            c.SwapText: self.swap,
        }

    async def list_history(self, command: c.ListHistory) -> Answer:
        """List dictations."""
        rows = await self._history.entries(
            limit=command.limit + 1, grep=command.grep, before=command.before, with_text=command.with_text
        )
        entries: list[Answer] = []
        room = PAGE_BYTES
        for row in rows[: command.limit]:
            entry = entry_data(row)
            room -= len(json.dumps(entry).encode())
            if room < 0 and entries:
                break
            entries.append(entry)
        return {"entries": entries, "more": len(rows) > len(entries)}

    async def delete(self, command: c.DeleteHistory) -> Answer:
        """Delete dictations."""
        days = command.older_than_days
        done = await self._dictations.see_through(
            lambda: forget(
                history=self._history,
                spools=self._spools,
                dictations=command.dictations,
                until_ns=None if days is None else time.time_ns() - int(days * DAY_NS),
                shred=command.shred,
                is_queued=self._dictations.is_queued,
            )
        )
        return {"deleted": done.deleted, "kept": list(done.kept)}

    async def retry(self, command: c.RetryDictation) -> Answer:
        """Decode kept audio once more."""
        entry = self._rested(await self._entry(command.dictation))
        if not entry.spool:
            raise ProtocolError(f"The audio of dictation {entry.dictation} is gone.", hint="v2m history")
        language = command.language or entry.language or "auto"
        self._tongue.check(language)
        path = Path(entry.spool)
        try:
            samples, fds = self._spools.samples(path), self._spools.open_reader(path)
        except StorageError as error:
            raise ProtocolError(str(error), hint="v2m history") from error
        options = TranscribeOptions(language, vad=command.vad, live=False)
        utterance = self._transcriber.open(entry.dictation, fds, options)
        job = Job(
            entry.dictation,
            utterance,
            CaptureReport(samples, peak=MAX_PEAK),
            Deliver(command.deliver),
            command.display_variables(),
            time.monotonic_ns(),
            spool=path,
            resumed=True,
            language=language,
        )
        try:
            ticket = self._dictations.submit(job)
        except V2mError:
            await utterance.abandon()
            raise
        return await outcome_of(ticket, command.timeout_s)

    async def deliver_again(self, command: c.DeliverAgain) -> Answer:
        """Deliver an earlier text once more."""
        entry = self._rested(await self._entry(command.dictation))
        if not entry.text:
            raise ProtocolError(f"Dictation {entry.dictation} has no text.", hint=f"v2m retry {entry.dictation}")
        where, hint = Deliver(command.deliver), command.display_variables()
        delivery = await self._dictations.see_through(
            lambda: self._handover.again(entry.dictation, entry.text, where, hint, language=entry.language)
        )
        return {"dictation": entry.dictation, **delivered(delivery)}

    async def undo(self, command: c.UndoDelivery) -> Answer:
        """Take the last text back."""
        hint = command.display_variables()
        removal = await self._dictations.see_through(lambda: self._thoughts.undo(hint))
        confirmed = removal.certainty is Certainty.CONFIRMED
        return {**asdict(removal), "confirmed": confirmed}

    async def swap(self, command: c.SwapText) -> Answer:
        """Replace the last text by another version of it."""
        version, hint = Version(command.version), command.display_variables()
        swap = await self._dictations.see_through(lambda: self._thoughts.swap(version, hint))
        about = {"dictation": swap.dictation, "text": swap.text, "taken_back": swap.taken_back}
        return {**about, **delivery_data(swap.delivery)}

    @staticmethod
    def _rested(entry: HistoryEntry) -> HistoryEntry:
        """Return the row unless its dictation is still on its way. Raises StateError."""
        if entry.phase not in FINAL:
            raise StateError(f"Dictation {entry.dictation} is still on its way.", hint="v2m status")
        return entry

    async def _entry(self, dictation: int | None) -> HistoryEntry:
        entry = await self._history.get(dictation)
        if entry is None:
            what = "no dictation with text" if dictation is None else f"no dictation {dictation}"
            raise ProtocolError(f"There is {what} in the history.", hint="v2m history")
        return entry
