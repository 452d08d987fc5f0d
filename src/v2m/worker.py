"""The speech process: a VAD thread that listens, a model thread that decodes, one socket to the daemon.

A child of the daemon, so that a crash in native code costs a decode and no recording. It gets plain
arguments, opens nothing by path but its model, and ends as soon as the socket does.
"""

import argparse
import ctypes
import math
import os
import queue
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Final

from v2m.domain.errors import EngineError, StorageError
from v2m.domain.ports import SpeechEngine, VoiceActivityDetector
from v2m.domain.segments import SegmentRules
from v2m.domain.transcript import Segment
from v2m.infrastructure._spool import SpoolReader
from v2m.infrastructure.engines._channel import Channel
from v2m.infrastructure.engines._listener import Listener
from v2m.infrastructure.engines._messages import (
    Abandon,
    Error,
    Failed,
    Finish,
    Heard,
    Message,
    Open,
    Ready,
    Working,
)

TICK_S: Final = 0.1  # how often a growing recording is looked at: what key-up may find unheard
TURN_WINDOWS: Final = 32  # per recording and turn, about 30 ms of work: a long file delays no dictation
ALIVE_S: Final = 0.5  # how often, at most, the daemon hears that the work goes on

EXIT_BROKEN: Final = 70  # a programming error
EXIT_NO_MODEL: Final = 78

_PR_SET_DUMPABLE: Final = 4


class Worker:
    """Both threads and what they share: the recordings, and a queue of their segments to decode.

    A None instead of a segment is the end of a recording.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        build_engine: Callable[[], SpeechEngine],
        build_vad: Callable[[], VoiceActivityDetector] | None,
        rules: SegmentRules,
    ) -> None:
        """Take what to work with; without `build_vad` a recording is one utterance, silent or not."""
        self._channel = channel
        self._build_engine = build_engine
        self._build_vad = build_vad
        self._rules = rules
        self._listeners: dict[int, Listener] = {}
        self._idle_vads = [build_vad()] if build_vad else []
        self._queue: queue.SimpleQueue[tuple[Listener, Segment | None]] = queue.SimpleQueue()
        self._told_at = 0.0  # CLOCK_MONOTONIC; of both threads: a message more or less does no harm

    def run(self) -> None:
        """Work until the daemon goes away. Raises EOFError then."""
        threading.Thread(target=or_exit, args=(self._decode_all,), name="model", daemon=True).start()
        while True:
            behind = any(listener.behind for listener in list(self._listeners.values()))
            listening = any(not listener.ended for listener in list(self._listeners.values()))
            timeout_s = 0 if behind else TICK_S if listening else None
            for message, fd in self._channel.receive(timeout_s):
                self._obey(message, fd)
            for listener in list(self._listeners.values()):
                if not listener.ended:
                    self._advance(listener)

    # --- the listening thread -------------------------------------------------------------------------

    def _obey(self, message: Message, fd: int | None) -> None:
        if isinstance(message, Open) and fd is not None:
            self._open(message, fd)
        elif isinstance(message, Finish | Abandon) and (listener := self._listeners.get(message.job)):
            if isinstance(message, Finish):
                listener.finish(message.samples)
            else:
                self._abandon(listener)

    def _open(self, message: Open, fd: int) -> None:
        try:
            self._listeners[message.job] = self._listener(message, fd)
        except (EngineError, StorageError) as error:
            self._channel.send(Error(message.job, str(error), error.hint))

    def _listener(self, message: Open, fd: int) -> Listener:
        vad = self._take_vad() if message.vad else None
        if not message.file:
            audio = SpoolReader(fd)
            return Listener(message.job, audio, language=message.language, vad=vad, rules=self._rules)
        from v2m.infrastructure.engines._audio_file import AudioFile

        file = AudioFile(fd)
        return Listener(
            message.job,
            file,
            language=message.language,
            vad=vad,
            rules=self._rules,
            read_ahead=file.read_ahead,
        )

    def _take_vad(self) -> VoiceActivityDetector | None:
        if self._build_vad is None:
            return None
        vad = self._idle_vads.pop() if self._idle_vads else self._build_vad()
        vad.reset()
        return vad

    def _advance(self, listener: Listener) -> None:
        heard, started = listener.speech_until, time.perf_counter()
        try:
            segments = listener.advance(TURN_WINDOWS)
        except EngineError as error:
            self._channel.send(Error(listener.job, str(error), error.hint))
            self._abandon(listener)
            return
        listener.vad_ms += (time.perf_counter() - started) * 1000
        for segment in segments:
            self._queue.put((listener, segment))
        if listener.speech_until > heard:
            self._channel.send(Heard(listener.job, listener.speech_until))
        elif listener.behind:
            self._tell_alive()
        if listener.ended:
            self._end(listener)

    def _tell_alive(self) -> None:
        """Give a sign of life, unless there was one just now; a slow machine is not a hanging process."""
        now = time.monotonic()
        if now - self._told_at >= ALIVE_S:
            self._told_at = now
            self._channel.send(Working())

    def _abandon(self, listener: Listener) -> None:
        listener.abandon()
        if not listener.ended:
            listener.ended = True
            self._end(listener)

    def _end(self, listener: Listener) -> None:
        """Listen no more; the model thread answers when its turn comes."""
        if listener.vad is not None:
            self._idle_vads.append(listener.vad)
        self._queue.put((listener, None))

    # --- the model thread -----------------------------------------------------------------------------

    def _decode_all(self) -> None:
        try:
            engine = self._build_engine()
            engine.load()
        except EngineError as error:
            self._channel.send(Failed(error.code, str(error), error.hint))
            os._exit(EXIT_NO_MODEL)
        self._channel.send(Ready(asdict(engine.capabilities)))
        while True:
            listener, segment = self._queue.get()
            if segment is not None:
                self._decode(engine, listener, segment)
            else:
                self._finish(listener)

    def _decode(self, engine: SpeechEngine, listener: Listener, segment: Segment) -> None:
        """Decode a segment, unless nobody wants it any more."""
        started = time.perf_counter()
        try:
            listener.decode(engine, segment, self._tell_alive)
        except EngineError as error:
            listener.abandon()
            self._channel.send(Error(listener.job, str(error), error.hint))
        listener.decode_ms += (time.perf_counter() - started) * 1000
        self._channel.send(Working())

    def _finish(self, listener: Listener) -> None:
        if not listener.abandoned:
            self._channel.send(listener.result())
        del self._listeners[listener.job]
        listener.close()


def or_exit(work: Callable[[], None]) -> None:
    """Run a thread's work; a programming error in it ends the process, which the daemon replaces."""
    try:
        work()
    except EOFError:
        os._exit(0)
    except Exception:  # noqa: BLE001 - the process's wall
        traceback.print_exc()
        os._exit(EXIT_BROKEN)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; the rules of the segmenter have their names and defaults."""
    parser = argparse.ArgumentParser(prog="v2m.worker", description="The speech process of toakd.")
    parser.add_argument("--channel", type=int, required=True, help="descriptor of a connected socket")
    parser.add_argument("--engine", choices=["moonshine", "scripted"], default="moonshine")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model-dir", type=Path, help="folder with another model's three files")
    parser.add_argument("--model-copy", type=Path, help="where a copy of the embedded model may be")
    parser.add_argument("--verified", type=Path, help="remembers which files were compared")
    parser.add_argument("--script", action="append", default=[], help="what the scripted engine says")
    parser.add_argument("--script-delay", type=float, default=0.0, help="seconds it takes for that")
    parser.add_argument("--script-step", type=float, default=math.inf, help="seconds between its signs of life")
    for rule in fields(SegmentRules):
        parser.add_argument(f"--{rule.name.replace('_', '-')}", type=float, default=rule.default)
    return parser.parse_args(argv)


def build_engine(arguments: argparse.Namespace) -> SpeechEngine:
    """Make the engine, unloaded. Raises ModelMissingError."""
    match arguments.engine:
        case "scripted":
            from v2m.infrastructure.engines.scripted import ScriptedEngine

            return ScriptedEngine(arguments.script, delay_s=arguments.script_delay, step_s=arguments.script_step)
        case _:
            from v2m.infrastructure.engines.moonshine import MoonshineEngine
            from v2m.infrastructure.models import moonshine_files

            folder = moonshine_files.locate(
                configured=arguments.model_dir, copy=arguments.model_copy, verified=arguments.verified
            )
            return MoonshineEngine(folder=folder, threads=arguments.threads)


def build_worker(channel: Channel, arguments: argparse.Namespace) -> Worker:
    """Put the parts together. Raises EngineError when the VAD cannot be loaded."""
    make_engine = partial(build_engine, arguments)
    if arguments.engine == "scripted":  # one utterance per recording, whatever it sounds like
        return Worker(channel, build_engine=make_engine, build_vad=None, rules=SegmentRules.whole(math.inf))
    from v2m.infrastructure.vad.silero import SileroVad

    rules = SegmentRules(**{rule.name: getattr(arguments, rule.name) for rule in fields(SegmentRules)})
    return Worker(channel, build_engine=make_engine, build_vad=SileroVad, rules=rules)


def close_the_hatches() -> None:
    """Leave no trace of what was said, in a core dump or for a debugger; leave Ctrl-C to the daemon."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    # The C environment, which OpenBLAS reads when numpy loads it: v2m multiplies no matrices in numpy,
    # and a pool of threads would cost memory.
    os.putenv("OPENBLAS_NUM_THREADS", "1")


def main() -> None:
    """Run the process to the daemon's end."""
    arguments = parse()
    close_the_hatches()
    channel = Channel(arguments.channel)
    try:
        worker = build_worker(channel, arguments)
    except EngineError as error:
        channel.send(Failed(error.code, str(error), error.hint))
        sys.exit(EXIT_NO_MODEL)
    or_exit(worker.run)


if __name__ == "__main__":
    main()
