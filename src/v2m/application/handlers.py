"""One coroutine per command, and the dict. The bus refuses to be built while a command is missing here."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from v2m import __version__
from v2m.application import commands as c
from v2m.application.deliver import Deliverer
from v2m.application.dictate import Dictations
from v2m.application.exactness import Exactness
from v2m.application.explain import Explainer
from v2m.application.files import Files
from v2m.application.handover import Handover
from v2m.application.job import Job, Outcome
from v2m.application.outbox import Ticket
from v2m.application.second_thoughts import SecondThoughts, Version
from v2m.application.status import Status, outputs
from v2m.application.tongue import Tongue
from v2m.core.command_bus import CommandBus
from v2m.core.ipc_protocol import MAX_PAYLOAD_SIZE, PROTOCOL_VERSION
from v2m.domain.audio import CaptureReport
from v2m.domain.delivery import Certainty, Deliver, Delivery
from v2m.domain.dictation import FINAL, HistoryEntry
from v2m.domain.errors import (
    DeadlineError,
    OutputError,
    OutputReason,
    ProtocolError,
    StateError,
    StorageError,
    V2mError,
)
from v2m.domain.ports import History, Microphone, SpoolStore, TranscribeOptions, Transcriber
from v2m.domain.text.classes import TextClass

Answer = dict[str, Any]

PAGE_BYTES = MAX_PAYLOAD_SIZE * 3 // 4  # of entries in one answer; a single text is at most a seventh of the cap
MAX_PEAK = 32768  # of audio whose level is not known any more: never called muted


class Handlers:
    """What each command does; every method is one command."""

    def __init__(
        self,
        *,
        dictations: Dictations,
        handover: Handover,
        deliverer: Deliverer,
        exactness: Exactness,
        thoughts: SecondThoughts,
        explainer: Explainer,
        files: Files,
        history: History,
        spools: SpoolStore,
        transcriber: Transcriber,
        microphone: Microphone,
        pinned_device: str,
        tongue: Tongue,
        status: Status,
        shut_down: Callable[[bool], None],
    ) -> None:
        self._dictations = dictations
        self._handover = handover
        self._deliverer = deliverer
        self._exactness = exactness
        self._thoughts = thoughts
        self._explainer = explainer
        self._files = files
        self._history = history
        self._spools = spools
        self._transcriber = transcriber
        self._microphone = microphone
        self._pinned_device = pinned_device
        self._tongue = tongue
        self._status = status
        self._shut_down = shut_down

    def bus(self) -> CommandBus:
        """Return the dispatcher; raises MissingHandlerError naming each hole."""
        table: dict[type, Callable[[Any], Awaitable[Answer]]] = {
            c.Ping: self.ping,
            c.StartRecording: self.start,
            c.StopRecording: self.stop,
            c.AbortRecording: self.abort,
            c.ToggleRecording: self.toggle,
            c.GetStatus: self.status,
            c.Subscribe: self.status,
            c.TypeText: self.type_text,
            c.TranscribeFile: self.transcribe_file,
            c.ListHistory: self.list_history,
            c.RetryDictation: self.retry,
            c.DeliverAgain: self.deliver_again,
            c.UndoDelivery: self.undo,
            c.SwapText: self.swap,
            c.ListDevices: self.list_devices,
            c.ListOutputs: self.list_outputs,
            c.TestPolicy: self.test_policy,
            c.CheckOutputs: self.check_outputs,
            c.PauseDaemon: self.pause,
            c.ResumeDaemon: self.resume,
            c.Shutdown: self.shutdown,
        }
        return CommandBus(table, c.COMMANDS.values())

    async def ping(self, _: c.Ping) -> Answer:
        """Answer PONG."""
        return {"message": "PONG", "version": __version__, "protocol": PROTOCOL_VERSION}

    async def start(self, command: c.StartRecording) -> Answer:
        """Open the microphone."""
        hint = command.display_variables()
        return {"dictation": await self._dictations.start(hint, command.wishes())}

    async def stop(self, command: c.StopRecording) -> Answer:
        """Close the microphone; wait for the text if asked to."""
        ticket = await self._dictations.stop(command.display_variables(), Deliver(command.deliver))
        return await self._stopped(ticket, wait=command.wait, timeout_s=command.timeout_s)

    @staticmethod
    async def _stopped(ticket: Ticket | None, *, wait: bool, timeout_s: float | None) -> Answer:
        if ticket is None:
            return {"dictation": None, "transcription": "", "discarded": "tap"}
        if not wait:
            return {"dictation": ticket.job.dictation}
        return await _outcome(ticket, timeout_s)

    async def abort(self, command: c.AbortRecording) -> Answer:
        """Throw a dictation away."""
        return {"dictation": await self._dictations.abort(command.dictation)}

    async def toggle(self, command: c.ToggleRecording) -> Answer:
        """Start or stop."""
        turned = await self._dictations.toggle(command.display_variables(), Deliver(command.deliver), command.wishes())
        if isinstance(turned, int):
            return {"dictation": turned}
        return await self._stopped(turned, wait=command.wait, timeout_s=command.timeout_s)

    async def status(self, _: c.GetStatus | c.Subscribe) -> Answer:
        """Return the snapshot."""
        return await self._status.snapshot()

    async def type_text(self, command: c.TypeText) -> Answer:
        """Deliver a given text."""
        where, hint = Deliver(command.deliver), command.display_variables()
        names = self._deliverer.names
        if command.output and command.output not in names:
            raise ProtocolError(
                f"There is no output {command.output!r} in the chain.", hint=f"There are: {', '.join(names)}."
            )
        delivery = await self._dictations.see_through(
            lambda: self._handover.type(command.text, where, hint, only=command.output)
        )
        return {"dictation": None, **_delivered(delivery)}

    async def transcribe_file(self, command: c.TranscribeFile) -> Answer:
        """Transcribe a sound or video file."""
        return await self._files.transcribe(Path(command.file_path), language=command.language, job=command.job)

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
        return await _outcome(ticket, command.timeout_s)

    async def deliver_again(self, command: c.DeliverAgain) -> Answer:
        """Deliver an earlier text once more."""
        entry = self._rested(await self._entry(command.dictation))
        if not entry.text:
            raise ProtocolError(f"Dictation {entry.dictation} has no text.", hint=f"v2m retry {entry.dictation}")
        where, hint = Deliver(command.deliver), command.display_variables()
        delivery = await self._dictations.see_through(
            lambda: self._handover.again(entry.dictation, entry.text, where, hint, language=entry.language)
        )
        return {"dictation": entry.dictation, **_delivered(delivery)}

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
        return {**about, **_delivery_data(swap.delivery)}

    @staticmethod
    def _rested(entry: HistoryEntry) -> HistoryEntry:
        """Return the row unless its dictation is still on its way. Raises StateError."""
        if entry.phase not in FINAL:
            raise StateError(f"Dictation {entry.dictation} is still on its way.", hint="v2m status")
        return entry

    async def list_devices(self, _: c.ListDevices) -> Answer:
        """List the microphones."""
        found = await self._microphone.devices()
        return {
            "devices": [
                {
                    "name": device.name,
                    "description": device.description,
                    "default": device.default,
                    "chosen": device.name == self._pinned_device or (not self._pinned_device and device.default),
                }
                for device in found
            ]
        }

    async def list_outputs(self, command: c.ListOutputs) -> Answer:
        """Tell where words would go."""
        return outputs(await self._deliverer.survey(command.display_variables()))

    async def test_policy(self, command: c.TestPolicy) -> Answer:
        """Tell how a text would be typed."""
        return await self._explainer.explain(
            command.text, command.target(), command.display_variables(), focused=command.app is None
        )

    async def check_outputs(self, command: c.CheckOutputs) -> Answer:
        """Remember which way of typing is exact for which characters."""
        results = {
            output: {TextClass(kind): exact for kind, exact in found.items()}
            for output, found in command.results.items()
        }
        await self._exactness.record(command.layout, results)
        return {}

    async def pause(self, _: c.PauseDaemon) -> Answer:
        """Refuse recordings."""
        await self._dictations.pause(on=True)
        return {}

    async def resume(self, _: c.ResumeDaemon) -> Answer:
        """Take recordings again."""
        await self._dictations.pause(on=False)
        return {}

    async def shutdown(self, command: c.Shutdown) -> Answer:
        """End the daemon after this answer."""
        self._shut_down(command.finish)
        return {"message": "SHUTTING_DOWN"}

    async def _entry(self, dictation: int | None) -> HistoryEntry:
        entry = await self._history.get(dictation)
        if entry is None:
            what = "no dictation with text" if dictation is None else f"no dictation {dictation}"
            raise ProtocolError(f"There is {what} in the history.", hint="v2m history")
        return entry


async def _outcome(ticket: Ticket, timeout_s: float | None) -> Answer:
    """Wait for a dictation's end and return it as an answer; the dictation goes on whatever happens here."""
    try:
        async with asyncio.timeout(timeout_s):
            outcome: Outcome = await asyncio.shield(ticket.outcome)
    except TimeoutError as error:
        raise DeadlineError(
            f"Dictation {ticket.job.dictation} is not ready after {timeout_s} s; the work goes on.", hint="v2m last"
        ) from error
    if outcome.error is not None:
        raise outcome.error
    delivery = outcome.delivery
    return {
        "dictation": outcome.dictation,
        "transcription": outcome.text,
        "refined": False,
        "delivered": _delivery_data(delivery) if delivery else None,
        "stages": dict(outcome.stages),
    }


def _delivery_data(delivery: Delivery) -> Answer:
    return {
        "method": delivery.method,
        "certainty": delivery.certainty.value,
        "confirmed": delivery.certainty is Certainty.CONFIRMED,
        "characters": delivery.characters,
        "target": delivery.target,
        "detail": delivery.detail,
        "attempts": [asdict(attempt) for attempt in delivery.attempts],
    }


def _delivered(delivery: Delivery) -> Answer:
    """Return a delivery as an answer. Raises OutputError when the text reached nothing at all."""
    if delivery.method == "none" and delivery.detail:
        raise OutputError(delivery.detail, reason=OutputReason.REFUSED, hint="v2m outputs")
    return _delivery_data(delivery)


def entry_data(entry: HistoryEntry) -> Answer:
    """Return a history row as clients see it; `started` is ISO 8601 in UTC."""
    return {
        "dictation": entry.dictation,
        "started": datetime.fromtimestamp(entry.started_ns / 1e9, UTC).isoformat(timespec="milliseconds"),
        "duration_s": entry.duration_s,
        "phase": entry.phase.value,
        "raw": entry.raw,
        "text": entry.text,
        "method": entry.method,
        "certainty": entry.certainty.value if entry.certainty else None,
        "confirmed": entry.certainty is Certainty.CONFIRMED,
        "characters": entry.characters,
        "target": entry.target,
        "attempts": [asdict(attempt) for attempt in entry.attempts],
        "audio": entry.spool is not None,
        "error": entry.error,
        "reason": entry.reason,
        "stages": entry.stages,
    }
