"""The user's words with the embedded engine: tokens, likelihoods, and what takes the place of what was heard."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from support.speech import noise, wheel_assets, wheel_clips
from v2m.domain.text.vocabulary import Vocabulary, parse_vocabulary
from v2m.infrastructure.engines._moonshine_decoder import Decoder
from v2m.infrastructure.engines._moonshine_tokens import Tokenizer, load_pieces
from v2m.infrastructure.engines.moonshine import MoonshineEngine

pytestmark = pytest.mark.contract

FOLDER = wheel_assets() / "tiny-en"
SPEECH = {clip.id: clip.pcm for clip in wheel_clips() if clip.kind == "speech"}


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer(load_pieces(FOLDER / "tokenizer.bin"))


@pytest.fixture(scope="module")
def decoder():
    return Decoder(FOLDER, 1)


@pytest.fixture(scope="module")
def plain():
    engine = MoonshineEngine(folder=FOLDER)
    engine.load()
    return engine


@cache
def favouring(*entries):
    engine = MoonshineEngine(folder=FOLDER, vocabulary=parse_vocabulary(entries))
    engine.load()
    return engine


def hear(engine, pcm, **finishing):
    stream = engine.open_stream("en")
    stream.feed(pcm)
    return stream.finish(**finishing)


def samples(pcm):
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)


# --- tokens -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["It was the epoch of incredulity.", "GitHub, ComfyUI and Kubernetes!", "naïve Straße 日本 😀", "I'd say: 1,455."],
)
def test_a_text_becomes_the_tokens_that_say_it(tokenizer, text):
    spans = tokenizer.words(tokenizer.encode(text), [-0.1] * 100)
    assert [span.word.text for span in spans] == text.split()
    assert spans[0].first == 0
    assert all(one.end == two.first for one, two in pairwise(spans))


def test_words_get_the_tokens_that_the_decoder_would_have_chosen(tokenizer, decoder):
    for pcm in SPEECH.values():
        decoded = decoder.decode(samples(pcm))
        text = " ".join(span.word.text for span in tokenizer.words(decoded.tokens, decoded.likelihoods))
        assert tokenizer.encode(text) == decoded.tokens


def test_a_word_is_as_sure_as_its_least_likely_token(tokenizer):
    tokens = tokenizer.encode("Hello Kubernetes")
    assert len(tokens) > 2
    spans = tokenizer.words(tokens, [-0.1, -0.3, *[-0.2] * (len(tokens) - 2)])
    assert [span.word.confidence for span in spans] == [-0.1, -0.3]


def test_tokens_that_are_no_text_make_no_word(tokenizer):
    space = tokenizer.words([31_353, *tokenizer.encode("a")], [-0.1] * 9)
    assert [span.word.text for span in space] == ["a"]
    assert tokenizer.words([0, 1, 2, 32_000], [-0.1] * 4) == []
    assert tokenizer.words([], []) == []
    broken = tokenizer.words([3 + 0xE6, 3 + 0x97], [-0.1] * 2)  # a character of which a byte is missing
    assert [span.word.text for span in broken] == ["\ufffd"]


# --- likelihoods --------------------------------------------------------------------------------------


def test_what_was_heard_is_as_likely_as_it_was_when_it_was_heard(decoder):
    decoded = decoder.decode(samples(SPEECH["two_cities-10"]))
    assert decoded.is_whole
    for at in (0, 3, len(decoded.tokens) - 1):
        again = list(decoder.likelihoods(decoded, at, [*decoded.tokens[at:], 2]))
        assert again == pytest.approx(decoded.likelihoods[at + 1 :], abs=0.01)


def test_other_words_are_less_likely_and_those_that_follow_notice(decoder, tokenizer):
    decoded = decoder.decode(samples(SPEECH["two_cities-3"]))
    (other,) = list(decoder.likelihoods(decoded, 2, [*tokenizer.encode("banana")[:1], decoded.tokens[3]]))
    assert other < decoded.likelihoods[3] - 1


def test_watched_tokens_are_told_with_each_step(decoder):
    watch = np.array([[5, 6], [7, 8]])
    decoded = decoder.decode(samples(SPEECH["beckett-2"]), watch=watch)
    assert len(decoded.watched) == len(decoded.likelihoods) == len(decoded.tokens) + 1
    assert all(row.shape == (2, 2) and (row < 0).all() for row in decoded.watched)
    seen = decoder.decode(samples(SPEECH["beckett-2"]), watch=np.array([[decoded.tokens[0]]]))
    assert seen.watched[0][0, 0] == pytest.approx(decoded.likelihoods[0], abs=1e-4)


# --- words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPEECH)
def test_words_joined_by_spaces_are_the_text(plain, name):
    heard = hear(plain, SPEECH[name])
    assert heard.words
    assert " ".join(word.text for word in heard.words) == heard.text
    assert all(word.confidence is not None and word.confidence <= 0 for word in heard.words)


def test_a_listed_word_takes_the_place_of_its_mishearing(plain):
    pcm = SPEECH["two_cities-10"]
    bare = hear(plain, pcm)
    assert "noisyest" in bare.text
    heard = hear(favouring("noisiest", "GitHub"), pcm)
    assert heard.text == bare.text.replace("noisyest", "noisiest")
    assert " ".join(word.text for word in heard.words) == heard.text
    assert heard.confidence == bare.confidence


@pytest.mark.parametrize("name", SPEECH)
def test_words_that_were_not_said_take_no_place(plain, name):
    pcm = SPEECH[name]
    bare = hear(plain, pcm).text
    unsaid = ("Timestamp", "Belize", "Epic", "Lite", "Farewell", "Beyonce", "Sessions", "Havana", "Period", "Dakar")
    assert hear(favouring(*unsaid), pcm).text == bare


def test_a_spelling_that_sounds_like_what_is_said_is_not_enough(plain):
    pcm = SPEECH["two_cities-3"]
    assert hear(favouring("EpicGames = epoch of belief"), pcm).text == hear(plain, pcm).text


def test_whoever_gives_up_is_not_kept_waiting(plain):
    engine = favouring("noisiest")
    pcm = SPEECH["two_cities-10"]
    stream = engine.open_stream("en")
    stream.feed(pcm)
    tokens = 0

    def alive():
        nonlocal tokens
        tokens += 1
        if tokens == steps:
            stream.abandon()

    steps = -1
    stream.finish(alive)
    steps, tokens = tokens, 0  # the last sign of life is the one before the listed word is asked for
    stream = engine.open_stream("en")
    stream.feed(pcm)
    assert stream.finish(alive).text == hear(plain, pcm).text


def test_noise_with_a_list_is_no_listed_word():
    engine = favouring("You", "Yeah", "Musik", "GitHub = you")
    assert "GitHub" not in hear(engine, noise(4, -40)).text


def test_words_of_any_script_can_be_listed_and_few_samples_heard(plain):
    engine = favouring("日本", "Łódź", "😀a", "C++", "a" * 200, "0")
    assert hear(engine, SPEECH["beckett-2"]).text == hear(plain, SPEECH["beckett-2"]).text
    assert hear(engine, b"\0\0").confidence is not None
    assert hear(engine, b"").text == ""


def test_an_engine_says_that_it_takes_the_list_and_one_without_a_list_watches_nothing():
    assert MoonshineEngine(folder=FOLDER).capabilities.hotwords
    engine = MoonshineEngine(folder=FOLDER, vocabulary=Vocabulary())
    engine.load()
    assert hear(engine, SPEECH["beckett-2"]).text == "No matter."
