"""onnx-asr: kinds of models, quantizations, languages, damage, no network. The weights are random."""

import json
import os
import shutil

import pytest

from support.onnx_models import parakeet_for_onnx_asr
from support.onnx_whispers import canary, whisper_for_onnx_asr
from support.speech import RATE, wheel_clips
from v2m.domain.errors import ModelMissingError
from v2m.domain.offers import EUROPEAN
from v2m.infrastructure.engines.onnx_asr import OnnxAsrEngine

pytestmark = pytest.mark.contract

SPEECH = wheel_clips()[0].pcm
MAKERS = {"parakeet": parakeet_for_onnx_asr, "whisper": whisper_for_onnx_asr, "canary": canary}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {name: make(folder / name) for name, make in MAKERS.items()}


def loaded(model, **arguments):
    engine = OnnxAsrEngine(model=model, **arguments)
    engine.load()
    return engine


def decode(engine, pcm=SPEECH, language="auto"):
    stream = engine.open_stream(language)
    stream.feed(pcm)
    return stream.finish()


def test_parakeet_tells_its_words_and_how_sure_it_was(models):
    heard = decode(loaded(models["parakeet"]))
    assert len(heard.words) > 5
    assert all(word.confidence is not None and word.confidence <= 0 for word in heard.words)
    assert [word.start_s for word in heard.words] == sorted(word.start_s or 0 for word in heard.words)


def test_the_quantization_names_the_files(tmp_path):
    folder = parakeet_for_onnx_asr(tmp_path / "one", suffix=".int8")
    assert decode(loaded(folder, quantization="int8")).text
    assert decode(loaded(folder)).text  # there is no other
    with pytest.raises(ModelMissingError, match="fp16"):
        loaded(folder, quantization="fp16")


def test_without_config_the_files_tell_what_it_is(tmp_path):
    with_durations = decode(loaded(parakeet_for_onnx_asr(tmp_path / "parakeet-tdt", config=False)))
    assert with_durations == decode(loaded(parakeet_for_onnx_asr(tmp_path / "named")))


def test_without_cuda_in_onnxruntime_the_cpu_does_it_and_says_so(models):
    capabilities = loaded(models["parakeet"], provider="cuda").capabilities
    assert not capabilities.gpu
    assert "CPU" in capabilities.notice
    assert loaded(models["parakeet"]).capabilities.notice == ""


def test_whisper_hears_what_comes_after_thirty_seconds(models):
    engine = loaded(models["whisper"])
    long = (b"".join(clip.pcm for clip in wheel_clips()))[: 50 * RATE * 2]
    signs = []
    stream = engine.open_stream("en")
    stream.feed(long)
    whole = stream.finish(lambda: signs.append(1)).text
    assert len(signs) == 2
    assert len(whole.split()) > len(decode(engine, long[: 29 * RATE * 2], "en").text.split())


def test_abandoning_ends_it_after_the_piece_it_is_at(models):
    stream = loaded(models["whisper"]).open_stream("en")
    stream.feed((b"".join(clip.pcm for clip in wheel_clips()))[: 50 * RATE * 2])
    signs = []

    def abandon():
        signs.append(1)
        stream.abandon()

    assert stream.finish(abandon).text
    assert len(signs) == 1


# --- languages ----------------------------------------------------------------------------------------


def test_languages_are_those_of_the_files_or_of_the_published_name(models, tmp_path):
    assert set(loaded(models["whisper"]).capabilities.languages) == {"en", "de", "fr"}
    assert set(loaded(models["canary"]).capabilities.languages) == {"en", "de", "fr"}
    assert loaded(models["canary"], knows=["ja"]).capabilities.languages != ("ja",)  # the files know better
    assert loaded(parakeet_for_onnx_asr(tmp_path / "mine")).capabilities.languages == ("*",)
    assert loaded(tmp_path / "mine", knows=["cs"]).capabilities.languages == ("cs",)
    parakeet_for_onnx_asr(tmp_path / "onnx-asr-nemo-parakeet-tdt-0.6b-v3")
    assert loaded("nemo-parakeet-tdt-0.6b-v3", models_dir=tmp_path).capabilities.languages == EUROPEAN
    parakeet_for_onnx_asr(tmp_path / "nemo-parakeet-tdt-0.6b-v2")
    assert loaded(tmp_path / "nemo-parakeet-tdt-0.6b-v2").capabilities.languages == ("en",)


@pytest.mark.parametrize("model", ["whisper", "canary"])
def test_a_model_that_can_be_told_its_language_is_told(models, model):
    engine = loaded(models[model])
    heard = {language: decode(engine, language=language) for language in ("en", "de", "fr")}
    assert [each.language for each in heard.values()] == ["en", "de", "fr"]
    assert len({each.text for each in heard.values()}) > 1
    assert decode(loaded(models[model], languages=["fr"])) == heard["fr"]
    assert decode(loaded(models[model], languages=["sw", "fr"])) == heard["fr"]


def test_canary_says_that_it_does_not_find_out_the_language(models):
    assert "takes en" in loaded(models["canary"]).capabilities.notice
    assert "takes fr" in loaded(models["canary"], languages=["fr", "en"]).capabilities.notice
    assert loaded(models["canary"], languages=["fr"]).capabilities.notice == ""


# --- models -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["cut", "garbage", "web page", "empty", "gone"])
@pytest.mark.parametrize("name", ["encoder-model.onnx", "decoder_joint-model.onnx", "vocab.txt"])
def test_a_damaged_model_is_named_with_its_remedy(models, tmp_path, name, damage):
    folder = shutil.copytree(models["parakeet"], tmp_path / "mine")
    file = folder / name
    match damage:
        case "cut":
            os.truncate(file, file.stat().st_size // 2 - 1)
        case "garbage":
            file.write_bytes(os.urandom(10_000))
        case "web page":
            file.write_text("<!DOCTYPE html> <html> <body>\n" * 1000)
        case "empty":
            file.write_bytes(b"")
        case "gone":
            file.unlink()
    with pytest.raises(ModelMissingError) as caught:
        loaded(folder)
    assert str(folder) in str(caught.value)
    assert "transcription.onnx_asr.model" in caught.value.hint


@pytest.mark.parametrize("config", ["", "{", "[]", "{}", '{"model_type": 1}', '{"model_type": "llama"}', "\0"])
def test_a_config_that_names_no_model_is_told(models, tmp_path, config):
    folder = shutil.copytree(models["canary"], tmp_path / "mine")
    (folder / "config.json").write_text(config)
    with pytest.raises(ModelMissingError, match="cannot be loaded"):
        loaded(folder)


def test_a_name_of_the_hub_in_a_config_is_not_followed(models, tmp_path):
    folder = shutil.copytree(models["canary"], tmp_path / "mine")
    (folder / "config.json").write_text(json.dumps({"model_type": "onnx-community/whisper-tiny"}))
    with pytest.raises(ModelMissingError, match="names no model_type"):
        loaded(folder)


def test_a_model_that_is_not_installed_is_named_with_its_command(tmp_path):
    with pytest.raises(ModelMissingError) as caught:
        loaded("nemo-canary-1b-v2", models_dir=tmp_path)
    assert caught.value.hint == "v2m models download onnx-asr-nemo-canary-1b-v2"
