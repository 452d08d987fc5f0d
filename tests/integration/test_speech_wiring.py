"""Each setting of an engine and of the voice detector reaches the process that needs it, and changes nothing else."""

import asyncio
import inspect
import json
from pathlib import Path

import pytest

from support.container import private_home
from support.speech import tended, until
from v2m import worker
from v2m.config import describe, load_settings
from v2m.core.di.speech import make_transcriber
from v2m.infrastructure.engines.faster_whisper import FasterWhisperEngine
from v2m.infrastructure.engines.onnx_asr import OnnxAsrEngine
from v2m.infrastructure.engines.scripted import ScriptedEngine
from v2m.infrastructure.engines.sherpa_onnx import SherpaOnnxEngine

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

ADAPTERS = {
    "whisper": FasterWhisperEngine,
    "sherpa": SherpaOnnxEngine,
    "onnx-asr": OnnxAsrEngine,
    "scripted": ScriptedEngine,
}
WORDS = ["ComfyUI = comfy you eye"]

# (engine, setting, value, what its process is told then and by default is not)
TABLE = [
    ("whisper", "whisper.model", "small", {"model": "small"}),
    ("whisper", "whisper.device", "cuda", {"device": "cuda"}),
    ("whisper", "whisper.compute_type", "float32", {"compute_type": "float32"}),
    ("whisper", "whisper.device_index", 3, {"device_index": 3}),
    ("whisper", "whisper.num_workers", 2, {"num_workers": 2}),
    ("whisper", "whisper.beam_size", 2, {"beam_size": 2}),
    ("whisper", "whisper.best_of", 2, {"best_of": 2}),
    ("whisper", "whisper.temperature", [0.0], {"temperature": [0.0]}),
    ("whisper", "whisper.vad_filter", False, {"vad_filter": False}),
    ("whisper", "whisper.vad_parameters.threshold", 0.7, {"vad_parameters.threshold": 0.7}),
    ("whisper", "whisper.vad_parameters.min_speech_duration_ms", 9, {"vad_parameters.min_speech_duration_ms": 9}),
    ("whisper", "whisper.vad_parameters.min_silence_duration_ms", 9, {"vad_parameters.min_silence_duration_ms": 9}),
    ("whisper", "whisper.vad_parameters.speech_pad_ms", 9, {"vad_parameters.speech_pad_ms": 9}),
    ("whisper", "threads", 3, {"cpu_threads": 3}),
    ("whisper", "languages", ["en", "de"], {"languages": ["en", "de"]}),
    ("whisper", "vocabulary.words", WORDS, {"vocabulary": WORDS}),
    ("sherpa", "sherpa.model", "/mine", {"model": "/mine", "knows": []}),
    ("sherpa", "sherpa.provider", "cuda", {"provider": "cuda"}),
    ("sherpa", "sherpa.decoding", "greedy_search", {"decoding": "greedy_search"}),
    ("sherpa", "sherpa.hotwords_score", 3.5, {"hotwords_score": 3.5}),
    ("sherpa", "threads", 3, {"threads": 3}),
    ("sherpa", "languages", ["en", "de"], {"languages": ["en", "de"]}),
    ("sherpa", "vocabulary.words", WORDS, {"vocabulary": WORDS}),
    ("onnx-asr", "onnx_asr.model", "/mine", {"model": "/mine", "knows": []}),
    ("onnx-asr", "onnx_asr.quantization", "int8", {"quantization": "int8"}),
    ("onnx-asr", "onnx_asr.provider", "cuda", {"provider": "cuda"}),
    ("onnx-asr", "threads", 3, {"threads": 3}),
    ("onnx-asr", "languages", ["en", "de"], {"languages": ["en", "de"]}),
    ("moonshine", "model_dir", "/mine", {"folder": "/mine"}),
    ("moonshine", "threads", 3, {"threads": 3}),
    ("moonshine", "vocabulary.words", WORDS, {"vocabulary": WORDS}),
    ("scripted", "script", ["one", "two"], {"texts": ["one", "two"]}),
    ("scripted", "script_delay_s", 1.5, {"delay_s": 1.5}),
    ("auto", "backend", "scripted", {"engine": "scripted"}),
    ("auto", "vad.threshold", 0.9, {"threshold": 0.9}),
    ("auto", "vad.release_threshold", 0.1, {"hold": 0.1}),
    ("auto", "vad.min_speech_ms", 300, {"min_speech_s": 0.3}),
    ("auto", "vad.min_silence_ms", 900, {"pause_s": 0.9}),
    ("auto", "vad.speech_pad_ms", 100, {"padding_s": 0.1}),
    ("auto", "vad.max_segment_s", 20, {"max_s": 20.0}),
]


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    private_home(tmp_path, monkeypatch)


def whole(setting):
    """Return the full name of a setting of the table."""
    return setting if setting.startswith("vocabulary.") else f"transcription.{setting}"


def started_with(settings):
    """Return the command line of the speech process as that process reads it, its options and its vocabulary."""

    async def scene():
        transcriber = make_transcriber(load_settings(settings), lambda: None)
        async with tended(transcriber, ready=False):
            await until(lambda: transcriber.pid)
            words = Path(f"/proc/{transcriber.pid}/cmdline").read_text().split("\0")[:-1]
            assert not any(WORDS[0] in word for word in words)  # everybody can read it
            words = [word for word in words if not word.startswith("--brief=")]
            arguments = worker.parse(words[words.index("v2m.worker") + 1 :])
            return arguments, transcriber.options, transcriber.vocabulary

    return asyncio.run(scene())


def told(settings):
    """Return rules, engine and options of the speech process by name."""
    arguments, options, vocabulary = started_with(settings)
    arguments, options = vars(arguments), json.loads(json.dumps(options))
    del arguments["channel"], arguments["brief"]
    inner = {f"vad_parameters.{name}": value for name, value in options.pop("vad_parameters", {}).items()}
    return {**arguments, **options, **inner, "vocabulary": vocabulary}


@pytest.mark.parametrize(("engine", "setting", "value", "expected"), TABLE, ids=[f"{row[0]}-{row[1]}" for row in TABLE])
def test_a_setting_reaches_the_process_that_it_is_about(engine, setting, value, expected):
    chosen = {} if engine == "auto" else {"transcription.backend": engine}
    before, after = told(chosen), told({**chosen, whole(setting): value})
    changed = {name: after.get(name) for name in {*before, *after} if before.get(name) != after.get(name)}
    assert changed.items() >= expected.items()
    if setting != "backend":
        assert changed == expected


@pytest.mark.parametrize("engine", ADAPTERS)
def test_what_the_process_is_told_is_what_the_adapter_takes(engine):
    arguments, options, _ = started_with({"transcription.backend": engine})
    assert arguments.engine == engine
    inspect.signature(ADAPTERS[engine]).bind(**options)


def test_the_table_leaves_no_setting_of_these_engines_out():
    tables = ("transcription.vad.", "transcription.whisper.", "transcription.sherpa.", "transcription.onnx_asr.")
    needed = {key.key for key in describe() if key.key.startswith(tables)}
    needed.remove("transcription.whisper.keep_warm")  # is about whether there is a process
    assert needed <= {whole(row[1]) for row in TABLE}
