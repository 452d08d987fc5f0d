"""What the daemon tells about one file while it works: a progress bar, and passages too many for an answer."""

import os
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from v2m.client import Client, ClientError
from v2m.ui.answers import one_line
from v2m.ui.subtitles import Passage

_PATIENCE_S: Final = 5.0  # for the subscription, and for events that are still on their way after the answer
_BAR: Final = 20  # characters


class Following:
    """Listens on a connection of its own, in a thread that ends with the program."""

    def __init__(self, name: str, *, shows: bool) -> None:
        self.job: str | None = None  # its name in the events, once there is somebody to hear them
        self._name = one_line(name)
        self._shows = shows
        self._passages: list[Passage] = []
        self._done: float | None = None
        self._seq: int | None = None
        self._complete = True
        self._subscribed = threading.Event()
        self._ended = threading.Event()
        self._drawing = threading.Lock()
        self._drawn = 0  # characters

    def start(self) -> None:
        """Subscribe; events of the job are heard from now on."""
        self.job = os.urandom(8).hex()
        threading.Thread(target=self._listen, daemon=True).start()
        self._subscribed.wait(_PATIENCE_S)

    def passages(self) -> Sequence[Passage]:
        """Return all passages that were told. Raises ClientError when some were lost."""
        if not self._ended.wait(_PATIENCE_S) or not self._complete:
            raise ClientError("internal", "Some of the passages did not arrive.", "Split the file.")
        return self._passages

    def clear(self) -> None:
        """Take the bar away and draw no more."""
        with self._drawing:
            self._shows = False
            if self._drawn:
                self._put("")

    def _listen(self) -> None:
        try:
            for event in Client().events():
                self._subscribed.set()
                self._complete = self._complete and self._seq in (None, event["seq"] - 1)
                self._seq = event["seq"]
                if event["data"].get("job") == self.job:
                    self._take(event["event"], event["data"])
        except ClientError:
            self._complete = False
        finally:
            self._subscribed.set()

    def _take(self, name: str, data: dict[str, Any]) -> None:
        if name == "segment":
            self._passages.append(Passage(data["start_s"], data["end_s"], data["text"]))
        elif name == "progress":
            self._done = data["done"]
        with self._drawing:
            if self._shows:
                self._put(self._bar())
        if self._done == 1:
            self._ended.set()

    def _bar(self) -> str:
        at = int(self._passages[-1].end_s) if self._passages else 0
        clock = f"{at // 3600}:{at // 60 % 60:02}:{at % 60:02}"
        if self._done is None:  # the file does not say how long it is
            return f"{self._name}  {clock}"
        full = int(self._done * _BAR)
        return f"{self._name}  [{'#' * full}{'-' * (_BAR - full)}] {self._done:4.0%}  {clock}"

    def _put(self, line: str) -> None:
        line = line[-(shutil.get_terminal_size().columns - 1) :]
        sys.stderr.write("\r" + line.ljust(self._drawn) + ("" if line else "\r"))
        sys.stderr.flush()
        self._drawn = len(line)


@contextmanager
def following(name: str, *, needs_passages: bool) -> Iterator[Following]:
    """Follow the transcription of a file, with a bar when standard error is a terminal."""
    shows = sys.stderr.isatty()
    follower = Following(name, shows=shows)
    if shows or needs_passages:
        follower.start()
    try:
        yield follower
    finally:
        follower.clear()
