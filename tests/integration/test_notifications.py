"""Notifications on a real session bus, with a notification server that the test plays."""

import asyncio
import io
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import wave
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

from support.speech import until
from v2m.infrastructure.desktop.memory import MemoryNotifier, Shown
from v2m.infrastructure.desktop.notifications import DesktopNotifier
from v2m.infrastructure.desktop.sounds import PLAYERS, Sounds, tone

pytestmark = pytest.mark.integration

NAME = "org.freedesktop.Notifications"


class Bus:
    """A private dbus-daemon."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "bus"
        self.address = f"unix:path={self.socket}"
        self.daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.daemon = subprocess.Popen(
            ["dbus-daemon", "--session", f"--address={self.address}", "--nofork", "--print-address=1"],
            stdout=subprocess.PIPE,
        )
        assert self.daemon.stdout is not None
        assert self.daemon.stdout.readline()
        self.daemon.stdout.close()

    def stop(self) -> None:
        if self.daemon is not None:
            self.daemon.send_signal(signal.SIGCONT)
            self.daemon.kill()
            self.daemon.wait()
            self.daemon = None
        self.socket.unlink(missing_ok=True)


@pytest.fixture
def bus() -> Iterator[Bus]:
    folder = tempfile.mkdtemp(prefix="v2m-bus-")
    private = Bus(Path(folder))
    private.start()
    try:
        yield private
    finally:
        private.stop()
        shutil.rmtree(folder)


@dataclass
class Server:
    """What a desktop's notification server would show."""

    capabilities: list[str] = field(default_factory=lambda: ["body"])
    visible: dict[int, list[Any]] = field(default_factory=dict)
    calls: list[list[Any]] = field(default_factory=list)
    given: int = 0

    def answer(self, message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL or message.interface != NAME:
            return None
        if message.member == "GetCapabilities":
            return Message.new_method_return(message, "as", [self.capabilities])
        if message.member == "CloseNotification":
            self.visible.pop(message.body[0], None)
            return Message.new_method_return(message)
        replaces = message.body[1]
        self.given += replaces == 0
        shown = replaces or self.given
        self.calls.append(message.body)
        self.visible[shown] = message.body
        return Message.new_method_return(message, "u", [shown])

    def titles(self) -> list[str]:
        return [body[3] for body in self.visible.values()]


@asynccontextmanager
async def serving(bus: Bus, **features: Any):
    server = Server(**features)
    connection = await MessageBus(bus_address=bus.address).connect()
    connection.add_message_handler(server.answer)
    await connection.request_name(NAME)
    try:
        yield server
    finally:
        connection.disconnect()
        await connection.wait_for_disconnect()


def notifier_on(bus: Bus | None, **changes: Any) -> DesktopNotifier:
    settings = {"enabled": True, "expire_time_ms": 3000, "auto_dismiss": True, "sounds": False, **changes}
    return DesktopNotifier(**settings, bus_address=bus.address if bus else None)


def play(bus: Bus, act: Callable[[DesktopNotifier, Server], Awaitable[None]], **changes: Any) -> None:
    async def scene() -> None:
        notifier = notifier_on(bus, **changes)
        async with serving(bus) as server:
            try:
                await act(notifier, server)
            finally:
                await notifier.aclose()
                await notifier.aclose()

    asyncio.run(scene())


def test_one_notification_is_replaced_as_the_dictation_goes_on(bus: Bus) -> None:
    async def act(notifier: DesktopNotifier, server: Server) -> None:
        for title in ("Recording", "Transcribing", "Typed"):
            await notifier.show(title, "Blue Yeti")
        assert server.titles() == ["Typed"]
        app, _, icon, title, body, actions, hints, expire_ms = server.calls[-1]
        assert (app, icon, title, body, actions, expire_ms) == (
            "v2m",
            "audio-input-microphone",
            "Typed",
            "Blue Yeti",
            [],
            3000,
        )
        assert {name: hint.value for name, hint in hints.items()} == {
            "urgency": 1,
            "desktop-entry": "v2m",
            "transient": True,
            "x-canonical-private-synchronous": "v2m",
        }
        assert notifier.lost == 0

    play(bus, act)


def test_an_urgent_one_stays_until_it_is_seen_and_is_not_replaced(bus: Bus) -> None:
    async def act(notifier: DesktopNotifier, server: Server) -> None:
        await notifier.show("Recording")
        await notifier.show("Held", "The text is on the clipboard.", urgent=True)
        assert server.titles() == ["Held"]
        hints, expire_ms = server.calls[-1][6:]
        assert hints["urgency"].value == 2
        assert "transient" not in hints
        assert expire_ms == 0
        await notifier.show("Recording")
        await notifier.dismiss()
        assert server.titles() == ["Held"]

    play(bus, act)


def test_dismiss_takes_the_notification_away(bus: Bus) -> None:
    async def act(notifier: DesktopNotifier, server: Server) -> None:
        await notifier.dismiss()
        await notifier.show("Recording")
        await notifier.dismiss()
        await notifier.dismiss()
        assert server.titles() == []
        await notifier.show("Recording again")
        assert server.titles() == ["Recording again"]

    play(bus, act)


def test_without_auto_dismiss_it_stays(bus: Bus) -> None:
    async def act(notifier: DesktopNotifier, server: Server) -> None:
        await notifier.show("Typed")
        await notifier.dismiss()
        assert server.titles() == ["Typed"]
        assert server.calls[0][7] == 0

    play(bus, act, auto_dismiss=False)


def test_the_expire_time_is_the_settings(bus: Bus) -> None:
    async def act(notifier: DesktopNotifier, server: Server) -> None:
        await notifier.show("Typed")
        assert server.calls[0][7] == 500

    play(bus, act, expire_time_ms=500)


def test_switched_off_nothing_is_shown_and_nothing_counts_as_lost(bus: Bus) -> None:
    async def act(notifier: DesktopNotifier, server: Server) -> None:
        await notifier.show("Recording", urgent=True, sound="start")
        await notifier.dismiss()
        assert (server.calls, notifier.lost) == ([], 0)

    play(bus, act, enabled=False)


@pytest.mark.parametrize(
    ("capabilities", "seen"),
    [(["body"], "a < b & <i>c</i>"), (["body", "body-markup"], "a &lt; b &amp; &lt;i&gt;c&lt;/i&gt;")],
)
def test_text_is_never_markup(bus: Bus, capabilities: list[str], seen: str) -> None:
    async def scene() -> None:
        notifier = notifier_on(bus)
        async with serving(bus, capabilities=capabilities) as server:
            await notifier.show("t", "a < b & <i>c</i>")
            assert server.calls[0][4] == seen
            await notifier.aclose()

    asyncio.run(scene())


def test_text_that_the_bus_cannot_carry_is_shown_without_it(bus: Bus) -> None:
    async def act(notifier: DesktopNotifier, server: Server) -> None:
        await notifier.show("a\x00b", "c\ud800d 🎤")
        assert server.calls[0][3:5] == ["a b", "c?d 🎤"]

    play(bus, act)


# --- trouble with the bus ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        "unix:path=/nonexistent/bus",
        "nonsense",
        "tcp:host=x",
        "unix:path=/dev/null",
        "unix:",
        ";",
        "unix:path",
    ],
)
def test_without_a_bus_a_notification_is_only_counted(address: str | None) -> None:
    async def scene() -> None:
        notifier = DesktopNotifier(
            enabled=True, expire_time_ms=3000, auto_dismiss=True, sounds=False, bus_address=address
        )
        await notifier.show("Recording")
        await notifier.dismiss()
        await notifier.show("Held", urgent=True)
        await notifier.aclose()
        assert notifier.lost == 2

    asyncio.run(scene())


def test_a_bus_that_does_not_answer_is_left_after_its_deadline(tmp_path: Path) -> None:
    folder = tempfile.mkdtemp(prefix="v2m-bus-")
    try:
        with socket.socket(socket.AF_UNIX) as mute:
            mute.bind(f"{folder}/bus")
            mute.listen()

            async def scene() -> None:
                notifier = DesktopNotifier(
                    enabled=True,
                    expire_time_ms=3000,
                    auto_dismiss=True,
                    sounds=False,
                    bus_address=f"unix:path={folder}/bus",
                )
                async with asyncio.timeout(20):
                    await notifier.show("Recording")
                    await notifier.aclose()
                assert notifier.lost == 1

            asyncio.run(scene())
    finally:
        shutil.rmtree(folder)


def test_a_desktop_without_a_notification_server_is_only_counted(bus: Bus) -> None:
    async def scene() -> None:
        notifier = notifier_on(bus)
        await notifier.show("Recording")
        assert notifier.lost == 1
        async with serving(bus) as server:
            await notifier.show("Recording")
            assert server.titles() == ["Recording"]
        await notifier.show("Typed")
        assert notifier.lost == 2
        async with serving(bus) as server:
            await notifier.show("Typed")
            assert server.titles() == ["Typed"]
        await notifier.aclose()

    asyncio.run(scene())


def test_a_server_that_hangs_is_left_after_its_deadline(bus: Bus) -> None:
    async def scene() -> None:
        notifier = notifier_on(bus)
        connection = await MessageBus(bus_address=bus.address).connect()
        await connection.request_name(NAME)
        connection.add_message_handler(lambda message: message.interface == NAME)  # swallowed
        async with asyncio.timeout(20):
            await notifier.show("Recording")
        assert notifier.lost == 1
        await notifier.aclose()
        connection.disconnect()
        await connection.wait_for_disconnect()

    asyncio.run(scene())


def test_a_bus_that_was_restarted_is_found_again_without_losing_one(bus: Bus) -> None:
    async def scene() -> None:
        notifier = notifier_on(bus)
        async with serving(bus):
            await notifier.show("Recording")
        bus.stop()
        bus.start()
        async with serving(bus) as server:
            await notifier.show("Typed")
            assert server.titles() == ["Typed"]
            assert notifier.lost == 0
        await notifier.aclose()

    asyncio.run(scene())


def test_a_cancelled_notification_leaves_the_notifier_usable(bus: Bus) -> None:
    async def act(notifier: DesktopNotifier, server: Server) -> None:
        for _ in range(30):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await notifier.show("cancelled")
        await notifier.show("shown")
        assert "shown" in server.titles()

    play(bus, act)


def test_nothing_is_asked_of_the_bus_before_the_first_notification(bus: Bus) -> None:
    bus.stop()

    async def scene() -> None:
        notifier = notifier_on(bus)
        await notifier.dismiss()
        await notifier.aclose()
        assert notifier.lost == 0

    asyncio.run(scene())


# --- sounds -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["start", "stop", "failed"])
def test_a_tone_is_short_soft_and_does_not_click(name: str) -> None:
    with wave.open(io.BytesIO(tone(name))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (48_000, 1, 2)
        pcm = file.readframes(file.getnframes())
    samples = memoryview(pcm).cast("h")
    assert 0.1 <= len(samples) / 48_000 <= 0.4
    assert 3000 < max(samples) < 8000
    assert abs(samples[0]) < 200 > abs(samples[-1])
    assert max(abs(b - a) for a, b in itertools.pairwise(samples)) < 2000


def fake_player(folder: Path, script: str) -> None:
    """Put a program in place of the player: what it plays is the contract, not the sound card."""
    folder.mkdir()
    player = folder / PLAYERS[0]
    player.write_text(f"#!/bin/sh\n{script}\n")
    player.chmod(0o755)


def test_a_sound_is_handed_to_the_player_and_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = tmp_path / "heard.wav"
    fake_player(tmp_path / "bin", f'cp "$1" "{heard}.part" && mv "{heard}.part" "{heard}"; exec sleep 60')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    async def scene() -> None:
        notifier = notifier_on(None, enabled=False, sounds=True)
        await notifier.show("Recording", sound="start")
        await until(heard.exists)
        assert heard.read_bytes() == tone("start")
        heard.unlink()
        await notifier.show("Typed", sound="stop")  # ends the one before
        await until(heard.exists)
        assert heard.read_bytes() == tone("stop")
        await notifier.aclose()
        await notifier.aclose()

    asyncio.run(scene())


def test_without_a_player_or_with_a_broken_one_there_is_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> tuple[bool, ...]:
        sounds = Sounds()
        try:
            return await sounds.play("start"), await sounds.play("unknown")
        finally:
            await sounds.aclose()

    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert asyncio.run(scene()) == (False, False)
    fake_player(tmp_path / "bin", "exit 1")
    (tmp_path / "bin" / PLAYERS[0]).write_text("#!/nonexistent\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert asyncio.run(scene()) == (False, False)


def test_sounds_are_off_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = tmp_path / "heard"
    fake_player(tmp_path / "bin", f': > "{heard}"')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    async def scene() -> None:
        notifier = notifier_on(None, enabled=False)
        await notifier.show("Recording", sound="start")
        await notifier.aclose()

    asyncio.run(scene())
    assert not heard.exists()


# --- the fake ---------------------------------------------------------------------------------------


def test_the_memory_notifier_remembers_what_a_user_would_have_seen() -> None:
    async def scene() -> None:
        notifier = MemoryNotifier()
        await notifier.show("Recording", "Blue Yeti", sound="start")
        assert notifier.visible
        await notifier.dismiss()
        await notifier.show("Held", urgent=True)
        await notifier.aclose()
        await notifier.aclose()
        assert notifier.shown == [Shown("Recording", "Blue Yeti", sound="start"), Shown("Held", urgent=True)]

    asyncio.run(scene())
