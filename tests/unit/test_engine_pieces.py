"""What adapters of engines share: pieces of long audio, tokens put together, where a model lies."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2m.domain.audio import SAMPLE_RATE_HZ
from v2m.domain.errors import ModelMissingError
from v2m.domain.transcript import Hypothesis
from v2m.infrastructure.engines._model_files import ModelFiles, reason
from v2m.infrastructure.engines._tokens import heard, joined
from v2m.infrastructure.engines._whole import MIN_SAMPLES, filled_up, pieces

pytestmark = pytest.mark.unit


@given(st.integers(0, 12 * SAMPLE_RATE_HZ), st.floats(1, 5))
def test_pieces_are_the_whole_and_none_is_too_long(samples, longest_s):
    sound = np.arange(samples, dtype=np.float32)
    cut = list(pieces(sound, longest_s))
    assert np.array_equal(np.concatenate(cut), sound)
    assert all(len(piece) <= round(longest_s * SAMPLE_RATE_HZ) for piece in cut)
    assert all(len(piece) >= longest_s * SAMPLE_RATE_HZ // 2 for piece in cut[:-1])


def test_long_sound_is_cut_where_it_is_quiet():
    sound = np.ones(10 * SAMPLE_RATE_HZ, np.float32)
    pause = slice(4 * SAMPLE_RATE_HZ, 4 * SAMPLE_RATE_HZ + SAMPLE_RATE_HZ // 2)
    sound[pause] = 0
    first, *_ = pieces(sound, 6.0)
    assert pause.start < len(first) < pause.stop


def test_a_few_samples_are_filled_up_with_silence():
    assert len(filled_up(np.ones(3, np.float32))) == MIN_SAMPLES
    assert filled_up(np.ones(3, np.float32)).sum() == 3
    assert len(filled_up(np.ones(20_000, np.float32))) == 20_000


def test_tokens_become_words_as_sure_as_their_worst_token():
    words = heard(
        " Try a_gain.", [" Try", " a", "_g", "ain", "."], [-0.1, -0.2, -0.9, -0.3, 0.0], [0, 1, 2, 3, 4]
    ).words
    assert [(word.text, word.confidence, word.start_s) for word in words] == [("Try", -0.1, 0), ("a_gain.", -0.9, 1)]


def test_tokens_that_are_not_the_text_are_no_words():
    hypothesis = heard("čas", ["<0xC4>", "<0x8D>", "as"], [-1.0, -2.0, -3.0], [])
    assert hypothesis == Hypothesis("čas", -2.0)


def test_without_probabilities_nothing_is_said_of_them():
    hypothesis = heard("a b", [" a", " b"], [], [])
    assert hypothesis.confidence is None
    assert [word.confidence for word in hypothesis.words] == [None, None]
    assert heard("", [], [], []) == Hypothesis("")


@given(st.lists(st.tuples(st.sampled_from(["a", " b", " ", "", " c d", "."]), st.floats(-9, 0))))
def test_words_are_the_text_or_none_at_all(tokens):
    texts, likelihoods = [text for text, _ in tokens], [value for _, value in tokens]
    hypothesis = heard("".join(texts), texts, likelihoods, [])
    assert not hypothesis.words or " ".join(word.text for word in hypothesis.words) == hypothesis.text


def test_pieces_of_text_count_by_their_length():
    parts = [Hypothesis("ab", -1.0, language=""), Hypothesis(""), Hypothesis("abcdef", -2.0, language="de")]
    assert joined(parts) == Hypothesis("ab abcdef", -1.75, language="de")
    assert joined([]) == Hypothesis("")


def test_a_name_is_a_folder_below_the_models_with_or_without_its_engine(tmp_path):
    for name in ("sherpa-one", "two"):
        (tmp_path / name).mkdir()
        assert ModelFiles("sherpa", name.removeprefix("sherpa-"), tmp_path).folder() == tmp_path / name
    assert ModelFiles("sherpa", tmp_path / "two").folder() == tmp_path / "two"
    assert ModelFiles("sherpa", str(tmp_path / "two")).name == "two"
    with pytest.raises(ModelMissingError, match="gone is not installed") as caught:
        ModelFiles("onnx-asr", "gone", tmp_path).folder()
    assert caught.value.hint == "v2m models download onnx-asr-gone"


@pytest.mark.parametrize("model", ["/nowhere/model", "~/nowhere/model", "./nowhere", Path("nowhere")])
def test_a_folder_that_is_not_there_is_not_downloaded(model):
    with pytest.raises(ModelMissingError, match=r"no folder .*nowhere") as caught:
        ModelFiles("onnx-asr", model, Path("/")).folder()
    assert caught.value.hint.startswith("Set transcription.onnx_asr.model to a folder")


def test_of_what_a_library_says_the_first_line_is_told():
    assert reason(RuntimeError("\n  cut off \nat line 5")) == "cut off"
    assert reason(RuntimeError()) == "RuntimeError"
    assert len(reason("x" * 1000)) == 200
