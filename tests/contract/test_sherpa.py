"""sherpa-onnx: kinds of models, words to expect, languages, damage that would end the process. Weights are random.

Only Moonshine's are real.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from support.onnx_models import (
    ZIPFORMER,
    moonshine_for_sherpa,
    parakeet_for_sherpa,
    streaming_zipformer,
    zipformer,
)
from support.onnx_whispers import sense_voice, whisper_for_sherpa
from support.speech import RATE, wheel_clips, word_error_rate
from v2m.domain.errors import EngineError, ModelMissingError
from v2m.domain.offers import EUROPEAN
from v2m.infrastructure.engines._sherpa_models import NEEDED, Kind, recognise
from v2m.infrastructure.engines.sherpa_onnx import SherpaOnnxEngine

pytestmark = pytest.mark.contract

MAKERS = {
    Kind.NEMO: parakeet_for_sherpa,
    Kind.TRANSDUCER: zipformer,
    Kind.STREAMING: streaming_zipformer,
    Kind.WHISPER: whisper_for_sherpa,
    Kind.MOONSHINE: moonshine_for_sherpa,
    Kind.SENSE_VOICE: sense_voice,
}
SPEECH = wheel_clips()[0].pcm


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {kind: make(folder / kind.value.replace(" ", "-")) for kind, make in MAKERS.items()}


def loaded(model, **arguments):
    engine = SherpaOnnxEngine(model=model, **arguments)
    engine.load()
    return engine


def decode(engine, pcm=SPEECH, language="auto"):
    stream = engine.open_stream(language)
    stream.feed(pcm)
    return stream.finish()


def test_real_words_come_out_of_real_weights(models):
    engine = loaded(models[Kind.MOONSHINE])
    clips = [clip for clip in wheel_clips() if clip.kind == "speech"][:6]
    assert word_error_rate([(clip.text, decode(engine, clip.pcm).text) for clip in clips]) <= 0.06


# --- kinds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Kind)
def test_a_kind_is_known_by_its_files(models, kind):
    assert recognise(models[kind], prefer_int8=True).kind is kind
    capabilities = loaded(models[kind]).capabilities
    assert capabilities.streaming == (kind is Kind.STREAMING)
    assert capabilities.hotwords == (kind in (Kind.NEMO, Kind.TRANSDUCER, Kind.STREAMING))


def test_of_two_variants_the_one_for_the_device_is_taken(tmp_path):
    parakeet_for_sherpa(tmp_path / "both")
    parakeet_for_sherpa(tmp_path / "plain", suffix="")
    shutil.copytree(tmp_path / "plain", tmp_path / "both", dirs_exist_ok=True)
    taken = [recognise(tmp_path / "both", prefer_int8=prefer).files["encoder"].name for prefer in (True, False)]
    assert taken == ["encoder.int8.onnx", "encoder.onnx"]
    assert recognise(tmp_path / "plain", prefer_int8=True).files["joiner"].name == "joiner.onnx"


def test_a_streaming_model_decodes_while_it_is_fed(models):
    stream = loaded(models[Kind.STREAMING]).open_stream("en")
    stream.feed(SPEECH)
    late = []
    text = stream.finish(lambda: late.append(1)).text
    assert len(text.split()) > 5
    assert 0 < len(late) <= 3  # chunks of 0.32 s: those of the silence behind


def test_an_abandoned_stream_decodes_no_further(models):
    engine = loaded(models[Kind.STREAMING])
    stream = engine.open_stream("en")
    stream.feed(SPEECH)
    stream.abandon()
    stream.feed(SPEECH)
    assert len(stream.finish().text) <= len(decode(engine).text)
    stream = engine.open_stream("en")
    stream.abandon()
    stream.feed(SPEECH)
    assert stream.finish().text == ""


def test_whisper_hears_what_comes_after_thirty_seconds(models):
    engine = loaded(models[Kind.WHISPER])
    long = (b"".join(clip.pcm for clip in wheel_clips()))[: 50 * RATE * 2]
    signs = []
    stream = engine.open_stream("en")
    stream.feed(long)
    whole = stream.finish(lambda: signs.append(1)).text
    assert len(signs) == 2
    assert len(whole) > 1.5 * len(decode(engine, long[: 29 * RATE * 2], "en").text)


def test_a_model_of_capitals_writes_small_letters(tmp_path):
    tokens = [token if token.startswith("<") else token.upper() for token in ZIPFORMER]
    heard = decode(loaded(zipformer(tmp_path / "capitals", tokens=tokens)))
    assert heard.text == heard.text.lower() != ""
    assert heard.words


def test_what_the_library_cannot_search_is_refused(models):
    with pytest.raises(EngineError, match="cannot be decoded with modified_beam_search") as caught:
        loaded(models[Kind.WHISPER], decoding="modified_beam_search")
    assert "transcription.sherpa.decoding" in caught.value.hint


@pytest.mark.parametrize("kind", [Kind.NEMO, Kind.TRANSDUCER, Kind.STREAMING])
def test_the_search_makes_a_difference(models, kind):
    greedy, beam = (loaded(models[kind], decoding=f"{method}_search") for method in ("greedy", "modified_beam"))
    assert [decode(greedy, clip.pcm) for clip in wheel_clips()[:3]] != [
        decode(beam, clip.pcm) for clip in wheel_clips()[:3]
    ]
    assert not greedy.capabilities.hotwords
    assert beam.capabilities.hotwords


def test_without_cuda_in_the_library_the_cpu_does_it_and_says_so(models):
    capabilities = loaded(models[Kind.NEMO], provider="cuda").capabilities
    assert not capabilities.gpu
    assert "CPU" in capabilities.notice
    assert loaded(models[Kind.NEMO]).capabilities.notice == ""


# --- words to expect ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.NEMO, Kind.TRANSDUCER, Kind.STREAMING])
def test_words_to_expect_are_favoured_by_their_score(models, kind):
    engines = [loaded(models[kind], hotwords=["no one"], hotwords_score=score) for score in (0.0, 1.5, 9.0)]
    heard = [decode(engine) for engine in engines]
    counts = [each.text.count("no one") for each in heard]
    assert counts[0] < counts[1] < counts[2]
    assert all((each.confidence or 0) <= 0 for each in heard)


def test_a_greedy_search_takes_no_words(models):
    plain = decode(loaded(models[Kind.NEMO])).text
    assert decode(loaded(models[Kind.NEMO], decoding="greedy_search", hotwords=["stone"])).text == plain


def test_words_that_the_model_has_no_letters_for_are_left_out_silently(models, capfd):
    loaded(models[Kind.NEMO], hotwords=["Žižka", ":5", "# x", "", "  ", "stone"])
    assert capfd.readouterr().err == ""


def test_a_model_of_capitals_takes_words_in_capitals(tmp_path):
    tokens = [token if token.startswith("<") else token.upper() for token in ZIPFORMER]
    model = zipformer(tmp_path / "capitals", tokens=tokens)
    counts = [decode(loaded(model, hotwords=words)).text.count("no one") for words in ([], ["No one"])]
    assert counts[0] < counts[1]


def test_a_model_of_characters_takes_words_by_character(tmp_path):
    tokens = ["<blk>", "<unk>", *"今天気良日本語"]
    engine = loaded(zipformer(tmp_path / "characters", tokens=tokens), hotwords=["日本語"], hotwords_score=9.0)
    assert "日本語" in decode(engine).text


# --- languages ----------------------------------------------------------------------------------------


def test_languages_are_those_of_the_files_or_of_the_published_name(models, tmp_path):
    assert loaded(models[Kind.WHISPER]).capabilities.languages == ("en", "de", "fr")
    assert loaded(models[Kind.SENSE_VOICE]).capabilities.languages == ("zh", "en", "ja", "ko", "yue")
    assert loaded(whisper_for_sherpa(tmp_path / "w", multilingual=False)).capabilities.languages == ("en",)
    assert loaded(models[Kind.NEMO]).capabilities.languages == ("*",)
    assert loaded(models[Kind.NEMO], knows=["cs", "sk"]).capabilities.languages == ("cs", "sk")
    published = parakeet_for_sherpa(tmp_path / "sherpa-parakeet-tdt-0.6b-v3")
    assert loaded("parakeet-tdt-0.6b-v3", models_dir=tmp_path).capabilities.languages == EUROPEAN
    assert recognise(published.rename(tmp_path / "sherpa-zipformer-en-2023"), prefer_int8=True).languages == ("en",)
    assert recognise(tmp_path / "sherpa-zipformer-en-2023", prefer_int8=True).kind is Kind.NEMO


@pytest.mark.parametrize(("kind", "languages"), [(Kind.WHISPER, ["de", "fr"]), (Kind.SENSE_VOICE, ["ja", "yue"])])
def test_a_model_that_can_be_told_its_language_is_told(models, kind, languages):
    engine = loaded(models[kind])
    assert [decode(engine, language=language).language for language in languages] == languages
    found = decode(engine).language
    others = [language for language in engine.capabilities.languages if language != found]
    assert decode(loaded(models[kind], languages=others[:1])).language == others[0]
    assert decode(loaded(models[kind], languages=[*others, "sw"])).language in others


def test_a_language_that_the_user_speaks_and_the_model_does_not_ends_no_process(models):
    assert decode(loaded(models[Kind.WHISPER], languages=["sw"])).text


# --- damage -------------------------------------------------------------------------------------------

LOAD = """
import json, sys
from v2m.domain.errors import ModelMissingError
from v2m.infrastructure.engines.sherpa_onnx import SherpaOnnxEngine
for folder in sys.argv[1:]:
    try:
        SherpaOnnxEngine(model=folder).load()
        print(json.dumps([folder, "", ""]), flush=True)
    except ModelMissingError as error:
        print(json.dumps([folder, str(error), error.hint]), flush=True)
"""


def spoil(file: Path, damage: str) -> None:
    match damage:
        case "cut":
            os.truncate(file, file.stat().st_size // 2)
        case "garbage":
            file.write_bytes(os.urandom(10_000))
        case "page":
            file.write_text("<!DOCTYPE html> <html> <body>\n" * 100)
        case "empty":
            file.write_bytes(b"")
        case "gone":
            file.unlink()


def damaged(model: Path, to: Path, kind: Kind) -> list[Path]:
    """Make copies, each with one thing wrong."""
    folders = []

    def copy(name: str) -> Path:
        folders.append(to / name)
        return shutil.copytree(model, to / name)

    for file in sorted(model.iterdir()):
        for damage in ("cut", "garbage", "page", "empty", "gone"):
            if damage != "cut" or file.suffix != ".txt" or kind is not Kind.MOONSHINE:  # whose list has no known end
                spoil(copy(f"{file.name}-{damage}") / file.name, damage)
    for part, names in NEEDED[kind].items():
        for name in names:
            folder = copy(f"{part}-without-{name}")
            file = next(folder.glob(f"*{part}*.onnx"))
            network = onnx.load(str(file))
            kept = [entry for entry in network.metadata_props if entry.key != name]
            del network.metadata_props[:]
            network.metadata_props.extend(kept)
            onnx.save(network, str(file))
    return folders


@pytest.mark.parametrize("kind", Kind)
def test_no_damage_ends_the_process(models, tmp_path, kind):
    folders = damaged(models[kind], tmp_path, kind)
    assert len(folders) >= 10
    done = subprocess.run([sys.executable, "-c", LOAD, *folders], capture_output=True, text=True, errors="replace")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    survived = [Path(folder).name for folder, *_ in told]
    assert survived == [folder.name for folder in folders], done.stderr[-500:]
    for folder, message, hint in told:
        assert folder in message, f"{folder} was loaded"
        assert "transcription.sherpa.model" in hint


def test_the_list_of_another_model_is_refused(models, tmp_path):
    folder = shutil.copytree(models[Kind.NEMO], tmp_path / "mine")
    shutil.copyfile(models[Kind.TRANSDUCER] / "tokens.txt", folder / "tokens.txt")
    with pytest.raises(ModelMissingError, match="not the whole list"):
        loaded(folder)


def test_a_model_of_another_engine_or_kind_is_refused(models, tmp_path):
    folder = shutil.copytree(models[Kind.NEMO], tmp_path / "half")
    (folder / "joiner.int8.onnx").unlink()
    (tmp_path / "empty").mkdir()
    for other in (folder, tmp_path / "empty"):
        with pytest.raises(ModelMissingError, match="not those of a kind"):
            loaded(other)


def test_a_model_that_is_not_installed_is_named_with_its_command(tmp_path):
    with pytest.raises(ModelMissingError) as caught:
        loaded("parakeet-tdt-0.6b-v3", models_dir=tmp_path)
    assert caught.value.hint == "v2m models download sherpa-parakeet-tdt-0.6b-v3"
