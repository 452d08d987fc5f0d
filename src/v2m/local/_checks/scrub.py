"""Takes out of log lines what is nobody's business: words of dictations, keys, names, the home folder."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

MASK: Final = "…"
LINE_CHARS: Final = 2_000  # ours are shorter
RUN_WORDS: Final = 2  # so many words in a row that were dictated are taken for dictated text
_WORD: Final = re.compile(r"\w+")
_QUOTED: Final = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|«[^»\n]*»|“[^”\n]*”")
_KEY: Final = re.compile(r"(?<![A-Za-z0-9_-])(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,}|\b(?:sk|gsk|AIza)[-_]?[\w-]{8,}")
_BEARER: Final = re.compile(r"(?i)((?:\b(?:authorization|bearer|api[-_ ]?key|token|password|secret)\b[\s:=]*)+)\S+")
# Our own lines: an optional priority or time, a level, a logger below `v2m`; and what Python says of a traceback.
_OWN: Final = re.compile(r"^(?:<\d>|.*?\s)?(?:toakd|v2m[\w.]*)(?:\[\d+\])?: ")
_FRAME: Final = re.compile(r"^.*?File \"(?P<file>[^\"]+)\", line (?P<line>\d+), in (?P<name>[\w<>]+)")
_RAISED: Final = re.compile(r"^(?:.*?: )?[\s|+-]*(?P<name>[\w.]*(?:Error|Exception|Timeout|Interrupt|Group))(?:: .*)?$")


class Scrubber:
    """Knows what has to be taken out."""

    def __init__(self, *, secrets: Iterable[str] = (), texts: Iterable[str] = (), words: Iterable[str] = ()) -> None:
        """`texts` were dictated; `words` are the user's own, each of them is one too many."""
        self._secrets = [secret for secret in secrets if len(secret) >= 4]
        self._runs = {run for text in texts for run in _runs(text)}
        self._single = {word for text in texts if len(found := _words(text)) < RUN_WORDS for word in found}
        self._single |= {word for text in words for word in _words(text)}
        self._home = str(Path.home())

    def line(self, line: str) -> str:
        """Return a line of a log as it may be sent; empty when nothing of it may."""
        line = _cut(line.rstrip())
        if frame := _FRAME.match(line):
            return f"  {Path(frame['file']).name}, line {frame['line']}, in {frame['name']}"
        if raised := _RAISED.match(line):
            return f"  {raised['name']}"
        return self.text(line) if _OWN.match(line) else ""

    def text(self, text: str) -> str:
        """Return a sentence of ours as it may be sent."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        text = _BEARER.sub(rf"\1{MASK}", text)
        text = _KEY.sub(MASK, text)
        text = _QUOTED.sub(f"'{MASK}'", text)
        return self._without_dictation(text.replace(self._home, "~"))

    def _without_dictation(self, text: str) -> str:
        found = list(_WORD.finditer(text))
        words = [match[0].casefold() for match in found]
        masked = {number for number, word in enumerate(words) if word in self._single}
        for number in range(len(words) - RUN_WORDS + 1):
            if tuple(words[number : number + RUN_WORDS]) in self._runs:
                masked.update(range(number, number + RUN_WORDS))
        for number in sorted(masked, reverse=True):
            text = text[: found[number].start()] + MASK + text[found[number].end() :]
        return text


def _cut(line: str) -> str:
    """Return a line of a bearable length, without the words that the cut leaves halves of, or of a pair."""
    if len(line) <= LINE_CHARS:
        return line
    return " ".join([*line[:LINE_CHARS].split(" ")[:-RUN_WORDS], MASK])


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _runs(text: str) -> Iterable[tuple[str, ...]]:
    words = _words(text)
    return (tuple(words[at : at + RUN_WORDS]) for at in range(len(words) - RUN_WORDS + 1))
