"""A preview shows inside real applications, changes nothing, and is gone when its owner is, however it ended."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image, ImageChops

from support.audio import write_wav
from support.container import ask, contained, private_home
from support.daemon import new_home, running_daemon, wait_until
from support.desktop import SwayDesktop
from support.speech import clips
from v2m.domain.delivery import Destination, Session
from v2m.domain.errors import OutputError
from v2m.infrastructure._wayland.connection import Connection
from v2m.infrastructure._wayland.input_method import InputMethod
from v2m.infrastructure.engines.scripted import ScriptedTranscriber
from v2m.infrastructure.output.wayland.input_method import InputMethodOutput
from v2m.infrastructure.output.wayland.preview import InputMethodPreview, ending

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(240)]

KEY_A = 30
HOLDER = """
import asyncio, sys
from pathlib import Path
from v2m.domain.delivery import Destination, Session
from v2m.infrastructure.output.wayland.preview import InputMethodPreview

async def main():
    preview = InputMethodPreview(mark=Path(sys.argv[3]))
    await preview.show(sys.argv[2], Destination(Session({"WAYLAND_DISPLAY": sys.argv[1]})))
    print("shown", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def sway():
    with SwayDesktop() as desk:
        yield desk


@pytest.fixture(scope="module")
def field(sway):
    return sway.target("gtk")


@pytest.fixture
def preview(tmp_path):
    return InputMethodPreview(mark=tmp_path / "mark")


@pytest.fixture
def to(sway):
    return Destination(Session(sway.variables))


def preedit(field):
    field.text()
    return field.preedit


def wait_preedit(field, wanted):
    holds = wanted if callable(wanted) else lambda shown: shown == wanted
    wait_until(lambda: holds(preedit(field)), what=f"the preedit {wanted!r}, not {field.preedit!r}")


async def shows(field, wanted):
    await asyncio.to_thread(wait_preedit, field, wanted)


def test_it_shows_changes_and_goes_and_the_text_stays_what_it_was(sway, field, to, preview):
    field.set("Dear Anna, ")

    async def scenario():
        await preview.show("we meet", to)
        await shows(field, "we meet")
        await preview.show("we meet — 你好 😀", to)
        await shows(field, "we meet — 你好 😀")
        await preview.hide()
        await shows(field, "")
        await preview.hide()

    asyncio.run(scenario())
    assert field.text() == "Dear Anna, "


def test_the_output_finds_its_place_free_as_soon_as_the_preview_is_hidden(sway, field, to, preview):
    field.set("")

    async def scenario():
        taken = False
        for number in range(5):
            await preview.show(f"part {number}", to)
            await preview.hide()
            for _ in range(20):  # GTK takes a moment to be back after its last input method has gone
                try:
                    await InputMethodOutput().deliver(f"{number} ", to)
                except OutputError as error:
                    taken = taken or "holds this session's only place" in str(error)
                    await asyncio.sleep(0.05)
                else:
                    break
        return taken

    assert not asyncio.run(scenario())
    assert field.wait_text("0 1 2 3 4 ")


def test_a_text_longer_than_a_request_shows_its_end(field, to, preview):
    field.set("")
    text = "äöü 你好 " * 500 + "the end"

    async def scenario():
        await preview.show(text, to)
        await shows(field, ending(text))
        await preview.hide()

    asyncio.run(scenario())
    assert len(ending(text).encode()) <= 3900
    assert ending(text).startswith("…")
    assert text.endswith(ending(text)[1:])
    assert ending("short") == "short"


def test_a_password_field_and_a_place_that_is_taken_show_nothing(sway, to, preview):
    secret = sway.target("gtk", "password")

    async def in_secret():
        await preview.show("my secret", to)
        await preview.hide()

    asyncio.run(in_secret())
    os.kill(secret.pid, signal.SIGTERM)
    plain = sway.target("gtk")

    async def beside_another():
        connection = await Connection.open(sway.variables["WAYLAND_DISPLAY"])
        other = InputMethod(connection)
        await other.wait_active()
        await preview.show("not shown", to)
        await preview.hide()
        still_there = other.field.active and connection.alive
        connection.close()
        return still_there

    assert asyncio.run(beside_another())
    assert preedit(secret) == ""
    assert preedit(plain) == ""
    os.kill(plain.pid, signal.SIGTERM)


def test_without_a_compositor_it_does_nothing(tmp_path, preview):
    async def scenario():
        for variables in ({}, {"WAYLAND_DISPLAY": str(tmp_path / "gone")}):
            await preview.show("hello", Destination(Session(variables)))
            await preview.hide()

    asyncio.run(scenario())


@pytest.mark.parametrize("ending_signal", [signal.SIGKILL, signal.SIGTERM], ids=lambda sent: sent.name)
def test_it_goes_with_its_process(sway, field, tmp_path, ending_signal):
    field.set("Dear Anna, ")
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLDER, sway.variables["WAYLAND_DISPLAY"], "never left behind", tmp_path / "mark"],
        stdout=subprocess.PIPE,
    )
    try:
        wait_preedit(field, "never left behind")
    finally:
        owner.send_signal(ending_signal)
        owner.communicate()
    wait_preedit(field, "")
    assert field.text() == "Dear Anna, "


def test_in_a_terminal_it_goes_with_its_process_and_the_program_never_hears_of_it(tmp_path):
    with SwayDesktop() as desk:
        terminal = desk.terminal()
        session = Session(desk.variables)
        mark = tmp_path / "mark"
        pictures = iter(range(1000))

        def picture():
            path = tmp_path / f"{next(pictures)}.png"
            desk.screenshot(path)
            return Image.open(path).convert("RGB")

        def differs():
            return ImageChops.difference(empty, picture()).getbbox() is not None

        def hold():
            owner = subprocess.Popen(
                [sys.executable, "-c", HOLDER, desk.variables["WAYLAND_DISPLAY"], "never left behind", mark],
                stdout=subprocess.PIPE,
            )
            try:
                wait_until(differs, what="the preview in the terminal")
            finally:
                owner.kill()
                owner.communicate()

        async def tidied():
            preview = InputMethodPreview(mark=mark)
            await preview.tidy(session)

        empty = settled(picture)
        hold()
        assert mark.exists()
        asyncio.run(tidied())  # foot drops it at once and paints itself when something changes
        wait_until(lambda: not differs(), what="the terminal as it was")
        assert not mark.exists()
        hold()
        desk.press(KEY_A)
        desk.release(KEY_A)
        assert terminal.wait_text("a")


def test_nothing_is_shown_for_a_process_that_took_its_own_away(sway, field, to, preview):
    field.set("")
    before = preedit(field)

    async def scenario():
        await preview.show("hello", to)
        await shows(field, "hello")
        await preview.hide()
        await shows(field, "")
        await preview.tidy(to.session)

    asyncio.run(scenario())
    assert preedit(field) == before == ""


def settled(picture):
    """Return a picture that the next one equals."""
    last = picture()
    while ImageChops.difference(last, now := picture()).getbbox() is not None:
        last = now
        time.sleep(0.05)
    return now


# --- the whole daemon -------------------------------------------------------------------------------


class Desk:
    """A session that is known."""

    def __init__(self, desktop):
        self._session = Session(desktop.variables, "client")

    async def current(self, hint):
        return self._session


@pytest.fixture
def speaking(sway, tmp_path, monkeypatch):
    """Return what runs a scenario against a container that types into this desktop, with a scripted engine."""

    def play(scenario, *, preview, words=("we meet on Thursday",)):
        settings, _ = private_home(tmp_path, monkeypatch)
        settings["output.preview"] = preview

        async def main():
            engine = ScriptedTranscriber(list(words))
            real = {"outputs": None, "windows": None, "sessions": Desk(sway), "transcriber": engine}
            async with contained(settings, **real) as (container, _, _):
                await scenario(container)

        asyncio.run(main())

    return play


async def start(container):
    dictation = (await ask(container, "START_RECORDING"))["dictation"]
    opened = container.dictations.recording
    while opened.spool.head < 16000:
        await asyncio.sleep(0.02)
    return dictation


def hear(container, dictation, text):
    from v2m.domain.events import Partial

    container.events.publish(Partial(dictation, text, 0, final=False))


def test_a_dictation_shows_while_it_is_spoken_and_stands_there_once(sway, field, speaking):
    field.set("Dear Anna, ")

    async def scenario(container):
        dictation = await start(container)
        hear(container, dictation, "we meet")
        await shows(field, "we meet")
        assert field.text() == "Dear Anna, "
        await ask(container, "STOP_RECORDING")
        await asyncio.to_thread(field.wait_text, "Dear Anna, we meet on Thursday")
        await shows(field, "")

    speaking(scenario, preview=True)


def test_an_aborted_dictation_leaves_nothing(sway, field, speaking):
    field.set("Dear Anna, ")

    async def scenario(container):
        dictation = await start(container)
        hear(container, dictation, "we meet")
        await shows(field, "we meet")
        await ask(container, "ABORT_RECORDING")
        await shows(field, "")

    speaking(scenario, preview=True)
    assert field.text() == "Dear Anna, "


@pytest.mark.parametrize("cmd", ["PAUSE_DAEMON", "SHUTDOWN"])
def test_pause_and_shutdown_leave_the_text_and_no_preview(sway, field, speaking, cmd):
    field.set("")

    async def scenario(container):
        dictation = await start(container)
        hear(container, dictation, "we meet")
        await shows(field, "we meet")
        await ask(container, cmd)

    speaking(scenario, preview=True)
    wait_preedit(field, "")
    assert field.wait_text("we meet on Thursday")


def test_without_the_setting_nothing_is_shown_and_no_event_is_made_for_it(sway, field, speaking):
    field.set("")

    async def scenario(container):
        dictation = await start(container)
        assert not container.events.has_listeners()
        hear(container, dictation, "we meet")
        await ask(container, "STOP_RECORDING")

    speaking(scenario, preview=False)
    assert field.wait_text("we meet on Thursday")
    assert field.preedit == ""


def test_a_killed_daemon_leaves_no_preview(sway, field, tmp_path):
    field.set("Dear Anna, ")
    long = max((clip for clip in clips() if clip.kind == "speech"), key=lambda clip: len(clip.pcm))
    wav = write_wav(tmp_path / "voice.wav", pcm=long.pcm)
    variables = {"V2M_AUDIO__BACKEND": "wav", "V2M_AUDIO__WAV_PATH": str(wav), "V2M_OUTPUT__PREVIEW": "true"}
    with new_home(**sway.variables, **variables) as home, running_daemon(home) as daemon:
        assert home.toak("--start").returncode == 0
        wait_preedit(field, bool)
        os.kill(daemon.pid, signal.SIGKILL)
        wait_preedit(field, "")
        assert field.text() == "Dear Anna, "
