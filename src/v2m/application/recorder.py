"""One open microphone: spool, recording, utterance and row begin and end together.

While it is open it is watched: the sign that recording is on (after the first sample, never before),
a device that goes away, a release that was lost, the longest allowed recording.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from v2m.application.aim import Aim, Sight
from v2m.application.announce import Announcer
from v2m.application.ledger import Ledger
from v2m.application.sign import Sign
from v2m.application.tongue import Tongue
from v2m.core.events import EventBus
from v2m.core.logging import about_dictation
from v2m.domain.audio import SAMPLE_RATE_HZ, CaptureReport, SpoolFlag, decibels
from v2m.domain.dictation import HistoryEntry, Phase, Wishes
from v2m.domain.errors import CaptureError, CaptureReason, StorageError
from v2m.domain.events import Level, LimitApproached, Partial
from v2m.domain.ports import (
    Microphone,
    Recording,
    Spool,
    SpoolStore,
    TranscribeOptions,
    Transcriber,
    Utterance,
)
from v2m.domain.transcript import PartialTranscript

log = logging.getLogger(__name__)

LEVEL_PERIOD_S = 0.05  # the protocol promises at most 20 levels a second
QUIET_PERIOD_S = 1.0  # how often limits are looked at while nobody watches the level


@dataclass(slots=True)
class Open:
    """A recording whose microphone is open."""

    dictation: int
    spool: Spool
    recording: Recording
    utterance: Utterance
    hint: Mapping[str, str]
    wishes: Wishes
    language: str  # it is decoded in
    sight: Sight  # what had the focus at START
    asked_ns: int  # CLOCK_MONOTONIC when START was read from the socket
    open_called_ns: int  # when the microphone was asked to open
    started_ns: int = field(default_factory=time.monotonic_ns)

    def stages(self) -> dict[str, float]:
        """Return milliseconds since START: `open` until the microphone was asked, `first_sample` until it spoke."""
        first_ns = self.spool.first_sample_ns
        stages = {"open": round((self.open_called_ns - self.asked_ns) / 1e6, 2)}
        return {**stages, "first_sample": round((first_ns - self.asked_ns) / 1e6, 2)} if first_ns else stages

    @property
    def seconds_open(self) -> float:
        """Time since START."""
        return (time.monotonic_ns() - self.started_ns) / 1e9


@dataclass(frozen=True, slots=True)
class Limits:
    """When a recording is closed although nobody released the key; seconds."""

    max_recording_s: float
    lost_release_silence_s: float
    toggled_silence_s: float
    warn_before_s: float  # the longest recording ends; 0: no warning


class Recorder:
    """Opens and closes recordings, one at a time; called by the control task of `Dictations` only."""

    def __init__(
        self,
        *,
        microphone: Microphone,
        spools: SpoolStore,
        transcriber: Transcriber,
        ledger: Ledger,
        events: EventBus,
        announcer: Announcer,
        aim: Aim,
        sign: Sign,
        limits: Limits,
        tongue: Tongue,
        tail_ms: int,
        private: bool,
    ) -> None:
        self._microphone = microphone
        self._spools = spools
        self._transcriber = transcriber
        self._ledger = ledger
        self._events = events
        self._announcer = announcer
        self._aim = aim
        self._sign = sign
        self._limits = limits
        self._tongue = tongue
        self._tail_s = tail_ms / 1000
        self._private = private

    def use(self, limits: Limits, *, tail_ms: int) -> None:
        """Take other limits; between two recordings."""
        self._limits = limits
        self._tail_s = tail_ms / 1000

    async def open(
        self,
        wishes: Wishes,
        *,
        hint: Mapping[str, str],
        asked_ns: int,
        beside: Callable[[Coroutine[Any, Any, None]], object],
    ) -> Open:
        """Open the microphone, then everything that need not come before it; `beside` starts what nobody waits for.

        Raises:
            CaptureError, LanguageError: nothing is open.
        """
        language = self._tongue.choose(wishes)
        dictation = self._ledger.next_id()
        options = TranscribeOptions(language=language)
        async with AsyncExitStack() as undo:
            spool = self._spools.take(dictation, private=self._private)
            undo.callback(self._delete, spool)
            open_called_ns = time.monotonic_ns()
            recording = await self._microphone.open(spool)
            undo.push_async_callback(recording.close)
            sight = Sight()
            on_partial = partial(self._publish, dictation, sight)
            utterance = self._transcriber.open(dictation, spool.reader_fds(), options, on_partial)
            undo.push_async_callback(utterance.abandon)
            beside(self._look(dictation, spool, hint, sight))
            path = str(spool.path) if spool.path else None
            await self._ledger.begin(
                HistoryEntry(dictation, time.time_ns(), Phase.RECORDING, language=options.language, spool=path)
            )
            undo.pop_all()
        opened = Open(dictation, spool, recording, utterance, hint, wishes, language, sight, asked_ns, open_called_ns)
        with about_dictation(dictation):
            log.info("START %s", opened.stages())
        return opened

    async def _look(self, dictation: int, spool: Spool, hint: Mapping[str, str], sight: Sight) -> None:
        """See what has the focus; where that asks for a secret the audio has no name on the disk from now on."""
        await self._aim.remember(hint, sight)
        if not sight.secret:
            return
        self._announcer.say("Nothing will be kept", sight.secret, urgent=True)
        if spool.path is not None:
            with suppress(StorageError):  # it is deleted at the end, as every other
                self._spools.delete(spool.path)
                spool.path = None
                await self._ledger.forget_audio(dictation)

    def _publish(self, dictation: int, sight: Sight, heard: PartialTranscript) -> None:
        """Tell what has been heard so far to whoever listens, unless it may be a secret."""
        if self._events.has_listeners(Partial) and not sight.secret:
            self._events.publish(Partial(dictation, heard.text, heard.stable, final=False))

    async def warm(self) -> None:
        """Keep the microphone ready, as the settings want it."""
        await self._microphone.warm()

    async def rest(self) -> None:
        """Have nothing of the microphone kept between recordings, until `warm`."""
        await self._microphone.release()

    async def renew(self) -> None:
        """Connect the microphone anew: what was connected before the machine slept may be dead."""
        await self._microphone.aclose()
        await self._microphone.warm()

    async def close(self, opened: Open, *, tail: bool = True) -> CaptureReport:
        """Release the device, then close the spool; the audio stays.

        With `tail` a word that is being spoken is waited for, as long as the settings allow; where nobody
        speaks the device is released at once.
        """
        if tail and self._tail_s and opened.utterance.speaking:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._tail_s):
                    await opened.utterance.quiet()
        try:
            report = await opened.recording.close()
        except CaptureError as error:  # what is in the spool was heard all the same
            spool = opened.spool
            report = CaptureReport(spool.head, spool.preroll, peak=spool.peak, lost=str(error))
        if report.gap:
            opened.spool.set_flags(SpoolFlag.GAP)
        opened.spool.close()
        with about_dictation(opened.dictation):
            log.info("STOP after %.1f s %s", report.seconds, opened.stages())
        return report

    async def throw_away(self, opened: Open, phase: Phase, reason: str, *, error: str = "") -> None:
        """Release the device and delete the audio; no engine hears more of it."""
        with suppress(CaptureError):
            await opened.recording.close()
        await opened.utterance.abandon()
        opened.spool.set_flags(SpoolFlag.ABORTED)
        kept = None if self._delete(opened.spool) else str(opened.spool.path)
        with about_dictation(opened.dictation):
            log.info("%s %s", phase.value, opened.stages())
        await self._ledger.move(opened.dictation, phase, reason=reason, error=error, spool=kept)

    async def forget(self, dictation: int, spool: Path | None) -> None:
        """Delete what was heard of a dictation that was captured and then aborted."""
        kept = None
        if spool is not None:
            try:
                self._spools.delete(spool)
            except StorageError as error:
                log.warning("an aborted recording stays: %s", error)
                kept = str(spool)
        await self._ledger.move(dictation, Phase.ABORTED, reason="aborted", raw="", text="", spool=kept)

    @staticmethod
    def _delete(spool: Spool) -> bool:
        """Delete the audio; tell whether it is gone."""
        try:
            spool.delete()
        except StorageError as error:
            log.warning("a recording could not be deleted: %s", error)
            return False
        return True

    async def watch(self, opened: Open) -> str:
        """Have the sign given, and return why the recording must end by itself, as a sentence for the user.

        Empty: it ended as it was asked to, and its text may be typed.

        Raises:
            CaptureError: the device went away, or never gave a sample.
        """
        await opened.recording.first_sample()
        async with asyncio.TaskGroup() as group:
            sign = group.create_task(self._sign.give(opened.dictation, opened.recording, opened.spool))
            ended = group.create_task(opened.recording.ended())
            limit = group.create_task(self._limit(opened))
            done, others = await asyncio.wait({ended, limit}, return_when=asyncio.FIRST_COMPLETED)
            for other in (*others, sign):
                other.cancel()
        if ended in done:
            raise CaptureError(ended.result(), reason=CaptureReason.LOST, hint="v2m devices")
        return limit.result()

    def _warn(self, dictation: int, left_s: float) -> None:
        ends = f"It ends by itself in {self._limits.warn_before_s:.0f} s."
        self._announcer.say("Recording", ends, urgent=True)
        self._events.publish(LimitApproached(dictation, round(left_s, 1)))

    async def _limit(self, opened: Open) -> str:
        """Publish levels while somebody listens; return when a limit has been reached."""
        limits, warned = self._limits, False
        silence_s = limits.toggled_silence_s if opened.wishes.toggled else limits.lost_release_silence_s
        hands_free_s, pause_s = opened.wishes.until_silence_s, QUIET_PERIOD_S
        if hands_free_s is not None:
            pause_s = min(QUIET_PERIOD_S, hands_free_s / 4)
        while True:
            listened = self._events.has_listeners(Level)
            if listened:
                self._events.publish(Level(round(decibels(opened.spool.take_level()), 1)))
            recorded_s = opened.spool.head / SAMPLE_RATE_HZ
            if recorded_s >= limits.max_recording_s:
                return f"The longest recording, {limits.max_recording_s:.0f} s, is over."
            if not warned and recorded_s >= limits.max_recording_s - limits.warn_before_s > 0:
                warned = True
                self._warn(opened.dictation, limits.max_recording_s - recorded_s)
            spoken_s = (opened.utterance.speech_until - opened.spool.preroll) / SAMPLE_RATE_HZ  # since START
            silent_s = recorded_s - opened.spool.preroll / SAMPLE_RATE_HZ - max(0, spoken_s)
            if hands_free_s is not None and spoken_s > 0 and silent_s >= hands_free_s:
                return ""
            if silent_s >= silence_s:
                return f"Nobody has spoken for {silence_s:.0f} s."
            await asyncio.sleep(LEVEL_PERIOD_S if listened else pause_s)
