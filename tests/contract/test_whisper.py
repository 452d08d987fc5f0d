"""Whisper through faster-whisper: CUDA that fails, languages, long audio, damaged models. The weights are random."""

import os
import shutil

import pytest
from faster_whisper import WhisperModel

from support.models import whisper_model
from support.speech import RATE, silence, wheel_clips
from v2m.domain.errors import EngineError, ModelMissingError
from v2m.domain.transcript import Hypothesis
from v2m.infrastructure.engines.faster_whisper import FasterWhisperEngine

pytestmark = pytest.mark.contract

PLAIN = {"device": "cpu", "temperature": [0.0], "cpu_threads": 1}
GPU = {**PLAIN, "device": "cuda"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return whisper_model(tmp_path_factory.mktemp("models") / "whisper-small", seed=3)


@pytest.fixture(scope="module")
def english(tmp_path_factory):
    return whisper_model(tmp_path_factory.mktemp("models") / "whisper-small.en", multilingual=False, seed=3)


def loaded(**arguments):
    engine = FasterWhisperEngine(**arguments)
    engine.load()
    return engine


def decode(engine, pcm, language="auto"):
    stream = engine.open_stream(language)
    stream.feed(pcm)
    return stream.finish()


class Cuda:
    """Pretends to be a GPU: the real library on the CPU, which fails from the n-th decode on."""

    def __init__(self, failing_from: int, error: type[Exception] = RuntimeError) -> None:
        self.devices = []
        self._decodes = 0
        self._failing_from = failing_from
        self._error = error

    def __call__(self, folder, *, device, compute_type, device_index, **others):
        self.devices.append((device, compute_type, device_index))
        self._real = WhisperModel(folder, device="cpu", compute_type="int8", **others)
        return self if device == "cuda" else self._real

    def __getattr__(self, name):
        return getattr(self._real, name)

    def transcribe(self, samples, **options):
        self._decodes += 1
        if self._decodes > self._failing_from:
            raise self._error("CUDA failed with error out of memory\nat line 5")
        return self._real.transcribe(samples, **options)


# --- without a GPU ------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_without_cuda_the_cpu_takes_over_and_says_so(model, device):
    engine = loaded(**{**PLAIN, "model": model, "device": device, "compute_type": "float16"})
    assert not engine.capabilities.gpu
    assert engine.capabilities.notice.startswith("CUDA cannot be used (")
    assert engine.capabilities.notice.endswith(", so Whisper runs on the CPU in int8.")
    assert decode(engine, wheel_clips()[0].pcm) == decode(loaded(model=model, **PLAIN), wheel_clips()[0].pcm)


def test_a_cpu_that_was_asked_for_needs_no_notice(model):
    assert loaded(model=model, **PLAIN).capabilities.notice == ""


def test_a_gpu_that_works_is_kept(model):
    cuda = Cuda(failing_from=100)
    engine = loaded(model=model, make_model=cuda, **GPU)
    decode(engine, wheel_clips()[0].pcm)
    assert cuda.devices == [("cuda", "int8_float16", 0)]
    assert engine.capabilities.gpu
    assert engine.capabilities.notice == ""


def test_a_gpu_that_fails_while_loading_gives_way_to_the_cpu(model):
    cuda = Cuda(failing_from=0)
    engine = loaded(model=model, make_model=cuda, **{**GPU, "device_index": 1})
    assert cuda.devices == [("cuda", "int8_float16", 1), ("cpu", "int8", 0)]
    assert not engine.capabilities.gpu
    assert decode(engine, wheel_clips()[0].pcm).text


def test_a_model_that_is_damaged_is_not_the_gpus_fault(model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "mine")
    (folder / "tokenizer.json").write_text("{")  # which the library reads after the GPU has the weights
    with pytest.raises(ModelMissingError, match="EOF while parsing"):
        loaded(model=folder, make_model=Cuda(failing_from=100), **GPU)


@pytest.mark.parametrize("error", [RuntimeError, ValueError])
def test_a_gpu_that_fails_at_the_third_decode_loses_no_word(model, error):
    cuda = Cuda(failing_from=3, error=error)  # the first decode is that of loading
    engine = loaded(model=model, make_model=cuda, **GPU)
    clips = [clip.pcm for clip in wheel_clips()[:5]]
    heard = [decode(engine, pcm) for pcm in clips]
    assert cuda.devices == [("cuda", "int8_float16", 0), ("cpu", "int8", 0)]
    assert not engine.capabilities.gpu
    assert "CUDA cannot be used (CUDA failed with error out of memory)" in engine.capabilities.notice
    on_cpu = loaded(model=model, **PLAIN)
    assert heard == [decode(on_cpu, pcm) for pcm in clips]


def test_a_cpu_that_cannot_take_over_is_asked_again_with_the_next_utterance(model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "mine")
    engine = loaded(model=folder, make_model=Cuda(failing_from=1), **GPU)
    (folder / "model.bin").rename(tmp_path / "away")
    with pytest.raises(ModelMissingError, match="cannot be loaded"):
        decode(engine, wheel_clips()[0].pcm)
    (tmp_path / "away").rename(folder / "model.bin")
    assert decode(engine, wheel_clips()[0].pcm).text


def test_a_cpu_that_fails_is_an_error(model):
    class Broken(WhisperModel):
        def transcribe(self, samples, **options):
            if options["beam_size"] > 1:  # not the first decode, when it is loaded
                raise RuntimeError("out of memory")
            return super().transcribe(samples, **options)

    engine = loaded(model=model, make_model=Broken, **PLAIN)
    with pytest.raises(EngineError, match="Whisper failed: out of memory"):
        decode(engine, wheel_clips()[0].pcm)


def test_a_precision_that_the_cpu_has_not_is_answered_in_int8(model):
    engine = loaded(model=model, **PLAIN, compute_type="float16")
    assert engine.capabilities.notice == "The CPU cannot compute in float16, so Whisper computes in int8."
    assert decode(engine, wheel_clips()[0].pcm).text


# --- languages ----------------------------------------------------------------------------------------


class Polyglot(WhisperModel):
    """The real library, except for what it takes the language for."""

    heard: tuple[dict[str, float], ...] = ()

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.coming = iter(self.heard)

    def detect_language(self, *arguments, **options):
        super().detect_language(*arguments, **options)
        probabilities = next(self.coming)
        return max(probabilities, key=probabilities.get), 0.0, list(probabilities.items())


def test_it_knows_the_languages_that_the_model_has_a_token_for(model, english):
    assert set(loaded(model=model, **PLAIN).capabilities.languages) == {"en", "de", "fr"}
    assert loaded(model=english, **PLAIN).capabilities.languages == ("en",)


def test_an_english_model_is_known_by_its_name_before_it_is_loaded(english):
    assert FasterWhisperEngine(model=english).capabilities.languages == ("en",)
    assert FasterWhisperEngine(model="small").capabilities.languages == ("*",)


@pytest.mark.parametrize("language", ["de", "de-AT", "fr"])
def test_it_decodes_in_the_language_that_is_asked_for(model, language):
    assert decode(loaded(model=model, **PLAIN), wheel_clips()[0].pcm, language).language == language[:2]


def test_with_one_language_allowed_none_is_looked_for(model):
    class Deaf(WhisperModel):
        def detect_language(self, *arguments, **options):
            raise AssertionError

    engine = loaded(model=model, languages=["de-CH", "sw"], make_model=Deaf, **PLAIN)
    assert decode(engine, wheel_clips()[0].pcm).language == "de"


def test_what_the_user_does_not_speak_is_not_heard(model):
    Polyglot.heard = ({"fr": 0.9, "de": 0.06, "en": 0.04},) * 2
    engine = loaded(model=model, languages=["en", "de"], make_model=Polyglot, **PLAIN)
    assert decode(engine, wheel_clips()[0].pcm).language == "de"
    engine = loaded(model=model, make_model=Polyglot, **PLAIN)
    assert decode(engine, wheel_clips()[0].pcm).language == "fr"


def test_the_language_flips_only_when_that_is_clear(model):
    unsure, sure = {"en": 0.6, "de": 0.4}, {"en": 0.9, "de": 0.1}
    Polyglot.heard = ({"en": 0.1, "de": 0.9}, unsure, unsure, sure, {"en": 0.45, "de": 0.55})
    engine = loaded(model=model, languages=["en", "de"], make_model=Polyglot, **PLAIN)
    heard = [decode(engine, wheel_clips()[0].pcm).language for _ in Polyglot.heard]
    assert heard == ["de", "de", "de", "en", "en"]


def test_the_real_detector_chooses_among_what_is_allowed(model):
    engine = loaded(model=model, languages=["en", "de"], **PLAIN)
    assert {decode(engine, clip.pcm).language for clip in wheel_clips()[:6]} <= {"en", "de"}


# --- long audio ---------------------------------------------------------------------------------------


def a_minute():
    return (b"".join(clip.pcm for clip in wheel_clips()) * 2)[: 70 * RATE * 2]


def test_a_sign_of_life_comes_with_each_segment(model):
    signs = []
    stream = loaded(model=model, **PLAIN).open_stream("en")
    stream.feed(a_minute())
    stream.finish(lambda: signs.append(1))
    assert len(signs) > 3  # one at the beginning, and three windows of 30 s


def test_abandoning_ends_it_after_the_segment_it_is_at(model):
    engine = loaded(model=model, **PLAIN)
    whole = decode(engine, a_minute(), "en").text
    stream = engine.open_stream("en")
    stream.feed(a_minute())
    signs = []

    def abandon_at_the_second():
        signs.append(1)
        if len(signs) == 2:
            stream.abandon()

    text = stream.finish(abandon_at_the_second).text
    assert len(signs) == 2
    assert whole.startswith(text)
    assert 0 < len(text) < len(whole)


def test_its_own_filter_drops_what_is_no_speech(model):
    assert decode(loaded(model=model, **PLAIN), silence(3)) == Hypothesis("")
    assert decode(loaded(model=model, **PLAIN, vad_filter=False), silence(3)).text != ""


# --- models -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["cut", "garbage", "web page", "empty", "gone"])
@pytest.mark.parametrize("name", ["model.bin", "config.json", "vocabulary.json", "tokenizer.json"])
def test_a_damaged_model_is_named_with_its_remedy(model, tmp_path, name, damage):
    folder = shutil.copytree(model, tmp_path / "mine")
    file = folder / name
    match damage:
        case "cut":
            os.truncate(file, file.stat().st_size // 2)
        case "garbage":
            file.write_bytes(os.urandom(10_000))
        case "web page":
            file.write_text("<!DOCTYPE html>" * 1000)
        case "empty":
            file.write_bytes(b"")
        case "gone":
            file.unlink()
    with pytest.raises(ModelMissingError) as caught:
        loaded(model=folder, **PLAIN)
    assert str(folder) in str(caught.value)
    assert "transcription.whisper.model" in caught.value.hint


def test_a_model_of_another_number_of_mel_bands_is_refused(model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "mine")
    (folder / "preprocessor_config.json").write_text('{"feature_size": 128}')
    with pytest.raises(ModelMissingError, match="Invalid input features"):
        loaded(model=folder, **PLAIN)


def test_a_folder_of_another_engine_is_refused(tmp_path):
    (tmp_path / "encoder.onnx").write_bytes(b"x")
    with pytest.raises(ModelMissingError, match=r"there is no model\.bin in it"):
        loaded(model=tmp_path, **PLAIN)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelMissingError, match="no folder") as caught:
        loaded(model=str(tmp_path / "gone"), **PLAIN)
    assert "v2m models list" in caught.value.hint


def test_a_model_by_name_is_looked_for_on_this_machine_only(model):
    models = model.parent
    assert loaded(model="small", models_dir=models, **PLAIN).capabilities.name == "whisper-small"
    assert loaded(model="whisper-small", models_dir=models, **PLAIN).capabilities.languages
    for folder in (models, None):
        with pytest.raises(ModelMissingError, match="large-v3-turbo is not installed") as caught:
            loaded(model="large-v3-turbo", models_dir=folder, **PLAIN)
        assert caught.value.hint == "v2m models download whisper-large-v3-turbo"
