"""The speech process: a thread that listens, a thread that holds the model, one socket to the daemon.

A child of the daemon, so that a crash in native code costs a decode and no recording. It gets plain
arguments, opens nothing by path but its model, may not write or open a socket, and ends as soon as its socket does.
"""

import argparse
import contextlib
import json
import math
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, Final

from v2m.domain.errors import EngineError, ModelMissingError
from v2m.domain.ports import SpeechEngine, VoiceActivityDetector
from v2m.domain.segments import SegmentRules
from v2m.domain.text.vocabulary import Vocabulary, parse_vocabulary
from v2m.infrastructure._confine import confine
from v2m.infrastructure._confine_memory import close_memory
from v2m.infrastructure.engines._channel import Channel
from v2m.infrastructure.engines._listening import Listening
from v2m.infrastructure.engines._messages import Confined, Failed
from v2m.infrastructure.engines._model_files import ModelFiles

ENGINES: Final = ("moonshine", "whisper", "sherpa", "onnx-asr", "scripted", "none")

EXIT_BROKEN: Final = 70  # a programming error
EXIT_NO_MODEL: Final = 78


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
    parser.add_argument("--engine", choices=ENGINES, default="moonshine", help="none: listen only, for others")
    parser.add_argument("--brief", type=_brief, default=({}, ()), help="descriptor of what the engine is built with")
    parser.add_argument("--vad", choices=["silero", "none"], help="none: everything is speech; scripted needs none")
    for rule in fields(SegmentRules):
        parser.add_argument(f"--{rule.name.replace('_', '-')}", type=float, default=rule.default)
    return parser.parse_args(argv)


def _brief(text: str) -> tuple[dict[str, Any], list[str]]:
    """Read options and vocabulary from a descriptor: a command line is short, and everybody may read it."""
    with open(int(text), encoding="utf-8") as brief:  # noqa: PTH123 - a descriptor
        options, vocabulary = json.load(brief)
    return options, vocabulary


def find_model(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of an engine's adapter, with the embedded model found. Raises ModelMissingError."""
    if name == "moonshine":
        return _find_moonshine(**options)
    return {key: Path(value) if key == "models_dir" else value for key, value in options.items()}


def _find_moonshine(
    *, folder: str = "", copy: str | None = None, verified: str | None = None, threads: int = 1
) -> dict[str, Any]:
    """Find the embedded model, or the one in a folder; `copy` is where one of its own may be."""
    from v2m.infrastructure.models import moonshine_files

    found = moonshine_files.locate(
        configured=Path(folder) if folder else None,
        copy=Path(copy) if copy else None,
        verified=Path(verified) if verified else None,
    )
    return {"folder": found, "threads": threads}


def take_refuge(name: str, options: Mapping[str, Any]) -> Confined:
    """Give up every right that the engine does not need, for good; tell what came of that."""
    readable = [options["folder"]] if "folder" in options else []
    if "model" in options:
        with contextlib.suppress(ModelMissingError):  # told when it is loaded
            readable.append(ModelFiles(name, options["model"], options.get("models_dir")).folder())
    gpu = options.get("device", options.get("provider", "cpu")) != "cpu"
    found = confine(readable, gpu=gpu)
    return Confined(found.held, found.reason)


def build_engine(name: str, options: Mapping[str, Any], vocabulary: Vocabulary) -> SpeechEngine:
    """Make an engine, unloaded, from what `find_model` returned."""
    match name:
        case "whisper":
            from v2m.infrastructure.engines.faster_whisper import FasterWhisperEngine

            return FasterWhisperEngine(**options, vocabulary=vocabulary.words)
        case "sherpa":
            from v2m.infrastructure.engines.sherpa_onnx import SherpaOnnxEngine

            return SherpaOnnxEngine(**options, hotwords=vocabulary.words)
        case "onnx-asr":
            from v2m.infrastructure.engines.onnx_asr import OnnxAsrEngine

            return OnnxAsrEngine(**options)
        case "scripted":
            from v2m.infrastructure.engines.scripted import ScriptedEngine

            return ScriptedEngine(**options)
        case _:
            from v2m.infrastructure.engines.moonshine import MoonshineEngine

            return MoonshineEngine(**options, vocabulary=vocabulary)


def build_listening(channel: Channel, arguments: argparse.Namespace, vocabulary: Vocabulary) -> Listening:
    """Put the parts together. Raises EngineError when the VAD cannot be loaded."""
    names = vocabulary.names
    vad = arguments.vad or ("none" if arguments.engine == "scripted" else "silero")
    if vad == "none":  # one utterance per recording, whatever it sounds like
        return Listening(channel, build_vad=None, rules=SegmentRules.whole(math.inf), names=names)
    rules = SegmentRules(**{rule.name: getattr(arguments, rule.name) for rule in fields(SegmentRules)})
    return Listening(channel, build_vad=_build_vad, rules=rules, names=names)


def _build_vad() -> VoiceActivityDetector:
    from v2m.infrastructure.vad.levelled import LevelledVad
    from v2m.infrastructure.vad.silero import SileroVad

    return LevelledVad(SileroVad())


def decode(
    channel: Channel, listening: Listening, make_engine: Callable[[], SpeechEngine], vocabulary: Vocabulary
) -> None:
    """Be the model thread; an engine that cannot be loaded is the end of the process."""
    try:
        listening.decode(make_engine(), vocabulary)
    except EngineError as error:
        channel.send(Failed(error.code, str(error), error.hint))
        os._exit(EXIT_NO_MODEL)


def close_the_hatches() -> None:
    """Leave no trace of what was said, in a core dump or for a debugger; leave Ctrl-C to the daemon."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    close_memory()
    # The C environment, which OpenBLAS reads when numpy loads it: v2m multiplies no matrices in numpy,
    # and a pool of threads would cost memory.
    os.putenv("OPENBLAS_NUM_THREADS", "1")
    # onnxruntime reports to its makers since 1.29 (microsoft/onnxruntime, pull 27379), unless this is set as it loads.
    os.putenv("ORT_DISABLE_TELEMETRY", "1")


def main() -> None:
    """Run the process to the daemon's end."""
    arguments = parse()
    close_the_hatches()
    channel = Channel(arguments.channel)
    options, entries = arguments.brief
    vocabulary = parse_vocabulary(entries)
    try:
        options = find_model(arguments.engine, options)
        channel.send(take_refuge(arguments.engine, options))
        listening = build_listening(channel, arguments, vocabulary)
    except EngineError as error:
        channel.send(Failed(error.code, str(error), error.hint))
        sys.exit(EXIT_NO_MODEL)
    if arguments.engine == "none":
        listening.do_without()
    else:
        make_engine = partial(build_engine, arguments.engine, options, vocabulary)
        work = partial(decode, channel, listening, make_engine, vocabulary)
        threading.Thread(target=or_exit, args=(work,), name="model", daemon=True).start()
    or_exit(listening.run)


if __name__ == "__main__":
    main()
