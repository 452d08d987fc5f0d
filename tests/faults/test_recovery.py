"""What a killed daemon left is decoded behind everything else and offered; a broken recording is saved."""

import asyncio
import json
import os
import shutil
import struct
from contextlib import asynccontextmanager

import pytest
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

from support.bus import private_bus
from support.daemon import new_home, running_daemon, wait_until
from v2m.domain.audio import OFFSET_HEAD, OFFSET_MAGIC, SPOOL_HEADER_BYTES

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

TEXT = "words that must not be lost"
NAME = "org.freedesktop.Notifications"


@pytest.fixture
def home(tmp_path):
    with new_home(
        V2M_TRANSCRIPTION__BACKEND="scripted",
        V2M_TRANSCRIPTION__SCRIPT=json.dumps([TEXT]),
        V2M_AUDIO__BACKEND="wav",
        V2M_OUTPUT__METHOD='["file"]',
        V2M_OUTPUT__FILE=str(tmp_path / "typed"),
    ) as home:
        home.typed = tmp_path / "typed"
        yield home


def interrupt(home, daemon, seconds: float = 0.3) -> None:
    """Kill the daemon while it records."""
    home.ask("START_RECORDING")
    wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > seconds, what="a recording")
    daemon.kill()


def held(home, count: int = 1) -> list[dict]:
    """Wait for so many decoded rows; return all."""

    def found():
        rows = home.history()
        return rows if sum(row["phase"] == "held" for row in rows) >= count else None

    return wait_until(found, what="the text")


def test_recover_lists_types_copies_and_deletes(home):
    with running_daemon(home) as daemon:
        interrupt(home, daemon)
    for number in (1, 2):  # audio without a row
        shutil.copy(home.spools[-1], home.spools[-1].with_name(f"dictation-{number}.spool"))
    with running_daemon(home):
        rows = held(home, 3)
        assert {row["text"] for row in rows} == {TEXT}
        assert not home.typed.exists(), "nothing is typed by itself"
        listed = home.v2m("recover")
        assert listed.returncode == 0
        assert listed.stdout.count(TEXT) == 3
        ids = [row["dictation"] for row in json.loads(home.v2m("recover", "--json").stdout)["data"]["offered"]]
        assert ids == sorted(ids, reverse=True)
        assert len(ids) == 3
        assert home.v2m("recover", ids[0]).returncode == 0
        assert home.typed.read_text() == f"{TEXT}\n"
        assert home.v2m("recover", ids[0]).returncode == 64, "once is enough"
        assert home.v2m("recover", "--discard").returncode == 64, "it has to be said which"
        assert home.v2m("recover", ids[1], "--discard").returncode == 0
        assert ids[1] not in [row["dictation"] for row in home.history()]
        assert home.v2m("recover", "999").returncode == 64
        done = json.loads(home.v2m("recover", "--all", "--json").stdout)["data"]["recovered"]
        assert [one["dictation"] for one in done] == [ids[2]]
        assert home.typed.read_text() == f"{TEXT}\n" * 2
        assert "Nothing is left" in home.v2m("recover").stderr


def told(home) -> list[dict] | None:
    """Return the rows once all of them were offered."""
    rows = home.history()
    return rows if all("offered" in row["stages"] for row in rows) else None


def test_a_recovery_that_is_killed_is_gone_on_with_but_not_for_ever(home):
    with running_daemon(home) as daemon:
        interrupt(home, daemon)
    for number in (1, 2):  # audio without a row
        shutil.copy(home.spools[-1], home.spools[-1].with_name(f"dictation-{number}.spool"))
    home.variables["V2M_TRANSCRIPTION__SCRIPT_DELAY_S"] = "60"
    for stage, killed in (("recovering", False), ("recovering", True), ("recovering_again", True)):
        with running_daemon(home) as daemon:
            wait_until(lambda name=stage: name in home.history()[-1]["stages"], what="its decoding")
            if killed:  # ended in order is no sign against the recording
                daemon.kill()
    home.variables["V2M_TRANSCRIPTION__SCRIPT_DELAY_S"] = "0.5"
    with running_daemon(home) as daemon:
        held(home)
        daemon.kill()
    with running_daemon(home) as daemon:
        rows = wait_until(lambda: told(home), what="the offer")
        assert [(row["phase"], row["text"]) for row in rows] == [("held", TEXT), ("held", TEXT), ("failed", "")]
        assert "v2m retry" in rows[2]["reason"]
        daemon.kill()
    with running_daemon(home):
        assert home.history() == rows, "what was offered is left alone"
        assert home.v2m("recover", rows[2]["dictation"]).returncode == 0
        assert home.typed.read_text() == f"{TEXT}\n"


def test_a_dictation_comes_before_what_is_recovered(home):
    with running_daemon(home) as daemon:
        interrupt(home, daemon)
    home.variables["V2M_TRANSCRIPTION__SCRIPT"] = json.dumps(["first"])
    with running_daemon(home):
        home.ask("START_RECORDING")
        wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 0.3, what="a recording")
        assert home.ask("STOP_RECORDING", wait=True)["status"] == "success"
        held(home)
        assert home.typed.read_text() == "first\n"


@asynccontextmanager
async def desktop(address, shown, actions=True):
    """A notification server; `shown` gets each notification, what it yields presses a button of one."""
    bus = await MessageBus(bus_address=address).connect()

    def answer(message):
        if message.message_type is not MessageType.METHOD_CALL or message.interface != NAME:
            return None
        if message.member == "GetCapabilities":
            return Message.new_method_return(message, "as", [["body", *["actions"] * actions]])
        if message.member == "Notify":
            shown.append(message.body)
            return Message.new_method_return(message, "u", [len(shown)])
        return Message.new_method_return(message)

    bus.add_message_handler(answer)
    await bus.request_name(NAME)

    async def press(number, key):
        signal = Message.new_signal("/org/freedesktop/Notifications", NAME, "ActionInvoked", "us", [number, key])
        await bus.send(signal)

    try:
        yield press
    finally:
        bus.disconnect()
        await bus.wait_for_disconnect()


def offer(shown) -> tuple[int, list] | None:
    """Return number and body of the notification that offers something."""
    return next(((number, body) for number, body in enumerate(shown, 1) if body[3].startswith("Recovered")), None)


@pytest.mark.parametrize(("button", "typed"), [("Type it", f"{TEXT}\n"), ("Show", "")])
def test_the_notification_offers_it_and_its_buttons_do_what_they_say(home, button, typed):
    with running_daemon(home) as daemon:
        interrupt(home, daemon)
    home.variables["V2M_NOTIFICATIONS__ENABLED"] = "true"

    async def scene(address):
        shown = []
        async with desktop(address, shown) as press:
            running = running_daemon(home)
            await asyncio.to_thread(running.__enter__)
            try:
                number, body = await asyncio.to_thread(wait_until, lambda: offer(shown), 20, "the offer")
                assert body[5] == ["Type it", "Type it", "Copy", "Copy", "Show", "Show"]
                assert TEXT not in str(body), "words are shown to who asks for them"
                await press(number, "Nonsense")
                await press(number + 7, button)
                await press(number, button)
                if button == "Show":
                    await asyncio.to_thread(wait_until, lambda: any(body[4] == TEXT for body in shown), 20, "the text")
                elif typed:
                    await asyncio.to_thread(wait_until, home.typed.exists, 20, "the keys")
                    await press(number, button)  # a button works once
                await asyncio.to_thread(home.v2m, "status")
            finally:
                await asyncio.to_thread(running.__exit__, None, None, None)

    with private_bus() as address:
        home.variables["DBUS_SESSION_BUS_ADDRESS"] = address
        asyncio.run(scene(address))
    assert (home.typed.read_text() if home.typed.exists() else "") == typed


BROKEN = {
    "magic": lambda file: os.pwrite(file, b"????", OFFSET_MAGIC),
    "head too small": lambda file: os.pwrite(file, struct.pack("=Q", 3), OFFSET_HEAD),
    "head too large": lambda file: os.pwrite(file, struct.pack("=Q", 1 << 60), OFFSET_HEAD),
    "noise": lambda file: os.pwrite(file, b"\xa5" * SPOOL_HEADER_BYTES, 0),
}


@pytest.mark.parametrize("how", [*BROKEN])
def test_a_broken_header_costs_no_audio_and_no_other_recording(home, how):
    with running_daemon(home) as daemon:
        interrupt(home, daemon, 0.6)
    (broken,) = home.spools
    other = broken.with_name("dictation-1.spool")
    shutil.copy(broken, other)
    before = other.read_bytes()
    audio = broken.read_bytes()[SPOOL_HEADER_BYTES:].rstrip(b"\0")
    with broken.open("rb+") as file:
        BROKEN[how](file.fileno())
    (home.state / "v2m" / "history.db").unlink()  # the row would know it: here the file is all there is
    for journal in (home.state / "v2m").glob("history.db-*"):
        journal.unlink()
    with running_daemon(home) as daemon:
        rows = held(home, 2)
        assert {row["text"] for row in rows} == {TEXT}
        assert max(row["duration_s"] for row in rows) >= len(audio) / 32000 - 0.01
        assert daemon.process.poll() is None
    aside = list(broken.parent.glob(f"{broken.name}.corrupt-*"))
    assert len(aside) == (how != "head too large"), "a head beyond the file hides nothing"
    assert broken.read_bytes()[SPOOL_HEADER_BYTES:].startswith(audio)
    assert other.read_bytes() == before
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in [broken, *aside])


def test_a_newer_history_is_left_alone_and_the_daemon_goes_on_in_memory(home):
    import sqlite3

    with running_daemon(home) as daemon:
        interrupt(home, daemon)
    path = home.state / "v2m" / "history.db"
    database = sqlite3.connect(path)
    with database:
        database.execute("ALTER TABLE dictation ADD COLUMN later TEXT")
    database.execute("PRAGMA user_version = 99")
    database.close()
    before = (path.read_bytes(), [spool.read_bytes() for spool in home.spools])
    with running_daemon(home):
        degraded = home.ask("GET_STATUS")["data"]["degraded"]["history"]
        assert "schema 99" in str(degraded)
        home.ask("START_RECORDING")
        wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 0.3, what="a recording")
        assert home.ask("STOP_RECORDING", wait=True)["data"]["transcription"] == TEXT
        assert len(home.history()) == 1
    assert (path.read_bytes(), [spool.read_bytes() for spool in home.spools][:1]) == before
