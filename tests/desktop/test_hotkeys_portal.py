"""Hotkeys from the desktop's real portal: press and release, what the user chose, refusals, restarts."""

import asyncio
import gc
import subprocess
from pathlib import Path

import pytest

from support.daemon import new_home, running_daemon, wait_until
from support.desktop import SwayDesktop
from support.portal import DENIED, PrivateBus, hang_up, wait_for_name
from support.shortcuts import NewerPortal, shortcuts_desktop
from v2m.domain.delivery import Session
from v2m.domain.hotkeys import Shortcut, parse_keys
from v2m.infrastructure.desktop.hotkeys.live import LiveHotkeys
from v2m.infrastructure.desktop.hotkeys.portal import CONSENT_S, PortalHotkeys
from v2m.infrastructure.desktop.hotkeys.refusal import UnreachableError

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(60)]

HERE = Session({"WAYLAND_DISPLAY": "/nonexistent/wayland-0"}, "test")
WANTED = [
    Shortcut("push_to_talk", parse_keys("super+space"), "start", "stop", "Dictate while held"),
    Shortcut("abort", parse_keys("ctrl+alt+F9"), "abort", description="Throw the dictation away"),
]


class Heard:
    """What the hotkeys said."""

    def __init__(self, address, session=HERE, entry="/nonexistent/org.v2m.toakd.desktop", consent_s=CONSENT_S):
        self.actions = asyncio.Queue()
        self.told = asyncio.Queue()
        self.session = session
        backend = PortalHotkeys(
            WANTED,
            bus_address=lambda: address,
            entry=Path(entry),
            program="/opt/v 2 m/toakd",
            consent_s=consent_s,
        )
        self.hotkeys = LiveHotkeys([backend], locate=self._locate)

    async def _locate(self):
        return self.session

    def press(self, action, asked_ns):
        self.actions.put_nowait((action, asked_ns))

    async def run(self):
        await self.hotkeys.run(self.press, self.told.put_nowait)

    async def action(self):
        return (await self.actions.get())[0]

    async def bound(self, **triggers):
        """Wait until these are bound."""
        while not self.hotkeys.state.backend or not triggers.items() <= self.hotkeys.state.triggers.items():
            await asyncio.sleep(0.01)


def play(scene, **played):
    async def play_it():
        async with asyncio.timeout(40), shortcuts_desktop(**played) as (bus, portal, desktop):
            heard = Heard(bus.address)
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(heard.run())
                try:
                    await scene(heard, desktop, portal, bus)
                finally:
                    listening.cancel()

    asyncio.run(play_it())
    gc.collect()  # here: what a bus leaves must not be tidied up while CPython 3.11 compiles, which then fails


def test_press_and_release_come_in_order_and_only_of_what_was_asked_for():
    async def scene(heard, desktop, portal, bus):
        await heard.bound()
        for _ in range(20):
            desktop.press("push_to_talk")
            desktop.release("push_to_talk")
        assert [await heard.action() for _ in range(40)] == ["start", "stop"] * 20
        desktop.press("of another program")
        desktop.press("abort")
        desktop.release("abort")  # means nothing
        desktop.press("push_to_talk")
        assert [await heard.action(), await heard.action()] == ["abort", "start"]
        assert heard.actions.empty()

    play(scene)


def test_the_desktop_is_told_what_for_and_its_own_words_for_the_keys_are_shown():
    async def scene(heard, desktop, portal, bus):
        await heard.bound(push_to_talk="Press push_to_talk")
        (asked,) = desktop.asked
        assert dict(asked)["push_to_talk"] == {
            "description": "Dictate while held",
            "preferred_trigger": "LOGO+space",
        }
        assert dict(asked)["abort"]["preferred_trigger"] == "CTRL+ALT+F9"
        assert heard.hotkeys.state.backend == "portal"
        desktop.choose("push_to_talk", "Press F5")
        await heard.bound(push_to_talk="Press F5")

    play(scene)


@pytest.mark.parametrize("played", [{"answer": DENIED}, {"gives": []}])
def test_a_no_is_told_once_and_not_asked_again(played):
    async def scene(heard, desktop, portal, bus):
        assert "v2m hotkey print" in await heard.told.get()
        await asyncio.sleep(0.5)  # several pauses of the loop
        assert len(desktop.asked) == 1
        assert heard.told.empty()
        assert heard.hotkeys.state.backend == ""
        heard.session = Session({"WAYLAND_DISPLAY": "/nonexistent/wayland-1"}, "test")  # a new login
        desktop.answer, desktop.gives = 0, None
        await heard.bound()
        assert await heard.told.get() == ""

    play(scene, **played)


def test_a_question_that_nobody_answers_is_not_asked_over_and_over():
    async def play_it():
        async with asyncio.timeout(30), shortcuts_desktop(answers=False) as (bus, _, desktop):
            heard = Heard(bus.address, consent_s=0.3)
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(heard.run())
                assert "Nobody answered" in await heard.told.get()
                await asyncio.sleep(0.5)  # several pauses of the loop
                listening.cancel()
            assert len(desktop.asked) == 1

    asyncio.run(play_it())
    gc.collect()


def test_a_portal_that_was_restarted_is_bound_again():
    async def scene(heard, desktop, portal, bus):
        await heard.bound()
        portal.stop()
        while heard.hotkeys.state.backend:
            await asyncio.sleep(0.01)
        watcher = await bus.connect()
        portal.start()
        await wait_for_name(watcher, "org.freedesktop.portal.Desktop")
        await hang_up(watcher)
        await heard.bound()
        desktop.press("push_to_talk")
        assert await heard.action() == "start"

    play(scene)


def test_cancelling_ends_the_session():
    async def play_it():
        async with asyncio.timeout(30), shortcuts_desktop() as (bus, _, desktop):
            heard = Heard(bus.address)
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(heard.run())
                await heard.bound()
                listening.cancel()
            while not desktop.closed:
                await asyncio.sleep(0.01)
            assert heard.hotkeys.state.backend == ""

    asyncio.run(play_it())
    gc.collect()


def test_without_a_portal_the_reason_is_told_and_the_portal_is_looked_for_again(tmp_path):
    async def play_it():
        heard = Heard(f"unix:path={tmp_path}/bus")
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            listening = group.create_task(heard.run())
            assert await heard.told.get() == (
                "No hotkeys: the session bus does not answer (v2m hotkey print tells what to bind by hand)."
            )
            listening.cancel()

    asyncio.run(play_it())


def test_a_newer_portal_is_told_who_asks_and_finds_the_menu_entry(tmp_path):
    entry = tmp_path / "applications/org.v2m.toakd.desktop"

    async def play_it():
        with PrivateBus() as private:
            bus = await private.connect()
            portal = NewerPortal(bus, entry)
            await portal.serve()
            heard = Heard(private.address, entry=entry)
            async with asyncio.timeout(20), asyncio.TaskGroup() as group:
                listening = group.create_task(heard.run())
                await heard.bound(push_to_talk="F9")
                listening.cancel()
            await hang_up(bus)
            assert portal.calls[:3] == ["Register", "CreateSession", "BindShortcuts"]
            assert portal.app_id == entry.stem

    asyncio.run(play_it())
    gc.collect()
    assert 'Exec="/opt/v 2 m/toakd"' in entry.read_text().splitlines()


def test_the_menu_entry_is_one_that_the_desktops_library_takes(tmp_path):
    program = tmp_path / "a $place of mine" / "toakd"
    program.parent.mkdir()
    program.touch(mode=0o755)
    entry = tmp_path / "org.v2m.toakd.desktop"
    backend = PortalHotkeys(WANTED, bus_address=lambda: None, entry=entry, program=str(program))
    with pytest.raises(UnreachableError):
        asyncio.run(backend.serve(HERE, lambda _action, _at_ns: None, lambda _triggers: None))
    asks = f"from gi.repository import Gio; assert Gio.DesktopAppInfo.new_from_filename({str(entry)!r})"
    subprocess.run(["/usr/bin/python3", "-c", asks], check=True)


def test_a_daemon_records_while_the_desktop_says_that_the_key_is_held():
    variables = {
        "V2M_AUDIO__BACKEND": "wav",
        "V2M_TRANSCRIPTION__BACKEND": "scripted",
        "V2M_TRANSCRIPTION__SCRIPT": '["hello"]',
        "V2M_OUTPUT__METHOD": "clipboard",
        "V2M_HOTKEYS__BACKEND": "portal",
        "V2M_HOTKEYS__TOGGLE": "F7",
        "V2M_HOTKEYS__ABORT": "",
    }

    def dictate(home, loop, desktop):
        shown = lambda: home.ask("GET_STATUS")["data"]  # noqa: E731
        wait_until(lambda: shown()["hotkeys"]["backend"] == "portal", what="the hotkeys")
        assert shown()["hotkeys"]["triggers"] == {"push_to_talk": "Press push_to_talk", "toggle": "Press toggle"}
        assert "push_to_talk Press push_to_talk" in home.v2m("status").stdout
        for begin, end in ((desktop.press, desktop.release), (desktop.press, desktop.press)):
            name = "push_to_talk" if end == desktop.release else "toggle"
            loop.call_soon_threadsafe(begin, name)
            home.wait_state("recording")
            wait_until(lambda: shown()["recording"]["seconds"] > 0.4, what="some speech")
            loop.call_soon_threadsafe(end, name)
            home.wait_state("idle")
        assert [row["text"] for row in home.history()] == ["hello", "hello"]

    async def play_it():
        async with asyncio.timeout(50), shortcuts_desktop() as (bus, _, desktop):
            with SwayDesktop() as sway, new_home(**variables, **sway.variables) as home:
                home.variables["DBUS_SESSION_BUS_ADDRESS"] = bus.address
                await asyncio.to_thread(run, home, asyncio.get_running_loop(), desktop)

    def run(home, loop, desktop):
        with running_daemon(home):
            dictate(home, loop, desktop)

    asyncio.run(play_it())
    gc.collect()
