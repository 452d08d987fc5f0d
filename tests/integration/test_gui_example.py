"""The example of a window: all it does goes over the socket of a real daemon."""

import json
import subprocess
import sys
from contextlib import contextmanager

import pytest

from support.daemon import ROOT, new_home, running_daemon

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

EXAMPLE = ROOT / "examples/gui.py"


class Window:
    """The example, running."""

    def __init__(self, process):
        self._process = process
        self.seen = []  # all lines so far

    def press(self, line):
        """Press a button and return its answer."""
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        kind, rest = self.until("answer", "refused")
        return json.loads(rest) if kind == "answer" else rest

    def until(self, *kinds, says=""):
        """Read lines until one is of these kinds and holds these words."""
        while line := self._process.stdout.readline():
            self.seen.append(line)
            kind, _, rest = line.rstrip("\n").partition(" ")
            if kind in kinds and says in rest:
                return kind, rest
        raise EOFError


@contextmanager
def window(home):
    process = subprocess.Popen(
        [sys.executable, EXAMPLE],
        env=home.variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield Window(process)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")


def test_a_window_of_50_lines_does_all_that_a_window_needs():
    assert len(EXAMPLE.read_text().splitlines()) <= 50
    variables = {
        "V2M_AUDIO__BACKEND": "wav",
        "V2M_TRANSCRIPTION__BACKEND": "scripted",
        "V2M_TRANSCRIPTION__SCRIPT": '["what was said"]',
    }
    with new_home(**variables) as home, running_daemon(home), window(home) as gui:
        assert json.loads(gui.until("snapshot")[1])["engine"]["name"] == "scripted"
        assert gui.press("start")["state"] == "recording"
        for _ in range(15):  # 20 levels a second
            gui.until("level", says="#")
        assert gui.press("start").startswith("A recording is already running.")
        assert gui.press("stop")["transcription"] == "what was said"
        if "heard what was said\n" not in gui.seen:  # events come on a connection of their own
            gui.until("heard", says="what was said")
        states = [json.loads(line.partition(" ")[2])["state"] for line in gui.seen if line.startswith("state_changed")]
        assert states[:2] == ["recording", "transcribing"]
        gui.press("start")
        gui.until("level")
        assert gui.press("abort")["state"] == "idle"
        (entry,) = gui.press("history said")
        assert entry["text"] == "what was said"
        assert gui.press("history nothing") == []
        (setting,) = gui.press("get audio.min_recording_ms")
        assert setting["value"] == 200
        assert gui.press("set audio.min_recording_ms 300")["applied"] == ["audio.min_recording_ms"]
        assert gui.press("get audio.min_recording_ms")[0]["value"] == 300
        assert "audio.min_recording_ms" in gui.press('set audio.min_recording_ms "much"')
        assert gui.press("undo").startswith("Nothing was typed")  # nothing was typed: no window is here
        assert gui.press("dance").startswith("start, stop")
