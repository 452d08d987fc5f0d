"""The world of a life in `support.orders`: ports that fail when they are told to.

Every word is one block of samples that all have its number, and one character of the text, so that it is known of
each sample where it ended.
"""

import asyncio
import sys
from array import array
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache

from v2m.domain.audio import CaptureReport
from v2m.domain.delivery import Window
from v2m.domain.errors import CaptureError, CaptureReason, EngineError
from v2m.domain.ports import EngineCapabilities
from v2m.domain.transcript import Transcript
from v2m.infrastructure._spool import SpoolReader

WORD_SAMPLES = 160
WORD_S = WORD_SAMPLES / 16000
FIRST_WORD = 0x4E00  # ideographs: single characters that no text rule touches
LOUD = 1000  # added to a word's number, so that no sample is as quiet as a muted microphone


class BreachError(AssertionError):
    """A promise was broken."""


class PlannedBugError(Exception):
    """An output breaks as no output should; the connection's wall would answer `internal`."""


def letter(word: int) -> str:
    """Return the character that is written for a word, from 1."""
    return chr(FIRST_WORD + word)


@cache
def block(word: int) -> bytes:
    """Return the samples of a word; word 0 is silence."""
    return array("h", [word + LOUD if word else 0] * WORD_SAMPLES).tobytes()


def words_in(pcm) -> list[int]:
    """Return the words that are in samples. Raises BreachError when one is not whole."""
    content, found = bytes(pcm), []
    for at in range(0, len(content), 2 * WORD_SAMPLES):
        value = int.from_bytes(content[at : at + 2], sys.byteorder)
        word = value and value - LOUD
        if content[at : at + 2 * WORD_SAMPLES] != block(word):
            raise BreachError(f"samples are missing within word {word}")
        if word:
            found.append(word)
    return found


@dataclass
class Desk:
    """What survives every life: the window, the clipboard, and the faults to come."""

    screen: list[str] = field(default_factory=list)
    typed: Counter = field(default_factory=Counter)  # letters, how often
    asked: Counter = field(default_factory=Counter)  # letters, how often somebody wanted them typed
    clipboard: str = ""
    clipboard_broken: bool = False
    window: Window = field(default_factory=lambda: Window("w:1", "editor", pid=1))
    output_faults: deque = field(default_factory=deque)  # (kind, position)
    eraser_fault: int | None = None
    engine_faults: deque = field(default_factory=deque)  # "error", "death", "hang"
    engine_s: float = 0.05
    key_s: float = 0.002  # per character
    refusals: deque = field(default_factory=deque)  # CaptureReason
    open_s: float = 0.005
    close_fails: bool = False
    disk_full: bool = False
    latest: int = 0  # the last letter that was typed without being asked for again
    breaches: list[str] = field(default_factory=list)
    unheard: set[int] = field(default_factory=set)  # words of audio that the engine failed with

    def broken(self, promise: str) -> BreachError:
        """Take note of a breach: who raises it may be inside one of the application's walls."""
        self.breaches.append(promise)
        return BreachError(promise)

    def type(self, character: str) -> None:
        """Let a character appear. Raises BreachError when nobody asked for it any more."""
        self.typed[character] += 1
        if self.typed[character] > self.asked[character]:
            raise self.broken(f"{character} was typed {self.typed[character]} times, asked {self.asked[character]}")
        if self.asked[character] == 1:
            if ord(character) <= self.latest:
                raise self.broken(f"{character} was typed after {chr(self.latest)}, which was spoken later")
            self.latest = ord(character)
        self.screen.append(character)


class Mortal:
    """Something that stops having any effect when its life ends."""

    dead = False


class Microphone(Mortal):
    """`Microphone`; `speak` is what arrives at it."""

    name = "scripted"

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.recording: ScriptedRecording | None = None

    async def warm(self) -> None:
        pass

    async def release(self) -> None:
        if self.recording is not None and not self.dead:
            raise self._desk.broken("the microphone was to be let go while it recorded")

    async def aclose(self) -> None:
        pass

    async def devices(self):
        return []

    async def open(self, spool):
        if self.recording is not None:
            raise self._desk.broken("two recordings at once")
        await asyncio.sleep(self._desk.open_s)
        if self._desk.refusals:
            raise CaptureError("No.", reason=self._desk.refusals.popleft(), hint="v2m devices")
        self.recording = ScriptedRecording(self, self._desk, spool)
        return self.recording


class ScriptedRecording:
    """`Recording`."""

    source, backend, notice = "a microphone", "scripted", ""

    def __init__(self, microphone: Microphone, desk: Desk, spool) -> None:
        self._microphone = microphone
        self._desk = desk
        self.spool = spool
        self.first = asyncio.Event()
        self._over = asyncio.Event()
        self.lost: str | None = None
        self._report: CaptureReport | None = None

    def hear(self, pcm: bytes) -> None:
        """Store what was said."""
        if self.spool.append(pcm) * 2 != len(pcm):
            raise self._desk.broken("samples found no room")
        self.first.set()

    def lose(self) -> None:
        """The device goes away."""
        self.lost = "The microphone went away."
        self._over.set()

    async def first_sample(self) -> None:
        over = asyncio.get_running_loop().create_task(self._over.wait())
        first = asyncio.get_running_loop().create_task(self.first.wait())
        try:
            await asyncio.wait({over, first}, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            first.cancel()
        if not self.first.is_set():
            why = CaptureReason.LOST if self.lost else CaptureReason.SILENT
            raise CaptureError(self.lost or "No sound.", reason=why, hint="v2m devices")

    async def ended(self) -> str:
        await self._over.wait()
        return self.lost or ""

    async def close(self) -> CaptureReport:
        if self._report is None:
            await asyncio.sleep(0.004)
            if self._microphone.recording is self:
                self._microphone.recording = None
            spool = self.spool
            self._report = CaptureReport(spool.head, peak=spool.peak, source=self.source, lost=self.lost)
            if self._desk.close_fails and not self._microphone.dead:
                self._desk.close_fails = False
                raise CaptureError("It broke.", reason=CaptureReason.LOST)
        return self._report


class Engine(Mortal):
    """`Transcriber` that hears exactly what is in the audio."""

    state, loads, detail = "ready", 1, ""
    capabilities = EngineCapabilities("exact", ("*",))

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.open_readers: set[SpoolReader] = set()
        self.spoken_until = 0  # sample of the open recording

    def open(self, dictation, audio_fds, options, on_partial=None):
        return Hearing(self, SpoolReader(*audio_fds), live=options.live)

    async def wait_ready(self) -> None:
        pass

    async def run(self) -> None:
        pass

    async def aclose(self) -> None:
        for reader in self.open_readers:
            reader.close()
        self.open_readers.clear()


class Hearing:
    """`Utterance`."""

    speaking = False

    def __init__(self, engine: Engine, reader: SpoolReader, *, live: bool) -> None:
        self._engine = engine
        self._reader = reader
        self._live = live
        engine.open_readers.add(reader)

    @property
    def speech_until(self) -> int:
        return self._engine.spoken_until

    async def quiet(self) -> None:
        pass

    async def finish(self, samples: int) -> Transcript:
        fault = self._engine.desk.engine_faults.popleft() if self._engine.desk.engine_faults else ""
        if fault == "never answers":
            await self._nothing(samples)
        await asyncio.sleep(8.0 if fault == "hangs" else self._engine.desk.engine_s)
        try:
            words = words_in(self._reader.pcm(0, samples))
        except BreachError as breach:
            raise self._engine.desk.broken(str(breach)) from breach
        if fault:
            self._engine.desk.unheard.update(words)
            raise EngineError(f"The engine said {fault}.", hint="v2m status")
        text = "".join(map(letter, words))
        return Transcript(text, "exact", samples / 16000, samples / 16000, segments=1)

    async def _nothing(self, samples: int) -> None:
        self._engine.desk.unheard.update(words_in(self._reader.pcm(0, samples)))
        await asyncio.Event().wait()

    async def abandon(self) -> None:
        self._engine.open_readers.discard(self._reader)
        with suppress(ValueError):
            self._reader.close()
