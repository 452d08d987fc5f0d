"""Pasting in a real compositor: into the window, and back comes all that was on the clipboard."""

import asyncio
import base64
import os
import random
import subprocess
from contextlib import asynccontextmanager, contextmanager

import pytest

from support.desktop import SwayDesktop
from v2m.domain.delivery import Certainty, Destination, Session, Window
from v2m.domain.errors import OutputError, OutputReason
from v2m.infrastructure._wayland.connection import Connection
from v2m.infrastructure.output.clipboard import ClipboardOutput
from v2m.infrastructure.output.pasting import RECEIPT_S, RESTORE_DELAY_S, SECRET_TYPE
from v2m.infrastructure.output.wayland.data_control import CLIPBOARD, PRIMARY, Allowance, DataControl
from v2m.infrastructure.output.wayland.paste import PasteOutput

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(120)]

TEXT = "é ß ñ 你好 😀 — “q” €"
PICTURE = random.Random(7).randbytes(3 << 20)
THEIRS = {
    "text/plain;charset=utf-8": "theirs é".encode(),
    "image/png": PICTURE,
    "text/uri-list": b"file:///tmp/a%20b\r\n",
    "application/empty": b"",
}


@pytest.fixture(scope="module")
def sway():
    with SwayDesktop() as desk:
        yield desk, desk.terminal()


@pytest.fixture
def desk(sway):
    yield sway[0]
    sway[0].run("wl-copy", "--clear")
    sway[0].run("wl-copy", "--primary", "--clear")


@pytest.fixture
def terminal(sway):
    sway[1].clear()
    return sway[1]


@pytest.fixture
def session(sway):
    return Session(sway[0].variables)


@pytest.fixture
def window(terminal):
    """The terminal, as the desktop tells of it."""
    return Window("sway:1", "foot", pid=terminal.pid)


def _run(scenario):
    async def run():
        output = PasteOutput()
        try:
            return await scenario(output)
        finally:
            await output.aclose()

    return asyncio.run(run())


@asynccontextmanager
async def _owning(session, contents=THEIRS, selection=CLIPBOARD):
    """Own a selection as another application does."""
    connection = await Connection.open(session.wayland)
    try:
        source = DataControl(connection).own(selection, contents)
        await connection.roundtrip()
        yield source
    finally:
        connection.close()


def _paste(desk, kind, *options):
    """Return what an application gets that asks for one type."""
    line = " ".join(["wl-paste", "--no-newline", *options, "--type", f"'{kind}'", "| base64 -w0"])
    return base64.b64decode(desk.run("bash", "-c", line))


def _types(desk):
    return set(desk.run("bash", "-c", "wl-paste --list-types || true").split())


async def _restored(call, *arguments):
    """Look once the clipboard has come back; the delay is what is tested."""
    await asyncio.sleep(RESTORE_DELAY_S + 0.15)
    return await asyncio.to_thread(call, *arguments)


# --- into the window, and how surely ------------------------------------------------------------------


@pytest.mark.parametrize("text", [TEXT, "x", "A sentence. " * 400], ids=["every script", "x", "5k"])
@pytest.mark.parametrize("key", ["", "ctrl+shift+v", "shift+insert"])
def test_the_window_that_takes_the_text_confirms_it(terminal, session, window, text, key):
    delivery = _run(lambda output: output.deliver(text, Destination(session, window, key)))
    assert terminal.wait_text(text) == text
    assert (delivery.certainty, delivery.characters) == (Certainty.CONFIRMED, len(text))


def test_where_the_desktop_does_not_tell_the_process_it_is_uncertain_and_the_text_stays(desk, terminal, session):
    async def scenario(output):
        async with _owning(session):
            delivery = await output.deliver(TEXT, Destination(session))
            return delivery, await _restored(_paste, desk, "text/plain;charset=utf-8")

    delivery, left = _run(scenario)
    assert terminal.wait_text(TEXT)
    assert (delivery.certainty, delivery.characters) == (Certainty.UNCERTAIN, len(TEXT))
    assert left == TEXT.encode()


def test_a_slow_window_is_not_given_the_old_clipboard_because_a_manager_has_read(desk, terminal, session, tmp_path):
    async def scenario(output):
        async with _owning(session, {"text/plain;charset=utf-8": b"old"}):
            terminal.stop()
            try:
                delivery = await output.deliver(TEXT, Destination(session))
                await asyncio.to_thread(_paste, desk, "text/plain")  # as a clipboard manager does
                await _restored(int)
            finally:
                terminal.resume()
            return delivery, await asyncio.to_thread(terminal.wait_text, bool)

    with _watching(desk, tmp_path):
        delivery, arrived = _run(scenario)
    assert delivery.certainty is Certainty.UNCERTAIN
    assert arrived == TEXT


@pytest.mark.parametrize("known", [True, False], ids=["window that hangs", "unknown window"])
def test_the_clipboard_comes_back_in_any_case_where_the_text_is_kept_elsewhere(desk, terminal, session, window, known):
    async def scenario(output):
        to = Destination(session, window if known else None, keep_clipboard=True)
        async with _owning(session):
            if known:
                terminal.stop()
            try:
                delivery = await output.deliver("hello", to)
                await asyncio.sleep(RECEIPT_S)
                back = await _restored(_paste, desk, "image/png")
            finally:
                terminal.resume()
            return delivery, back

    delivery, back = _run(scenario)
    terminal.wait_text(lambda text: known or text == "hello")
    assert delivery.certainty is Certainty.UNCERTAIN
    assert back == PICTURE


@pytest.mark.parametrize("name", ["gtk", "qt"])
def test_fields_of_other_toolkits_confirm_it_too(desk, session, name):
    field = desk.target(name, "text")
    try:
        there = Window("sway:2", pid=field.pid)
        delivery = _run(lambda output: output.deliver(TEXT, Destination(session, there, "ctrl+v")))
        assert delivery.certainty is Certainty.CONFIRMED
        assert field.wait_text(TEXT)
    finally:
        os.kill(field.pid, 15)


def test_a_clipboard_manager_that_keeps_reading_is_no_receipt(terminal, session, window):
    async def manage():
        connection = await Connection.open(session.wayland)
        control = DataControl(connection)
        await connection.roundtrip()
        texts = set()
        try:
            while True:
                await connection.roundtrip()
                saved = await control.save(CLIPBOARD, Allowance.full()) or {}
                texts.add(saved.get("text/plain"))
        except asyncio.CancelledError:
            connection.close()
            return texts

    async def scenario(output):
        terminal.stop()
        async with asyncio.TaskGroup() as tasks:
            manager = tasks.create_task(manage())
            try:
                delivery = await output.deliver(TEXT, Destination(session, window))
            finally:
                terminal.resume()
                manager.cancel()
        await asyncio.to_thread(terminal.wait_text, TEXT)
        return delivery, manager.result()

    delivery, read = _run(scenario)
    assert TEXT.encode() in read
    assert delivery.certainty is Certainty.UNCERTAIN


@contextmanager
def _watching(desk, folder):
    """A clipboard manager as many use it: it gets each new text, and keeps it in a file."""
    kept = f"{desk.folder}/kept-{os.urandom(4).hex()}"
    command = [desk.script, "run", desk.folder, "wl-paste", "--watch", "bash", "-c", f"cat >>'{kept}'"]
    watcher = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield kept
    finally:
        watcher.terminate()
        watcher.wait(10)


def test_with_a_clipboard_manager_texts_arrive_once_and_the_clipboard_comes_back(
    desk, terminal, session, window, tmp_path
):
    async def scenario(output):
        async with _owning(session):
            deliveries = [await output.deliver(text, Destination(session, window)) for text in ("one ", "two")]
            return deliveries, await _restored(_paste, desk, "image/png")

    with _watching(desk, tmp_path):
        deliveries, back = _run(scenario)
    assert terminal.wait_text("one two")
    assert back == PICTURE
    assert {delivery.certainty for delivery in deliveries} == {Certainty.CONFIRMED}


# --- what was on the clipboard ------------------------------------------------------------------------


def test_everything_comes_back_with_all_its_types_however_often_is_pasted(desk, terminal, session, window):
    async def scenario(output):
        async with _owning(session) as theirs:
            for text in ("one ", "two ", "three"):
                await output.deliver(text, Destination(session, window))
            back = await _restored(lambda: {kind: _paste(desk, kind) for kind in THEIRS if THEIRS[kind]})
            return back, await asyncio.to_thread(_types, desk), theirs.owned

    back, types, owned = _run(scenario)
    assert terminal.wait_text("one two three")
    assert back == {kind: data for kind, data in THEIRS.items() if data}
    assert types == set(THEIRS)
    assert not owned


def test_what_came_back_survives_the_next_dictation(desk, terminal, session, window):
    async def scenario(output):
        async with _owning(session):
            await output.deliver("one ", Destination(session, window))
            await _restored(int)
        await output.deliver("two", Destination(session, window))
        return await _restored(_paste, desk, "image/png")

    assert _run(scenario) == PICTURE


def test_the_primary_selection_comes_back_and_is_left_alone_where_it_is_not_needed(desk, terminal, session, window):
    async def scenario(output):
        async with _owning(session, {"text/plain": b"mine"}, PRIMARY) as mine:
            await output.deliver("one ", Destination(session, window, paste_key="ctrl+shift+v"))
            untouched = mine.owned
            await output.deliver("two", Destination(session, window, paste_key="shift+insert"))
            return untouched, mine.owned, await _restored(_paste, desk, "text/plain", "--primary")

    assert _run(scenario) == (True, False, b"mine")


def test_an_empty_clipboard_is_empty_again(desk, terminal, session, window):
    async def scenario(output):
        await output.deliver("hello", Destination(session, window))
        return await _restored(_types, desk)

    assert _run(scenario) == set()


def test_what_the_user_copies_right_after_pasting_stays(desk, terminal, session, window):
    async def scenario(output):
        async with _owning(session):
            await output.deliver("hello", Destination(session, window))
            async with _owning(session, {"text/plain": b"newer"}):
                return await _restored(_paste, desk, "text/plain")

    assert _run(scenario) == b"newer"


def test_a_secret_of_the_users_stays_marked_and_so_is_ours(desk, terminal, session, window):
    async def scenario(output):
        async with _owning(session, {"text/plain": b"hunter2", SECRET_TYPE: b"theirs"}):
            terminal.stop()
            try:
                await output.deliver("hello", Destination(session, window))
                ours = await asyncio.to_thread(_paste, desk, SECRET_TYPE)
            finally:
                terminal.resume()
                await asyncio.to_thread(terminal.wait_text, "hello")
            await output.deliver(" again", Destination(session, window))
            return ours, await _restored(_paste, desk, SECRET_TYPE)

    assert _run(scenario) == (b"secret", b"theirs")


def test_an_owner_that_hangs_keeps_the_clipboard_and_nothing_is_pasted(terminal, session):
    kept = []

    async def scenario(output):
        async with _owning(session) as theirs:
            theirs.on_read = lambda _kind, fd: kept.append(os.dup(fd))  # so that the reader sees no end
            with pytest.raises(OutputError, match="cannot be kept") as caught:
                await output.deliver("hello", Destination(session))
            for fd in kept:
                os.close(fd)
            return caught.value, theirs.owned

    error, owned = _run(scenario)
    assert kept
    assert (error.reason, error.delivered, owned) == (OutputReason.REFUSED, 0, True)
    assert terminal.text() == ""


def test_more_than_can_be_kept_is_left_where_it_is(terminal, session, monkeypatch):
    monkeypatch.setattr("v2m.infrastructure.output.wayland.data_control.SAVE_BYTES", 1 << 20)

    async def scenario(output):
        async with _owning(session) as theirs:
            with pytest.raises(OutputError, match="cannot be kept"):
                await output.deliver("hello", Destination(session))
            return theirs.owned

    assert _run(scenario)
    assert terminal.text() == ""


def test_what_is_copied_at_the_same_moment_wins_and_nothing_is_pasted(desk, terminal, session):
    newer = []

    async def scenario(output):
        async with _owning(session) as theirs:
            other = await Connection.open(session.wayland)
            control = DataControl(other)

            def copy(_kind, _fd):
                if not newer:
                    newer.append(control.own(CLIPBOARD, {"text/plain": b"newer"}))

            theirs.on_read = copy  # while we are saving
            with pytest.raises(OutputError) as caught:
                await output.deliver("hello", Destination(session))
            there = await asyncio.to_thread(_paste, desk, "text/plain")
            other.close()
            return caught.value, there

    error, there = _run(scenario)
    assert (error.delivered, there) == (0, b"newer")
    assert terminal.text() == ""


def test_closing_gives_back_at_once_and_leaves_nothing_of_ours(desk, terminal, session, window):
    read = []

    async def scenario(output):
        manager = await Connection.open(session.wayland)
        control = DataControl(manager)
        async with _owning(session):
            await output.deliver("hello", Destination(session, window))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(output.aclose())
            saved = {}
            while "image/png" not in saved:  # as a clipboard manager takes over what is new
                await manager.roundtrip()
                saved = await control.save(CLIPBOARD, Allowance.full()) or saved
            read.append(saved)
        manager.close()
        return await asyncio.to_thread(_types, desk)

    assert _run(scenario) == set()
    assert read[0] == THEIRS


def test_the_last_resort_still_holds_the_text_after_an_uncertain_paste(desk, terminal, session):
    async def scenario(output):
        clipboard = ClipboardOutput()
        async with _owning(session):
            terminal.stop()
            try:
                delivery = await output.deliver("hello", Destination(session))
                await clipboard.deliver("hello", Destination(session))
                shown = await asyncio.to_thread(_paste, desk, "text/plain")
            finally:
                terminal.resume()
                await asyncio.to_thread(terminal.wait_text, "hello")
                await clipboard.aclose()
        return delivery.certainty, shown

    assert _run(scenario) == (Certainty.UNCERTAIN, b"hello")
