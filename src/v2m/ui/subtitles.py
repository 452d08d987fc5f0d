"""A transcription as a document: plain text, Markdown, JSON, SubRip, WebVTT. Pure functions.

Subtitles follow the rules of broadcasters (BBC Subtitle Guidelines, Netflix Timed Text Style Guide): at most
two lines of 42 characters. A longer passage is shared out over several, in time by the length of their text.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple
from unicodedata import east_asian_width

LINE_WIDTH: Final = 42  # columns; a Chinese, Japanese or Korean character takes two
LINES: Final = 2

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_MARKDOWN: Final = re.compile(r"([\\`*_\[\]<>#])")


class Passage(NamedTuple):
    """Text and where it stands in the file, in seconds, as the daemon tells it."""

    start_s: float
    end_s: float
    text: str


class Cue(NamedTuple):
    """What is on the screen from `start_ms` to `end_ms`."""

    start_ms: int
    end_ms: int
    lines: Sequence[str]


def cues(passages: Iterable[Passage]) -> Iterator[Cue]:
    """Yield what is to be shown, in order, no two at the same time, each for at least 1 ms."""
    now = 0
    for passage in passages:
        screens = _screens(_wrap(_words(passage.text)))
        start, end = max(now, _ms(passage.start_s)), _ms(passage.end_s)
        weights = [sum(map(len, screen)) for screen in screens]
        for screen, shown in zip(screens, accumulate(weights), strict=True):
            until = max(now + 1, start + 1, start + (end - start) * shown // sum(weights))
            yield Cue(max(now, start), until, screen)
            now = until


def txt(text: str) -> str:
    """Return the text, with a newline at its end."""
    return text + "\n"


def markdown(name: str, passages: Iterable[Passage]) -> str:
    """Return a page: the file's name, then a paragraph per passage with its time."""
    paragraphs = [f"`{_clock(_ms(one.start_s))[:8]}` {_escaped(' '.join(_words(one.text)))}" for one in passages]
    return "\n\n".join([f"# {_escaped(' '.join(_words(name)))}", *paragraphs]) + "\n"


def as_json(name: str, text: str, duration_s: float, passages: Iterable[Passage]) -> str:
    """Return an object `file text duration_s passages`; the passages are `start_s end_s text`."""
    content: dict[str, Any] = {"file": name, "text": text, "duration_s": duration_s}
    content["passages"] = [one._asdict() for one in passages]
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def srt(passages: Iterable[Passage]) -> str:
    """Return SubRip; an arrow of two hyphens, which belongs to the times, becomes another arrow."""
    blocks = [
        f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n"
        + "".join(line.replace("-->", "→") + "\n" for line in cue.lines)
        for number, cue in enumerate(cues(passages), 1)
    ]
    return "\n".join(blocks)


def vtt(passages: Iterable[Passage]) -> str:
    """Return WebVTT."""
    blocks = [
        f"{_clock(cue.start_ms)} --> {_clock(cue.end_ms)}\n"
        + "".join(line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") + "\n" for line in cue.lines)
        for cue in cues(passages)
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def _clock(ms: int, point: str = ".") -> str:
    seconds, ms = divmod(ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{ms:03}"


def _words(text: str) -> list[str]:
    return _CONTROL.sub(" ", text).split()


def _escaped(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)


def _width(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def _wrap(words: Iterable[str]) -> list[str]:
    """Fill lines; a word that is wider than a line, as sentences without spaces are, is cut."""
    lines: list[str] = []
    for piece in (piece for word in words for piece in _pieces(word)):
        if lines and _width(lines[-1]) + 1 + _width(piece) <= LINE_WIDTH:
            lines[-1] += " " + piece
        else:
            lines.append(piece)
    return lines


def _pieces(word: str) -> Iterator[str]:
    piece = ""
    for character in word:
        if _width(piece + character) > LINE_WIDTH:
            yield piece
            piece = ""
        piece += character
    yield piece


def _screens(lines: Sequence[str]) -> list[Sequence[str]]:
    return [lines[start : start + LINES] for start in range(0, len(lines), LINES)]
