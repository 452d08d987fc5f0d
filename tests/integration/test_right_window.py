"""The window of START is remembered; another one gets nothing that was not meant for it, and no word is lost."""

import asyncio
from pathlib import Path

import pytest

from support.container import ask, private_home, run
from v2m.domain.delivery import Session, Window
from v2m.domain.errors import OutputError, OutputReason, ProtocolError
from v2m.infrastructure.capture.wav_file import WavFileMicrophone
from v2m.infrastructure.desktop.memory import MemoryGuard, MemoryWindows
from v2m.infrastructure.engines.scripted import ScriptedTranscriber
from v2m.infrastructure.output.memory import MemoryOutput

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

FOOT = Window("sway:1", "foot", "shell", 100)
FIREFOX = Window("sway:2", "firefox", "a page", 200)
PROMPT = Window("sway:3", "pinentry-gtk-2", "", 300)


@pytest.fixture
def settings(tmp_path, monkeypatch):
    return private_home(tmp_path, monkeypatch)[0]


class Desk:
    """A desktop with a display."""

    async def current(self, hint):
        return Session({"WAYLAND_DISPLAY": "/run/wayland-1"}, "client")


class Scene:
    """The ports of one test, and what happens on its desktop."""

    def __init__(self):
        self.windows = MemoryWindows(FOOT)
        self.clipboard = MemoryOutput(name="clipboard")
        self.ports = {
            "windows": self.windows,
            "guard": MemoryGuard(apps={PROMPT.app: "A password prompt has the focus."}),
            "sessions": Desk(),
            "clipboard": self.clipboard,
            "transcriber": ScriptedTranscriber(["dictation {n}"]),
        }

    async def dictate(self, container, ends_in, **how):
        await self.start(container)
        self.windows.now = ends_in
        return await ask(container, "STOP_RECORDING", **how)

    async def start(self, container):
        self.windows.now = FOOT
        await ask(container, "START_RECORDING")
        opened = container.dictations.recording
        await opened.sight.answered.wait()
        while opened.spool.head < 16000:
            await asyncio.sleep(0.02)


async def last_row(container):
    return (await ask(container, "LIST_HISTORY", limit=1))["entries"][0]


async def notice(notifier, title):
    while not (found := [shown for shown in notifier.shown if shown.title == title]):
        await asyncio.sleep(0.01)
    return found[-1]


def test_by_default_a_text_for_another_window_is_held_and_again_types_it(settings):
    scene = Scene()

    async def play(container, output, notifier):
        answer = await scene.dictate(container, FIREFOX)
        assert (answer["delivered"]["certainty"], output.texts, scene.clipboard.texts) == ("held", [], ["dictation 1"])
        row = await last_row(container)
        assert (row["phase"], row["text"], row["characters"]) == ("held", "dictation 1", 0)
        where = "The recording started in foot; the focus is in firefox now. The text is on the clipboard."
        assert row["reason"] == where
        assert (await notice(notifier, "Not typed")).body == f"{where} v2m again types it."
        again = await ask(container, "DELIVER_AGAIN")
        assert (again["certainty"], again["target"], output.texts) == ("sent", "firefox", ["dictation 1"])
        row = await last_row(container)
        assert (row["phase"], row["reason"], row["characters"]) == ("delivered", "", 11)

    run(settings, play, **scene.ports)


def test_follow_types_where_the_focus_is(settings):
    scene = Scene()

    async def play(container, output, notifier):
        answer = await scene.dictate(container, FIREFOX)
        assert (answer["delivered"]["target"], output.texts) == ("firefox", ["dictation 1"])

    run({**settings, "output.when_moved": "follow"}, play, **scene.ports)


def test_return_goes_back_first_and_holds_when_it_cannot(settings):
    scene = Scene()

    async def play(container, output, notifier):
        answer = await scene.dictate(container, FIREFOX)
        assert (answer["delivered"]["target"], output.texts) == ("foot", ["dictation 1"])
        assert scene.windows.now == FOOT
        scene.windows.gone.add(FOOT.id)
        assert (await scene.dictate(container, FIREFOX))["delivered"]["certainty"] == "held"
        assert output.texts == ["dictation 1"]

    run({**settings, "output.when_moved": "return"}, play, **scene.ports)


def test_what_is_sent_is_silent_and_leaves_the_clipboard_alone(settings):
    scene = Scene()

    async def play(container, output, notifier):
        await scene.dictate(container, FOOT)
        await container.drain(True)
        assert (scene.clipboard.texts, notifier.visible) == ([], False)
        assert {shown.title for shown in notifier.shown} == {"Recording", "Transcribing"}

    run(settings, play, **scene.ports)


def test_an_uncertain_text_is_on_the_clipboard_and_in_a_notification(settings):
    scene = Scene()
    torn = MemoryOutput(fail_after=3, counts=False)

    async def play(container, output, notifier):
        await scene.dictate(container, FOOT)
        assert (await notice(notifier, "Perhaps not typed")).body.endswith(
            "The text is on the clipboard. v2m again types it once more."
        )
        assert (scene.clipboard.texts, (await last_row(container))["phase"]) == (["dictation 1"], "uncertain")

    run(settings, play, **{**scene.ports, "outputs": [torn]})


def test_a_prompt_that_comes_up_gets_nothing_and_the_words_are_kept(settings):
    scene = Scene()

    async def play(container, output, notifier):
        answer = await scene.dictate(container, PROMPT)
        assert (answer["delivered"]["certainty"], answer["delivered"]["method"]) == ("held", "none")
        row = await last_row(container)
        assert (row["phase"], row["text"], output.texts, scene.clipboard.texts) == ("held", "dictation 1", [], [])
        assert row["reason"] == "A password prompt has the focus. The text is kept: v2m last shows it."

    run(settings, play, **scene.ports)


@pytest.mark.parametrize("command", ["DELIVER_AGAIN", "RETRY_DICTATION", "TYPE_TEXT"])
def test_an_earlier_text_does_not_go_into_a_prompt_and_its_row_stays(settings, command):
    scene = Scene()

    async def play(container, output, notifier):
        await scene.dictate(container, FOOT)
        before = await last_row(container)
        scene.windows.now = PROMPT
        data = {"DELIVER_AGAIN": {}, "RETRY_DICTATION": {"dictation": 1}, "TYPE_TEXT": {"text": "hello"}}[command]
        with pytest.raises(OutputError, match="password prompt") as refused:
            await ask(container, command, **data)
        assert refused.value.reason is OutputReason.SECRET_FIELD
        assert (await last_row(container), output.texts, scene.clipboard.texts) == (before, ["dictation 1"], [])

    run(settings, play, **scene.ports)


def test_a_hanging_desktop_delays_no_start(settings):
    scene = Scene()

    class Hangs(MemoryWindows):
        async def focused(self, session):
            await asyncio.Event().wait()

    async def play(container, output, notifier):
        async with asyncio.timeout(5):
            await ask(container, "START_RECORDING")
        assert container.dictations.recording.sight.answered.is_set() is False
        while container.dictations.recording.spool.head < 16000:
            await asyncio.sleep(0.02)
        async with asyncio.timeout(30):
            answer = await ask(container, "STOP_RECORDING")
        assert (answer["delivered"]["certainty"], output.texts) == ("sent", ["dictation 1"])

    run(settings, play, **{**scene.ports, "windows": Hangs()})


def test_the_microphone_opens_before_the_desktop_is_asked(settings):
    scene, order = Scene(), []

    class Microphone(WavFileMicrophone):
        async def open(self, spool):
            recording = await super().open(spool)
            order.append("microphone")
            return recording

    class Windows(MemoryWindows):
        async def focused(self, session):
            order.append("window")
            return await super().focused(session)

    async def play(container, output, notifier):
        await ask(container, "START_RECORDING")
        await container.dictations.recording.sight.answered.wait()
        await ask(container, "ABORT_RECORDING")

    microphone = Microphone(Path(settings["audio.wav_path"]))
    run(settings, play, **{**scene.ports, "windows": Windows(FOOT), "microphone": microphone})
    assert order == ["microphone", "window"]


def test_a_dictation_that_was_not_typed_by_itself_goes_to_the_clipboard_whatever_has_the_focus(settings):
    scene = Scene()

    async def play(container, output, notifier):
        await scene.start(container)
        scene.windows.now = FIREFOX
        while container.dictations.recording or container.dictations.queue:
            await asyncio.sleep(0.02)
        row = await last_row(container)
        assert (row["phase"], row["certainty"], output.texts) == ("held", "held", [])
        assert row["reason"].startswith("The longest recording, 1 s, is over.")
        assert scene.clipboard.texts == ["dictation 1"]

    run({**settings, "audio.max_recording_s": 1}, play, **scene.ports)


def test_one_output_can_be_asked_for_and_the_rest_of_the_chain_stays_out(settings):
    scene = Scene()
    one, two = MemoryOutput(name="one"), MemoryOutput(name="two")

    async def play(container, output, notifier):
        answer = await ask(container, "TYPE_TEXT", text="hello", output="two")
        assert (answer["method"], one.texts, two.texts) == ("two", [], ["hello"])
        with pytest.raises(ProtocolError, match="no output 'three'") as refused:
            await ask(container, "TYPE_TEXT", text="hello", output="three")
        assert refused.value.hint == "There are: one, two."

    run(settings, play, **{**scene.ports, "outputs": [one, two]})


def test_texts_for_different_windows_never_mix(settings):
    scene = Scene()
    keys = []

    class Keys(MemoryOutput):
        async def deliver(self, text, to):
            for key in text:
                keys.append(key)
                await asyncio.sleep(0)
            return await super().deliver(text, to)

    async def play(container, output, notifier):
        async with asyncio.TaskGroup() as group:
            for text in ("aaaa", "bbbb", "cccc"):
                group.create_task(ask(container, "TYPE_TEXT", text=text))
        assert "".join(keys) == "aaaabbbbcccc"

    run(settings, play, **{**scene.ports, "outputs": [Keys()]})


def test_a_programming_error_in_an_output_leaves_the_row_uncertain_and_not_on_its_way(settings):
    scene = Scene()

    class Wrong(MemoryOutput):
        async def deliver(self, text, to):
            raise ZeroDivisionError

    async def play(container, output, notifier):
        await ask(container, "START_RECORDING")
        while container.dictations.recording.spool.head < 16000:
            await asyncio.sleep(0.02)
        await ask(container, "STOP_RECORDING", deliver="none")
        with pytest.raises(ZeroDivisionError):
            await ask(container, "DELIVER_AGAIN")
        row = await last_row(container)
        assert (row["phase"], row["certainty"]) == ("uncertain", "uncertain")

    run(settings, play, **{**scene.ports, "outputs": [Wrong()]})
