"""Reads the answers of speech services that speak OpenAI's protocol; whatever comes, it is a hypothesis or garbled."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from v2m.domain.errors import EngineReason, EngineUnavailableError
from v2m.domain.transcript import Hypothesis, Word
from v2m.infrastructure._http_pool import Reply
from v2m.infrastructure.engines._tokens import heard

# verbose_json spells languages out (openai/whisper, whisper/tokenizer.py).
_NAMES: Final = (
    "af:afrikaans am:amharic ar:arabic as:assamese az:azerbaijani ba:bashkir be:belarusian bg:bulgarian"
    " bn:bengali bo:tibetan br:breton bs:bosnian ca:catalan cs:czech cy:welsh da:danish de:german el:greek"
    " en:english es:spanish et:estonian eu:basque fa:persian fi:finnish fo:faroese fr:french gl:galician"
    " gu:gujarati ha:hausa haw:hawaiian he:hebrew hi:hindi hr:croatian ht:haitian_creole hu:hungarian"
    " hy:armenian id:indonesian is:icelandic it:italian ja:japanese jw:javanese ka:georgian kk:kazakh"
    " km:khmer kn:kannada ko:korean la:latin lb:luxembourgish ln:lingala lo:lao lt:lithuanian lv:latvian"
    " mg:malagasy mi:maori mk:macedonian ml:malayalam mn:mongolian mr:marathi ms:malay mt:maltese my:myanmar"
    " ne:nepali nl:dutch nn:nynorsk no:norwegian oc:occitan pa:punjabi pl:polish ps:pashto pt:portuguese"
    " ro:romanian ru:russian sa:sanskrit sd:sindhi si:sinhala sk:slovak sl:slovenian sn:shona so:somali"
    " sq:albanian sr:serbian su:sundanese sv:swedish sw:swahili ta:tamil te:telugu tg:tajik th:thai"
    " tk:turkmen tl:tagalog tr:turkish tt:tatar uk:ukrainian ur:urdu uz:uzbek vi:vietnamese yi:yiddish"
    " yo:yoruba yue:cantonese zh:chinese"
)
_LANGUAGES: Final = {name.replace("_", " "): tag for tag, name in re.findall(r"(\w+):(\w+)", _NAMES)}
_TAG: Final = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*", re.IGNORECASE)


def parse_answer(reply: Reply, host: str) -> Hypothesis:
    """Return what a service heard; no text at all is an empty hypothesis.

    Raises:
        EngineUnavailableError: GARBLED, when this is no answer of a speech service.
    """
    answer = parse_object(reply.body)
    text = None if answer is None else answer.get("text")
    if answer is None or not isinstance(text, str):
        page = reply.body.lstrip()[:1] == b"<" or "html" in reply.headers.get("content-type", "")
        what = "a web page" if page else "something that is no transcription"
        raise EngineUnavailableError(
            f"{host} answers with {what}.",
            reason=EngineReason.GARBLED,
            hint="Is transcription.openai.base_url the address of a speech service, with its /v1?",
        )
    language = _language(answer)
    if tokens := _tokens(answer.get("logprobs")):
        return heard(text, [token for token, _ in tokens], [logprob for _, logprob in tokens], (), language)
    confidence = _mean(_segments(answer.get("segments")))
    return Hypothesis(text.strip(), confidence, _timed(answer.get("words"), text), language)


def parse_object(body: bytes) -> Mapping[str, Any] | None:
    """Return a JSON object, None when it is none."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _mean(weighted: Iterable[tuple[float, float]]) -> float | None:
    pairs = list(weighted)
    weight = sum(each for _, each in pairs)
    return min(0.0, sum(value * each for value, each in pairs) / weight) if weight > 0 else None


def _segments(value: object) -> list[tuple[float, float]]:
    """Return mean log-probability and number of tokens of each segment, or its letters where tokens are not told."""
    found = []
    for segment in _objects(value):
        if (confidence := _number(segment.get("avg_logprob"))) is not None:
            counted = segment.get("tokens") or segment.get("text")
            found.append((confidence, float(max(1, len(counted) if isinstance(counted, list | str) else 1))))
    return found


def _tokens(value: object) -> list[tuple[str, float]]:
    return [
        (token, min(0.0, logprob))
        for one in _objects(value)
        if isinstance(token := one.get("token"), str) and (logprob := _number(one.get("logprob"))) is not None
    ]


def _timed(value: object, text: str) -> tuple[Word, ...]:
    """Return the words of a text with their times; services list them bare, without punctuation."""
    pieces, told = text.split(), _objects(value)
    if len(pieces) != len(told):
        return ()
    if any(_bare(piece) != _bare(str(word.get("word", ""))) for piece, word in zip(pieces, told, strict=True)):
        return ()
    return tuple(
        Word(piece, None, _number(word.get("start")), _number(word.get("end")))
        for piece, word in zip(pieces, told, strict=True)
    )


def _bare(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())


def _language(answer: Mapping[str, Any]) -> str:
    """Return the language's tag: services tell it as a name, a tag, or a list of objects with a code."""
    codes = [one.get("code") for one in _objects(answer.get("languages"))]
    told = answer.get("language") or next(iter(codes), "")
    if not isinstance(told, str):
        return ""
    told = told.strip().lower()
    return _LANGUAGES.get(told) or (told if _TAG.fullmatch(told) else "")
