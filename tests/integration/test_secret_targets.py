"""What is dictated into a field that asks for a secret leaves no trace: file, log, event, clipboard, audio."""

import asyncio
import json
import logging
import os
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.container import ask, private_home, run
from v2m.domain.delivery import Session, Window
from v2m.domain.errors import OutputError, OutputReason
from v2m.domain.transcript import PartialTranscript
from v2m.infrastructure.desktop.memory import MemoryGuard, MemoryWindows
from v2m.infrastructure.engines.scripted import ScriptedTranscriber
from v2m.infrastructure.output.memory import MemoryOutput

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

WORDS = "correcthorsebatterystaple"
BROWSER = Window("sway:2", "firefox", "a page", 200)
FIELD = "A password field has the focus."


class Desk:
    async def current(self, hint):
        return Session({"WAYLAND_DISPLAY": "/run/wayland-1"}, "client")


@pytest.fixture
def settings(tmp_path, monkeypatch):
    return private_home(tmp_path, monkeypatch)[0]


class Scene:
    """A browser whose field may become secret, and everything that was said about a dictation."""

    def __init__(self, *, late=False):
        self.guard = MemoryGuard()
        broken = {"fail_after": 0, "reason": OutputReason.SECRET_FIELD} if late else {}
        self.field, self.clipboard = MemoryOutput(**broken), MemoryOutput(name="clipboard")
        self.ports = {
            "windows": MemoryWindows(BROWSER),
            "guard": self.guard,
            "sessions": Desk(),
            "outputs": [self.field],
            "clipboard": self.clipboard,
            "transcriber": ScriptedTranscriber([WORDS]),
        }
        self.frames = []

    @contextmanager
    def listening(self, container):
        """Collect every event."""
        with container.events.subscribe() as subscription:
            yield
            subscription.close()
            self.frames.extend(subscription._queue)

    async def start(self, container, *, secret):
        self.guard.reason = FIELD if secret else ""
        await ask(container, "START_RECORDING")
        opened = container.dictations.recording
        await opened.sight.answered.wait()
        while opened.spool.head < 16000:
            await asyncio.sleep(0.02)
        return opened

    async def stop(self, container, *, secret, **how):
        self.guard.reason = FIELD if secret else ""
        with pytest.raises(OutputError) as refused:
            await ask(container, "STOP_RECORDING", **how)
        assert refused.value.reason is OutputReason.SECRET_FIELD
        return (await ask(container, "LIST_HISTORY"))["entries"][0]


def files_with(words: str) -> list[Path]:
    """Return the files of the state directory in which the words stand; audio holds no letters."""
    files = [path for path in Path(os.environ["XDG_STATE_HOME"]).rglob("*") if path.is_file()]
    return [path for path in files if path.suffix != ".spool" and words.encode() in path.read_bytes()]


def recordings() -> list[Path]:
    return list(Path(os.environ["XDG_STATE_HOME"]).rglob("dictation-*"))


def is_partial(frame) -> bool:
    return frame["event"] == "partial"


async def told(notifier, title):
    while not any(shown.title == title for shown in notifier.shown):
        await asyncio.sleep(0.01)


def check_traces(scene, row, notifier, caplog):
    """Everything but the row's skeleton must be gone."""
    assert (row["phase"], row["raw"], row["text"], row["audio"]) == ("discarded", "", "", False)
    assert files_with(WORDS) == []
    assert recordings() == []
    assert WORDS not in json.dumps(scene.frames)
    assert WORDS not in caplog.text
    assert not any(WORDS in f"{shown.title}{shown.body}" for shown in notifier.shown)
    assert (scene.field.texts, scene.clipboard.texts) == ([], [])
    discarded = [frame["data"] for frame in scene.frames if frame["event"] == "discarded"]
    assert discarded == [{"dictation": row["dictation"], "reason": "secret"}]


@pytest.mark.parametrize(("at_start", "at_end"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("deliver", ["type", "copy"])
def test_a_secret_field_leaves_no_trace(settings, caplog, at_start, at_end, deliver):
    caplog.set_level(logging.DEBUG)
    scene = Scene()

    async def play(container, output, notifier):
        with scene.listening(container):
            await scene.start(container, secret=at_start)
            row = await scene.stop(container, secret=at_end, deliver=deliver)
        if not at_start:  # what was heard while nobody could know it has been told
            scene.frames = [frame for frame in scene.frames if not (is_partial(frame) and not frame["data"]["final"])]
        assert not [frame for frame in scene.frames if is_partial(frame) or frame["event"] == "transcribed"]
        assert row["reason"] == FIELD
        await told(notifier, "Not typed")
        check_traces(scene, row, notifier, caplog)

    run(settings, play, **scene.ports)
    assert files_with(WORDS) == []


def test_a_field_that_only_the_output_finds_secret_is_scrubbed(settings, caplog):
    caplog.set_level(logging.DEBUG)
    scene = Scene(late=True)

    async def play(container, output, notifier):
        await scene.start(container, secret=False)
        row = await scene.stop(container, secret=False)
        await told(notifier, "Not typed")
        assert files_with(WORDS) == []
        assert (row["phase"], row["text"], row["raw"], recordings()) == ("discarded", "", "", [])
        assert (scene.field.texts, scene.clipboard.texts) == ([], [])
        assert WORDS not in caplog.text
        assert (await ask(container, "LIST_HISTORY", grep=WORDS))["entries"] == []

    run(settings, play, **scene.ports)
    assert files_with(WORDS) == []


def test_audio_that_was_begun_in_a_secret_field_has_no_name_on_the_disk(settings):
    scene = Scene()

    async def play(container, output, notifier):
        opened = await scene.start(container, secret=True)
        while recordings():
            await asyncio.sleep(0.01)
        head = opened.spool.head
        while opened.spool.head == head:  # it goes on all the same
            await asyncio.sleep(0.01)
        row = (await ask(container, "LIST_HISTORY"))["entries"][0]
        assert (row["phase"], row["audio"]) == ("recording", False)
        await told(notifier, "Nothing will be kept")
        await ask(container, "ABORT_RECORDING")

    run(settings, play, **scene.ports)


def test_an_earlier_dictation_that_meets_a_secret_field_late_keeps_its_words(settings):
    scene = Scene()

    async def play(container, output, notifier):
        await scene.start(container, secret=False)
        await ask(container, "STOP_RECORDING", deliver="none")
        scene.field._fail_after, scene.field._reason = 0, OutputReason.SECRET_FIELD
        with pytest.raises(OutputError):
            await ask(container, "DELIVER_AGAIN")
        row = (await ask(container, "LIST_HISTORY"))["entries"][0]
        assert (row["phase"], row["text"], scene.clipboard.texts) == ("held", WORDS, [])

    run(settings, play, **scene.ports)


def test_partials_stop_as_soon_as_the_field_is_known_to_be_secret(settings):
    scene = Scene()

    async def play(container, output, notifier):
        with scene.listening(container):
            opened = await scene.start(container, secret=True)
            container.dictations._recorder._publish(opened.dictation, opened.sight, PartialTranscript(WORDS, 3, 1.0))
            await ask(container, "ABORT_RECORDING")
        assert "partial" not in {frame["event"] for frame in scene.frames}

    run(settings, play, **scene.ports)
