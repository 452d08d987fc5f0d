"""Which heard texts are believed: engines write words for noise, and some get caught in a loop.

No text is dropped for its wording alone or for its confidence alone: people do say "thank you for watching", and
a mumbled sentence is unsure. What is dropped was doubted twice.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# Mean log-probability. Measured on 86 spoken clips (median -0.08, 5th percentile -0.36) and 16 without speech
# (median -0.54): below it are 62 % of the invented texts, and 2.3 % of the real ones.
DOUBTED: Final = -0.5
SHORT_S: Final = 0.4  # less speech is at most a word
LOOP_REPEATS: Final = 3
# More words than anybody says: the fastest speaker of the set says 4.6 in a second.
WORDS_PER_S: Final = 6.0
SPARE_WORDS: Final = 3

# What engines were trained on (subtitles) and write where nobody speaks; compared in small letters without punctuation.
PHRASES: Final = frozenset(
    {
        # English
        "you",
        "thank you",
        "thank you very much",
        "thank you for watching",
        "thank you so much for watching",
        "thanks for watching",
        "thanks for watching and ill see you next time",
        "thank you for listening",
        "please subscribe",
        "please subscribe to my channel",
        "like and subscribe",
        "dont forget to subscribe",
        "see you next time",
        "see you in the next video",
        "bye",
        "bye bye",
        "yeah",
        "mm",
        "hmm",
        "music",
        "applause",
        # German
        "vielen dank",
        "vielen dank fürs zuschauen",
        "danke fürs zuschauen",
        "danke fürs zusehen",
        "vielen dank für ihre aufmerksamkeit",
        "bis zum nächsten mal",
        "das wars für heute",
        "tschüss",
        "musik",
        "applaus",
        # Spanish
        "gracias",
        "muchas gracias",
        "gracias por ver",
        "gracias por ver el video",
        "gracias por ver el vídeo",
        "suscríbete",
        "suscríbete al canal",
        "hasta la próxima",
        "nos vemos en el próximo video",
        "nos vemos en el próximo vídeo",
        "música",
        "aplausos",
    }
)
# Who made the subtitles, in any words.
_CREDITS: Final = re.compile(
    r"(?:subtitles|subtitled|captions|captioned|captioning|transcribed|transcription|translated)(?: made)? by\b"
    r"|untertitel(?:ung)? (?:von|der|des|im auftrag)\b|copyright (?:wdr|zdf|swr|ndr|br)\b|(?:swr|wdr|zdf) 20\d\d$"
    r"|subt[ií]tulos (?:realizados )?por\b|subtitulado por\b"
    r"|.*\bamara org\b"
)
_CREDITS_WORDS: Final = 12  # a longer sentence tells something else
# Chinese and Japanese write no spaces: there a character counts as a word.
_WORD: Final = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]|\w+(?:['’]\w+)*")


@dataclass(frozen=True, slots=True)
class Belief:
    """What of a text is believed, and what is not; one of both may be empty."""

    text: str
    doubted: str = ""


def believe(text: str, *, confidence: float | None, speech_s: float, vad: bool = True) -> Belief:
    """Judge the text of one stretch, or of a whole recording, in which `speech_s` seconds of speech were found.

    A loop is cut to its first round. What is left is dropped if the engine was unsure of it and it is a loop, a
    phrase that engines invent, or longer than the speech. Without `vad` somebody has asked for whatever is heard:
    loops are cut, nothing more.
    """
    text = text.strip()
    kept, loop = _without_loop(text, speech_s)
    unsure = confidence is not None and confidence < DOUBTED
    if vad and kept and unsure and (loop or is_phrase(kept) or is_loop(kept) or speech_s < SHORT_S):
        return Belief("", text)
    return Belief(kept, loop)


def is_phrase(text: str) -> bool:
    """Whether the whole text is what engines write for noise: a phrase of the list, credits, or no word at all."""
    words = _words(text)
    plain = " ".join(words)
    credits_ = len(words) <= _CREDITS_WORDS and _CREDITS.match(plain) is not None
    return not words or plain in PHRASES or credits_


def is_loop(text: str) -> bool:
    """Whether the whole text is the same few words, at least three times."""
    words = _words(text)
    return _round(words)[0] == 0 if words else False


def _without_loop(text: str, speech_s: float) -> tuple[str, str]:
    """Part a text into what was said and the further rounds of a loop at its end, if nobody says so much in the time.

    "Testing, testing, testing" is not parted: it can be said.
    """
    found = list(_WORD.finditer(text))
    if len(found) <= WORDS_PER_S * speech_s + SPARE_WORDS:
        return text, ""
    words = _words(text)
    for cut_off in (0, 1):  # where the engine stopped in the middle of a word
        start, period = _round(words[: len(words) - cut_off])
        if period:
            end = found[start + period].start()
            return text[:end].rstrip(), text[end:]
    return text, ""


def _round(words: Sequence[str]) -> tuple[int, int]:
    """Return where the words begin to repeat until their end, and the length of a round; length 0: they do not."""
    for period in range(1, len(words) // LOOP_REPEATS + 1):
        same = 0
        while same < len(words) - period and words[-1 - same] == words[-1 - same - period]:
            same += 1
        if same >= (LOOP_REPEATS - 1) * period:
            return len(words) - same - period, period
    return len(words), 0


def _words(text: str) -> list[str]:
    return [found.group().casefold().replace("'", "").replace("’", "") for found in _WORD.finditer(text)]
