"""What is made of a speech service's answer, whatever it is."""

import json
import time
from contextlib import suppress
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2m.domain.errors import EngineReason, EngineUnavailableError
from v2m.domain.transcript import Word
from v2m.infrastructure._http_pool import Reply
from v2m.infrastructure.engines._answers import parse_answer
from v2m.infrastructure.engines._refusals import MAX_RETRY_AFTER_S, dislikes_format, refusal, retry_after_s

pytestmark = pytest.mark.unit

HOST = "speech.example"
KEY = "sk-0123456789abcdef"
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


def heard(answer: object, kind: str = "application/json"):
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return parse_answer(Reply(200, {"content-type": kind}, body), HOST)


def refused(status: int, body: object = b"", **headers: str) -> EngineUnavailableError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return refusal(Reply(status, named, content), host=HOST, variable="GROQ_API_KEY", key=KEY)


def test_confidence_is_the_mean_over_the_tokens_of_all_segments():
    segments = [{"avg_logprob": -0.1, "tokens": [1, 2, 3]}, {"avg_logprob": -0.5, "tokens": [4]}]
    answer = heard({"text": " One two three. Four.", "language": "English", "segments": segments})
    assert answer.text == "One two three. Four."
    assert answer.confidence == pytest.approx(-0.2)
    assert answer.language == "en"
    assert answer.words == ()


def test_segments_without_tokens_count_by_their_length():
    segments = [{"avg_logprob": -0.2, "text": "123456789"}, {"avg_logprob": -1.2, "text": "0"}]
    assert heard({"text": "x", "segments": segments}).confidence == pytest.approx(-0.3)


def test_log_probabilities_give_words_as_sure_as_their_least_sure_token():
    tokens = [("Git", -0.1), ("Hub", -0.9), (",", -0.2), (" then", -0.05)]
    logprobs = [{"token": token, "logprob": value, "bytes": []} for token, value in tokens]
    answer = heard({"text": "GitHub, then", "logprobs": logprobs})
    assert answer.words == (Word("GitHub,", -0.9), Word("then", -0.05))
    assert answer.confidence == pytest.approx(-0.3125)


def test_tokens_that_are_not_the_text_give_no_words():
    assert heard({"text": "Olé", "logprobs": [{"token": "Ol\\xc3", "logprob": -0.1}]}).words == ()


def test_bare_words_with_times_get_the_punctuation_of_the_text():
    words = [{"word": "Hello", "start": 0.1, "end": 0.4}, {"word": "world", "start": 0.5, "end": 0.9}]
    answer = heard({"text": "“Hello, world!”", "words": words}), heard({"text": "Hello my world", "words": words})
    assert answer[0].words == (Word("“Hello,", None, 0.1, 0.4), Word("world!”", None, 0.5, 0.9))
    assert answer[1].words == ()


@pytest.mark.parametrize(
    ("told", "tag"),
    [
        ({"language": "german"}, "de"),
        ({"language": "Haitian Creole"}, "ht"),
        ({"language": "pt-BR"}, "pt-br"),
        ({"language": "yue"}, "yue"),
        ({"languages": [{"code": "fr"}, {"code": "en"}]}, "fr"),
        ({"language": "not a language"}, ""),
        ({"language": 7}, ""),
        ({}, ""),
    ],
)
def test_a_language_is_told_in_several_ways(told, tag):
    assert heard({"text": "x", **told}).language == tag


def test_no_text_is_an_answer():
    assert heard({"text": "  ", "segments": []}).text == ""


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "no transcription"),
        (b'{"text": "Hel', "no transcription"),
        (b"[]", "no transcription"),
        (b'{"text": null}', "no transcription"),
        (b'{"text": {"text": "x"}}', "no transcription"),
        (b'{"segments": []}', "no transcription"),
        (b"\xff\xfe", "no transcription"),
        (b"[" * 100_000, "no transcription"),
        (b"  <html>", "a web page"),
    ],
)
def test_what_is_no_transcription_is_refused(body, says):
    with pytest.raises(EngineUnavailableError, match=says) as caught:
        heard(body)
    assert caught.value.reason is EngineReason.GARBLED
    assert "transcription.openai.base_url" in (caught.value.hint or "")


@given(st.dictionaries(st.sampled_from(["language", "languages", "segments", "words", "logprobs"]), ANY_JSON))
def test_nothing_beside_the_text_can_spoil_it(more):
    body = json.dumps({**more, "text": "Whatever."}).encode()
    answer = parse_answer(Reply(200, {}, body), HOST)
    assert answer.text == "Whatever."
    assert answer.confidence is None or answer.confidence <= 0


@given(st.binary(max_size=200), st.integers(200, 599), st.text(max_size=30))
def test_any_answer_is_a_text_or_an_error(body, status, header):
    reply = Reply(status, {"retry-after": header, "content-type": header}, body)
    with suppress(EngineUnavailableError):
        parse_answer(reply, HOST)
    error = refusal(reply, host=HOST, variable="X", key=KEY)
    assert str(error).endswith(".")
    assert error.retry_after_s is None or error.retry_after_s >= 0


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        (301, EngineReason.REFUSED, "sends us elsewhere"),
        (400, EngineReason.REFUSED, "refuses the request"),
        (401, EngineReason.AUTH, "refuses the key in GROQ_API_KEY"),
        (402, EngineReason.QUOTA, "payment"),
        (403, EngineReason.AUTH, "refuses the key"),
        (404, EngineReason.REFUSED, "no such address or model"),
        (408, EngineReason.SERVER, "fault of its own"),
        (413, EngineReason.REFUSED, "too large"),
        (429, EngineReason.QUOTA, "no more requests"),
        (500, EngineReason.SERVER, "status 500"),
        (503, EngineReason.SERVER, "status 503"),
    ],
)
def test_each_status_has_a_reason_a_sentence_and_a_hint(status, reason, message):
    error = refused(status)
    assert error.reason is reason
    assert message in str(error)
    assert HOST in str(error)
    assert error.hint


def test_what_the_service_says_is_told_in_one_short_line_without_the_key():
    says = f"The model `x` does\nnot exist\x1b[31m for {KEY}. " + "More. " * 100
    message = str(refused(404, {"error": {"message": says}}))
    assert "The model `x` does not exist" in message
    assert KEY not in message
    assert "\n" not in message
    assert "\x1b" not in message
    assert len(message) < 300
    assert "Not Found" in str(refused(404, {"detail": "Not Found"}))


def test_nothing_of_what_is_said_about_a_key_is_told():
    assert "0123" not in str(refused(401, {"error": {"message": "Incorrect key: sk-0123****cdef"}}))


def test_no_key_is_another_sentence_than_a_wrong_one():
    error = refusal(Reply(401, {}, b""), host=HOST, variable="OPENAI_API_KEY", key="")
    assert str(error) == f"{HOST} asks for a key, and OPENAI_API_KEY is not set."


def test_how_long_to_wait_is_a_number_or_a_date():
    assert refused(429, retry_after="7").retry_after_s == 7
    assert refused(429, retry_after="0.5").retry_after_s == 0.5
    assert refused(503, retry_after="3").retry_after_s == 3
    later = refused(429, retry_after=formatdate(time.time() + 30, usegmt=True)).retry_after_s
    assert later is not None
    assert 25 < later < 31
    assert retry_after_s(Reply(429, {"retry-after": formatdate(0, usegmt=True)}, b"")) == 0
    assert retry_after_s(Reply(429, {"retry-after": "9" * 400}, b"")) == MAX_RETRY_AFTER_S
    assert retry_after_s(Reply(429, {"retry-after": "soon"}, b"")) is None
    assert retry_after_s(Reply(429, {}, b"")) is None


def test_a_used_up_account_is_not_waited_for():
    error = refused(429, {"error": {"code": "insufficient_quota"}})
    assert (error.reason, error.retry_after_s) == (EngineReason.QUOTA, None)


def test_a_service_that_knows_another_form_is_recognised():
    assert dislikes_format(Reply(400, {}, b'{"error": {"message": "response_format is not compatible"}}'))
    assert not dislikes_format(Reply(400, {}, b'{"error": {"message": "no such language"}}'))
    assert not dislikes_format(Reply(200, {}, b'{"text": "the word response_format"}'))
