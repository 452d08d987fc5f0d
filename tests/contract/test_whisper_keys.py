"""Each key of `transcription.whisper` reaches faster-whisper, and there it makes a difference.

The weights are random: what differs is what the library was told, took part in, or said.
"""

import pytest
from faster_whisper import WhisperModel

from support.models import whisper_model
from support.speech import silence, wheel_clips
from v2m.infrastructure.engines.faster_whisper import FasterWhisperEngine

pytestmark = pytest.mark.contract

SPEECH = wheel_clips()[0].pcm


class Recorder:
    """Hands everything on to the real library, and keeps what it was asked and what it says it did."""

    def __init__(self) -> None:
        self.made = []  # what the model was made with
        self.infos = []  # what the library says of each transcription
        self.generated = []  # temperature and number of samples of each try

    def __call__(self, folder, **options):
        self.made.append(options)
        self._real = WhisperModel(folder, **options)
        self._real.model = Generator(self._real.model, self.generated)
        return self

    def __getattr__(self, name):
        return getattr(self._real, name)

    def transcribe(self, samples, **options):
        segments, info = self._real.transcribe(samples, **options)
        self.infos.append(info)
        return segments, info


class Generator:
    """The model inside the library, which is asked once for each temperature."""

    def __init__(self, real, generated) -> None:
        self._real = real
        self._generated = generated

    def __getattr__(self, name):
        return getattr(self._real, name)

    def generate(self, *arguments, **options):
        self._generated.append((options.get("sampling_temperature", 0.0), options.get("num_hypotheses", 1)))
        return self._real.generate(*arguments, **options)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    whisper_model(folder / "whisper-one", seed=3)
    whisper_model(folder / "whisper-two", seed=2)
    whisper_model(folder / "whisper-loop", seed=4)
    return folder


@pytest.fixture
def whisper(models):
    """Return what loads Whisper with some settings, decodes, and returns the text and the recorder."""

    def decoded(pcm=SPEECH, *, model="one", device="cpu", temperature=(0.0,), **settings):
        recorder = Recorder()
        engine = FasterWhisperEngine(
            model=model,
            models_dir=models,
            device=device,
            temperature=temperature,
            make_model=recorder,
            **{"cpu_threads": 1, "languages": ["en"], **settings},
        )
        engine.load()
        stream = engine.open_stream("auto")
        stream.feed(pcm)
        return stream.finish().text, recorder, engine.capabilities

    return decoded


def test_model(whisper):
    assert whisper(model="one")[0] != whisper(model="two")[0]


def test_device(whisper):
    _, recorder, capabilities = whisper(device="cpu")
    assert [made["device"] for made in recorder.made] == ["cpu"]
    assert capabilities.notice == ""
    for device in ("auto", "cuda"):
        _, recorder, capabilities = whisper(device=device)
        assert [made["device"] for made in recorder.made] == ["cuda", "cpu"]
        assert "CUDA" in capabilities.notice


def test_compute_type(whisper):
    assert whisper()[1].model.compute_type == "int8_float32"
    assert whisper(compute_type="float32")[1].model.compute_type == "float32"
    _, recorder, _ = whisper(device="cuda", compute_type="auto")
    assert [made["compute_type"] for made in recorder.made] == ["int8_float16", "int8"]
    _, recorder, _ = whisper(device="cuda", compute_type="float16")
    assert [made["compute_type"] for made in recorder.made] == ["float16", "int8"]


def test_device_index(whisper):
    _, recorder, _ = whisper(device="cuda", device_index=3)
    assert [made["device_index"] for made in recorder.made] == [3, 0]


def test_num_workers(whisper):
    assert whisper()[1].model.num_workers == 1
    assert whisper(num_workers=3)[1].model.num_workers == 3


def test_threads(whisper):
    assert whisper(cpu_threads=2)[1].made == [
        {"device": "cpu", "compute_type": "int8", "device_index": 0, "num_workers": 1, "cpu_threads": 2}
    ]


def test_beam_size(whisper):
    texts = [[whisper(clip.pcm, beam_size=size)[0] for clip in wheel_clips()[:4]] for size in (1, 5)]
    assert texts[0] != texts[1]


def test_temperature_and_best_of(whisper):
    """The texts of this model are loops, so that no temperature is good enough."""
    _, recorder, _ = whisper(model="loop", temperature=(0.0,))
    assert recorder.generated[1:] == [(0.0, 1)]  # the first is that of loading
    _, recorder, _ = whisper(model="loop", temperature=(0.0, 0.1, 0.2), best_of=2)
    assert recorder.generated[1:] == [(0.0, 1), (0.1, 2), (0.2, 2)]


def test_vad_filter(whisper):
    assert whisper(silence(3))[0] == ""
    assert whisper(silence(3), vad_filter=False)[0] != ""


def test_vad_threshold(whisper):
    assert whisper(vad_parameters={"threshold": 0.35})[0] != ""
    assert whisper(vad_parameters={"threshold": 1.0})[0] == ""


def test_vad_min_speech_duration(whisper):
    assert whisper(vad_parameters={"min_speech_duration_ms": 150})[0] != ""
    assert whisper(vad_parameters={"min_speech_duration_ms": 10_000})[0] == ""


def kept_s(whisper, pcm, **parameters):
    """Return how much sound the library's filter left."""
    return whisper(pcm, vad_parameters=parameters)[1].infos[-1].duration_after_vad


def test_vad_min_silence_duration(whisper):
    pause = SPEECH + silence(1.5) + SPEECH
    kept = [kept_s(whisper, pause, min_silence_duration_ms=ms, speech_pad_ms=0) for ms in (100, 3000)]
    assert kept[1] - kept[0] > 1


def test_vad_speech_pad(whisper):
    spoken = silence(1) + SPEECH + silence(1)
    kept = [kept_s(whisper, spoken, min_silence_duration_ms=100, speech_pad_ms=ms) for ms in (0, 400)]
    assert kept[1] - kept[0] > 0.3


def test_vocabulary(whisper):
    assert whisper(vocabulary=[])[1].infos[-1].transcription_options.hotwords is None
    text, recorder, _ = whisper(vocabulary=["winter", "ComfyUI"])
    assert recorder.infos[-1].transcription_options.hotwords == "winter, ComfyUI"
    assert text != whisper()[0]


def test_what_keeps_whisper_from_going_round_in_circles_is_not_a_setting(whisper):
    options = whisper()[1].infos[-1].transcription_options
    assert not options.condition_on_previous_text
    limits = (options.no_speech_threshold, options.log_prob_threshold, options.compression_ratio_threshold)
    assert limits == (0.6, -1.0, 2.4)
