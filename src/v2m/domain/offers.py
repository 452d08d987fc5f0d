"""Which engine can do which language, as far as that is known before a model is loaded."""

from dataclasses import dataclass
from typing import Final


def _tags(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ANY: Final = ("*",)
# The 25 languages of Parakeet TDT 0.6b v3, by its model card.
EUROPEAN: Final = _tags("bg cs da de el en es et fi fr hr hu it lt lv mt nl pl pt ro ru sk sl sv uk")
# The languages of multilingual Whisper models (openai/whisper, whisper/tokenizer.py).
WHISPER: Final = _tags(
    "af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr ht hu hy id is"
    " it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc pa pl ps pt ro ru sa sd si sk"
    " sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo yue zh"
)


@dataclass(frozen=True, slots=True)
class Offer:
    """An engine that a user can choose, and how to get it."""

    languages: tuple[str, ...]
    install: str


OFFERS: Final = {
    "onnx-asr": Offer(EUROPEAN, "pip install 'v2m[onnx-asr]'"),
    "sherpa": Offer(EUROPEAN, "pip install 'v2m[sherpa]'"),
    "whisper": Offer(WHISPER, "pip install 'v2m[whisper]'"),
    "openai": Offer(WHISPER, "pip install 'v2m[cloud]'"),
}


# Tags of one language that engines know by another: Norwegian is written as Bokmål unless it says otherwise.
_ALIASES: Final = {"nb": "no", "iw": "he", "in": "id", "fil": "tl"}


def primary(language: str) -> str:
    """Return the language of a tag without its region, as engines name it: `en` of `en-US`, `no` of `nb-NO`."""
    tag = language.partition("-")[0].lower()
    return _ALIASES.get(tag, tag)


def locale_language(*variables: str | None) -> str:
    """Return the language of the first locale variable that is set (LC_ALL, LC_MESSAGES, LANG); empty for C."""
    locale = next(filter(None, variables), "")
    name = locale.partition(".")[0].partition("_")[0].partition("@")[0]
    return "" if name in ("C", "POSIX") else primary(name)


def languages_of(model: str) -> tuple[str, ...]:
    """Return the language of a Moonshine model by the name of its folder, `tiny-es`; English where it names none."""
    tag = primary(model.rpartition("-")[2])
    return (tag,) if tag in WHISPER else ("en",)


def can_do(languages: tuple[str, ...], language: str) -> bool:
    """Tell whether one of these languages, or `*`, is the one asked for; everybody can do `auto`."""
    return language == "auto" or ANY[0] in languages or primary(language) in languages


def refusal(engine: str, language: str) -> str:
    """Return the sentence that refuses a language and names the engines that can do it."""
    others = [name for name, offer in OFFERS.items() if can_do(offer.languages, language)]
    can = f"{', '.join(others)} can" if others else "no engine of v2m can"
    return f"The speech engine {engine} cannot do the language {language!r}; {can}."


def mismatch(languages: tuple[str, ...], language: str) -> str:
    """Return the sentence for somebody whose desktop speaks a language that the engine cannot do, else empty."""
    if not language or can_do(languages, language):
        return ""
    return f"The speech engine understands {', '.join(languages)} only, and your desktop is in {language!r}."


def advice(language: str) -> str:
    """Return the command that brings an engine for the language."""
    for offer in OFFERS.values():
        if can_do(offer.languages, language):
            return f"{offer.install}, then v2m models suggest --language {primary(language)}"
    return "v2m models list"
