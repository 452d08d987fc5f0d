"""One suite for every engine inside the worker, then what is the embedded one's own: files, loops, sizes."""

import os
import shutil
import subprocess
import sys
import threading
from array import array
from pathlib import Path

import pytest

from support.models import whisper_model
from support.onnx_models import (
    moonshine_for_sherpa,
    parakeet_for_onnx_asr,
    parakeet_for_sherpa,
    streaming_zipformer,
    zipformer,
)
from support.onnx_whispers import sense_voice, whisper_for_sherpa
from support.speech import RATE, silence, wheel_assets, wheel_clips, word_error_rate
from v2m.domain.errors import EngineError, ModelMissingError
from v2m.infrastructure.engines._moonshine_decoder import loop_length
from v2m.infrastructure.engines._moonshine_tokens import load_pieces
from v2m.infrastructure.engines.faster_whisper import FasterWhisperEngine
from v2m.infrastructure.engines.moonshine import MoonshineEngine
from v2m.infrastructure.engines.onnx_asr import OnnxAsrEngine
from v2m.infrastructure.engines.scripted import ScriptedEngine
from v2m.infrastructure.engines.sherpa_onnx import SherpaOnnxEngine
from v2m.infrastructure.models import moonshine_files
from v2m.infrastructure.models.moonshine_files import locate

pytestmark = pytest.mark.contract

FILES = ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin")


@pytest.fixture(scope="module")
def moonshine():
    engine = MoonshineEngine(folder=wheel_assets() / "tiny-en")
    engine.load()
    return engine


def whisper(folder: Path):
    return FasterWhisperEngine(model=whisper_model(folder), device="cpu", temperature=[0.0], cpu_threads=1)


def onnx_asr(folder: Path):
    return OnnxAsrEngine(model=parakeet_for_onnx_asr(folder))


def sherpa(make_model):
    return lambda folder: SherpaOnnxEngine(model=make_model(folder))


# How each engine is made in an empty folder, and whether it says how sure it is.
ENGINES = {
    "scripted": (lambda _: ScriptedEngine(["Hello {n}."]), True),
    "moonshine": (lambda _: MoonshineEngine(folder=wheel_assets() / "tiny-en"), True),
    "whisper": (whisper, True),
    "sherpa-parakeet": (sherpa(parakeet_for_sherpa), True),
    "sherpa-zipformer": (sherpa(zipformer), True),
    "sherpa-streaming": (sherpa(streaming_zipformer), True),
    "sherpa-whisper": (sherpa(whisper_for_sherpa), False),
    "sherpa-moonshine": (sherpa(moonshine_for_sherpa), False),
    "sherpa-sense-voice": (sherpa(sense_voice), False),
    "onnx-asr": (onnx_asr, True),
}


@pytest.fixture(scope="module", params=ENGINES)
def engine(request, tmp_path_factory):
    make, _ = ENGINES[request.param]
    engine = make(tmp_path_factory.mktemp("model") / "small")
    engine.load()
    return engine


@pytest.fixture
def says_how_sure(request):
    return ENGINES[request.node.callspec.params["engine"]][1]


@pytest.fixture
def model(tmp_path) -> Path:
    """A copy of the model in a folder of another name."""
    folder = tmp_path / "another model"
    shutil.copytree(wheel_assets() / "tiny-en", folder)
    return folder


def decode(engine, pcm, language="auto"):
    stream = engine.open_stream(language)
    stream.feed(pcm)
    return stream.finish()


# --- every engine -------------------------------------------------------------------------------------


def test_it_says_what_it_can_do(engine):
    assert engine.capabilities.name
    assert engine.capabilities.languages
    assert not engine.capabilities.network


def test_speech_becomes_text_with_a_confidence(engine, says_how_sure):
    heard = decode(engine, wheel_clips()[0].pcm)
    assert heard.text == " ".join(heard.text.split()) != ""
    assert (heard.confidence is not None) == says_how_sure
    assert (heard.confidence or 0) <= 0


def test_words_are_the_text(engine):
    heard = decode(engine, wheel_clips()[0].pcm)
    assert not heard.words or " ".join(word.text for word in heard.words) == heard.text


def test_audio_may_come_in_pieces_of_any_size(engine):
    pcm = wheel_clips()[1].pcm
    whole = decode(engine, pcm).text
    stream = engine.open_stream("auto")
    for start in range(0, len(pcm), 998):
        stream.feed(memoryview(pcm)[start : start + 998])
    assert (stream.finish().text == whole) or engine.capabilities.name == "scripted"


def test_utterances_do_not_know_of_each_other(engine):
    first = decode(engine, wheel_clips()[1].pcm).text
    decode(engine, wheel_clips()[2].pcm)
    assert decode(engine, wheel_clips()[1].pcm).text == first or engine.capabilities.name == "scripted"


def test_nothing_fed_is_no_error(engine):
    assert isinstance(engine.open_stream("auto").finish().text, str)


@pytest.mark.parametrize("samples", [1, 160, 895])
def test_a_few_samples_are_no_error(engine, samples):
    assert isinstance(decode(engine, wheel_clips()[0].pcm[: 2 * samples]).text, str)


def test_clipped_sound_is_no_error(engine):
    loud = array("h", (max(-32768, min(32767, 40 * sample)) for sample in array("h", wheel_clips()[1].pcm)))
    assert isinstance(decode(engine, loud.tobytes()).text, str)


def test_a_sign_of_life_comes_with_each_step(engine):
    signs = []
    stream = engine.open_stream("auto")
    stream.feed(wheel_clips()[0].pcm)
    stream.finish(lambda: signs.append(1))
    assert signs or engine.capabilities.name == "scripted"


def test_a_language_that_it_cannot_do_is_refused_with_one_that_can(engine):
    if "*" in engine.capabilities.languages:
        engine.open_stream("tlh")
        return
    with pytest.raises(EngineError, match=f"{engine.capabilities.name} cannot do the language 'sw'") as caught:
        engine.open_stream("sw")
    assert "whisper" in str(caught.value)
    assert "pip install 'v2m[whisper]'" in caught.value.hint


@pytest.mark.parametrize("tag", ["en", "en-US"])
def test_a_region_does_not_matter(engine, tag):
    assert isinstance(decode(engine, wheel_clips()[1].pcm, tag).text, str)


def test_an_abandoned_utterance_ends_soon(engine):
    stream = engine.open_stream("en")
    stream.feed(wheel_clips()[-3].pcm)
    stream.abandon()
    stream.finish()


def test_a_slow_engine_is_interrupted_by_abandon():
    stream = ScriptedEngine(["late"], delay_s=3600).open_stream("auto")
    finishing = threading.Thread(target=stream.finish)
    finishing.start()
    stream.abandon()
    finishing.join(timeout=30)
    assert not finishing.is_alive()


def test_a_script_goes_round_and_counts():
    engine = ScriptedEngine(["one", "number {n}"])
    assert [decode(engine, b"").text for _ in range(4)] == ["one", "number 2", "one", "number 4"]
    assert decode(ScriptedEngine([]), b"").text == ""


# --- the embedded engine ------------------------------------------------------------------------------


def test_whole_utterances_are_understood(moonshine):
    speech = [clip for clip in wheel_clips() if clip.kind == "speech"]
    assert word_error_rate([(clip.text, decode(moonshine, clip.pcm).text) for clip in speech]) <= 0.06


@pytest.mark.parametrize("samples", [0, 1, 894, 895, 896, 30 * RATE])
def test_any_length_is_decoded(moonshine, samples):
    speech = b"".join(clip.pcm for clip in wheel_clips())[: samples * 2]
    assert len(speech) == samples * 2
    heard = decode(moonshine, speech)
    assert (heard.text == "") if samples == 0 else heard.confidence is not None
    if samples == 30 * RATE:
        assert len(heard.text.split()) > 40


def test_abandoning_drops_the_rest_of_the_text(moonshine):
    stream = moonshine.open_stream("en")
    stream.feed(wheel_clips()[3].pcm)
    stream.abandon()
    assert stream.finish().text == ""


def test_invented_music_ends_at_the_token_limit(moonshine):
    heard = decode(moonshine, silence(5))
    assert len(heard.text) <= 5 * 6.5 + 2


def test_a_decoder_that_loops_is_cut():
    assert loop_length([9, 8, 7] * 4, least=12) == 9
    assert loop_length([1, 2, *[5] * 12], least=12) == 11
    assert loop_length([1, 2, *[5] * 11], least=12) == 0
    assert loop_length([7, 8] * 3, least=12) == 0
    assert loop_length([7, 8] * 3, least=4) == 4
    assert loop_length(list(range(20)), least=12) == 0
    assert loop_length([], least=1) == 0


def test_the_tokenizer_file_is_read_to_its_end(tmp_path):
    pieces = load_pieces(wheel_assets() / "tiny-en" / "tokenizer.bin")
    assert len(pieces) == 32_768
    assert pieces[3:259] == [bytes([value]) for value in range(256)]
    long = tmp_path / "long.bin"
    long.write_bytes(b"\x01a\x00\x82\x01" + b"b" * 130)
    assert load_pieces(long) == [b"a", b"", b"b" * 130]
    for cut in (b"\x05abc", b"\x82", b"\x82\x01b"):
        long.write_bytes(cut)
        with pytest.raises(ValueError, match="cut off"):
            load_pieces(long)


def test_any_folder_with_the_three_files_works(model):
    folder = locate(configured=model, copy=None, verified=None)
    engine = MoonshineEngine(folder=folder, threads=2)
    engine.load()
    assert decode(engine, wheel_clips()[1].pcm).text == "No matter."


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "gone"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_model_is_named_with_its_remedy(model, name, damage):
    file = model / name
    match damage:
        case "cut":
            os.truncate(file, file.stat().st_size // 2)
        case "garbage":
            file.write_bytes(os.urandom(10_000))
        case "empty":
            file.write_bytes(b"")
        case "gone":
            file.unlink()
    with pytest.raises(ModelMissingError) as caught:
        MoonshineEngine(folder=model).load()
    assert str(model) in str(caught.value)
    assert "transcription.model_dir" in caught.value.hint


# --- its files ----------------------------------------------------------------------------------------


def locate_beside(packages: Path, copy: Path) -> str:
    """Return what `locate` says when `packages` comes first on the path: a folder, or a complaint and hint."""
    code = (
        "import sys; from pathlib import Path\n"
        "from v2m.domain.errors import ModelMissingError\n"
        "from v2m.infrastructure.models.moonshine_files import locate\n"
        "try: print(locate(configured=None, copy=Path(sys.argv[1]), verified=None))\n"
        "except ModelMissingError as error: print(error, error.hint)\n"
        "assert 'moonshine_voice' not in sys.modules"
    )
    path = os.pathsep.join(filter(None, [str(packages), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", code, str(copy)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_model_is_found_in_the_wheel_without_importing_it(tmp_path):
    assert Path(locate_beside(tmp_path, tmp_path)) == wheel_assets() / "tiny-en"


def test_a_wheel_without_weights_gives_way_to_the_copy(model, tmp_path):
    (tmp_path / "packages" / "moonshine_voice").mkdir(parents=True)
    (tmp_path / "packages" / "moonshine_voice" / "__init__.py").write_text("raise SystemExit('imported')")
    assert Path(locate_beside(tmp_path / "packages", model)) == model
    told = locate_beside(tmp_path / "packages", tmp_path / "nothing")
    assert told.startswith("The speech model is not installed.")
    assert moonshine_files.REINSTALL in told


def test_a_damaged_copy_is_told_with_the_file_and_the_remedy(model, tmp_path):
    (tmp_path / "packages" / "moonshine_voice").mkdir(parents=True)
    (tmp_path / "packages" / "moonshine_voice" / "__init__.py").write_text("")
    (model / FILES[1]).write_bytes(b"x")
    told = locate_beside(tmp_path / "packages", model)
    assert f"{model} is damaged: {FILES[1]}" in told
    assert moonshine_files.REINSTALL in told


def test_a_configured_folder_needs_the_three_names_only(model):
    assert locate(configured=model, copy=None, verified=None) == model
    (model / FILES[0]).unlink()
    with pytest.raises(ModelMissingError, match=FILES[0]) as caught:
        locate(configured=model, copy=None, verified=None)
    assert "transcription.model_dir" in caught.value.hint


def test_files_are_compared_once_until_they_change(model, tmp_path):
    verified = tmp_path / "cache" / "verified.json"
    file = model / FILES[0]
    assert is_whole(file, verified)
    assert verified.parent.stat().st_mode & 0o777 == 0o700
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    file.write_bytes(content)
    assert not is_whole(file, verified)
    os.utime(file, ns=times)  # size and time as before: believed, as it is not read again
    assert is_whole(file, verified)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"x": 1}', "\x00"])
def test_a_broken_memory_of_comparisons_is_no_problem(model, tmp_path, content):
    verified = tmp_path / "verified.json"
    verified.write_text(content)
    assert is_whole(model / FILES[2], verified)


def test_a_memory_that_cannot_be_written_is_no_problem(model, tmp_path):
    (tmp_path / "file").write_text("")
    assert is_whole(model / FILES[2], tmp_path / "file" / "verified.json")


def test_the_remedy_for_a_missing_model_names_the_exact_package():
    assert "moonshine-voice==0.1.0" in moonshine_files.REINSTALL


def is_whole(file, verified):
    return moonshine_files._is_whole(file, verified)
