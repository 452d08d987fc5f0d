"""The desktop's portal: the real one with a backend that the test plays, and one that remembers permissions."""

import asyncio
import gc
import socket
import stat
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from support.portal import DENIED, Frontend, PrivateBus, desktop, hang_up, wait_for_name
from v2m.domain.delivery import Certainty, Destination, Session, Window
from v2m.domain.errors import OutputError, OutputReason
from v2m.infrastructure.output.failures import FOCUS_MOVED, FOCUS_UNKNOWN, MOVED_BEFORE, NOT_READING
from v2m.infrastructure.output.portal import TOKEN_FILE, PortalOutput
from v2m.infrastructure.output.wayland.virtual_keyboard import BATCH, TOO_LONG, UNSEEN_LIMIT

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(90)]

HERE = Session({"WAYLAND_DISPLAY": "/nonexistent/wayland-0"}, "client")
TO = Destination(HERE, Window("kwin:1", "editor"))
TEXT = "Grüße, “naïve” — 你好 😀 €\n-n $(id)"


@asynccontextmanager
async def output_on(address, state):
    output = PortalOutput(bus_address=address, state=state)
    try:
        yield output
    finally:
        await output.aclose()
        await output.aclose()


def play(scene, tmp_path, **backend):
    """Run a scene with an output, the backend and the portal."""

    async def play_it():
        async with (
            asyncio.timeout(40),
            desktop(**backend) as (bus, portal, played),
            output_on(bus.address, tmp_path) as output,
        ):
            await scene(output, played, portal)

    asyncio.run(play_it())
    gc.collect()  # here: what a bus leaves must not be tidied up while CPython 3.11 compiles, which then fails


async def refusal(output, text="hello"):
    with pytest.raises(OutputError) as caught:
        await output.deliver(text, TO)
    return caught.value


def test_the_desktop_gets_exactly_the_text_and_the_user_is_asked_once(tmp_path):
    async def scene(output, backend, _portal):
        first = await output.deliver(TEXT, TO)
        second = await output.deliver("again", TO)
        assert backend.text() == TEXT + "again"
        assert [pressed for _, pressed in backend.keys] == [True, False] * len(TEXT + "again")
        assert (first.certainty, first.characters) == (Certainty.SENT, len(TEXT))
        assert second.certainty is Certainty.SENT
        assert backend.dialogs == 1
        assert backend.wanted == [{"types": 1}]

    play(scene, tmp_path)


def test_a_probe_shows_no_dialog_and_says_whether_one_is_to_come(tmp_path):
    async def scene(output, backend, _portal):
        found = await output.probe(HERE)
        assert found.usable
        assert found.reason == "The desktop's portal asks you first."
        assert backend.dialogs == 0
        await output.deliver("hello", TO)
        assert (await output.probe(HERE)).reason == "The desktop's portal types, as you have allowed."
        assert not (await output.probe(Session())).usable
        assert backend.dialogs == 1

    play(scene, tmp_path)


def test_after_a_dialog_the_text_is_typed_but_not_called_sent(tmp_path):
    async def scene(output, backend, _portal):
        delivery = await output.deliver("hello", TO)
        assert backend.text() == "hello"
        assert (delivery.certainty, delivery.characters) == (Certainty.UNCERTAIN, 5)
        assert "permission" in delivery.detail
        assert (await output.deliver("again", TO)).certainty is Certainty.SENT

    play(scene, tmp_path, thinks_s=1.2)


def test_a_no_is_taken_for_an_answer(tmp_path):
    async def scene(output, backend, _portal):
        error = await refusal(output)
        assert (error.reason, error.delivered) == (OutputReason.REFUSED, 0)
        assert "did not allow" in str(error)
        assert not (await output.probe(HERE)).usable
        await refusal(output)
        assert backend.dialogs == 1
        assert backend.keys == []

    play(scene, tmp_path, answer=DENIED)


def test_a_desktop_without_a_keyboard_in_its_portal_is_not_usable(tmp_path):
    async def scene(output, backend, _portal):
        found = await output.probe(HERE)
        assert not found.usable
        assert "takes no keys" in found.reason

    play(scene, tmp_path, devices=2)


def test_a_portal_with_nothing_behind_it_types_nothing(tmp_path):
    async def scene(output, backend, _portal):
        assert not (await output.probe(HERE)).usable
        error = await refusal(output)
        assert (error.reason, error.delivered) == (OutputReason.REFUSED, 0)

    play(scene, tmp_path, serves=False)


@pytest.mark.parametrize("after", [1, 10, 400])
def test_a_desktop_that_dies_in_the_middle_leaves_the_number_open(tmp_path, after):
    async def scene(output, backend, _portal):
        assert (await refusal(output, "a" * 200)).delivered is None
        assert len(backend.keys) == after
        assert (await refusal(output)).delivered == 0

    play(scene, tmp_path, dies_after=after)


def test_a_session_that_ends_in_the_middle_leaves_the_number_open_and_the_next_text_asks_anew(tmp_path):
    async def scene(output, backend, _portal):
        error = await refusal(output, "a" * 200)
        assert error.delivered is None
        assert backend.text() == "a" * 10
        backend.closes_after = None
        await output.deliver("next", TO)
        assert backend.text() == "a" * 10 + "next"
        assert backend.dialogs == 2

    play(scene, tmp_path, closes_after=20)


def test_a_session_that_the_user_ended_between_two_texts_is_opened_again(tmp_path):
    async def scene(output, backend, _portal):
        await output.deliver("one ", TO)
        backend.end_session()
        async with asyncio.timeout(5):
            while (await output.probe(HERE)).reason != "The desktop's portal asks you first.":
                await asyncio.sleep(0.01)
        await output.deliver("two", TO)
        assert backend.text() == "one two"
        assert backend.dialogs == 2

    play(scene, tmp_path)


def test_a_portal_that_was_restarted_is_asked_again(tmp_path):
    async def scene(output, backend, portal):
        await output.deliver("one ", TO)
        portal.stop()
        assert (await refusal(output)).delivered == 0
        assert not (await output.probe(HERE)).usable
        portal.start()
        await wait_for_name(backend._bus, "org.freedesktop.portal.Desktop")
        await output.deliver("two", TO)
        assert backend.text() == "one two"

    play(scene, tmp_path)


def test_a_portal_that_hangs_is_given_up(tmp_path):
    async def scene(output, backend, portal):
        await output.deliver("one", TO)
        portal.freeze()
        error = await refusal(output)
        assert (error.reason, error.delivered) == (OutputReason.TIMEOUT, None)

    play(scene, tmp_path)


def test_without_a_bus_or_a_portal_it_says_so(tmp_path):
    async def scene():
        for address in (None, f"unix:path={tmp_path}/none", "nonsense"):
            async with output_on(address, tmp_path) as output:
                found = await output.probe(HERE)
                assert not found.usable
                assert found.reason.startswith("No portal: ")
                error = await refusal(output)
                assert (error.reason, error.delivered) == (OutputReason.NO_DISPLAY, 0)
        with PrivateBus() as bus:
            async with output_on(bus.address, tmp_path) as output:
                assert not (await output.probe(HERE)).usable
                bus.stop()
                assert (await refusal(output)).delivered == 0

    asyncio.run(scene())
    gc.collect()


def test_a_character_that_is_half_of_one_is_refused(tmp_path):
    async def scene(output, backend, _portal):
        assert (await refusal(output, "half \ud800")).delivered == 0
        assert backend.keys == []
        assert backend.dialogs == 0

    play(scene, tmp_path)


def test_who_stops_waiting_for_the_user_takes_the_dialog_away(tmp_path):
    async def scene(output, backend, _portal):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await output.deliver("hello", TO)
        async with asyncio.timeout(5):
            await backend.dialog_gone.wait()
        assert backend.keys == []

    play(scene, tmp_path, answer=None)


# --- the right window, and one that reads ---


def test_where_nobody_knows_the_focus_the_text_is_not_called_sent(tmp_path):
    async def scene(output, backend, _portal):
        delivery = await output.deliver("hello", Destination(HERE))
        assert backend.text() == "hello"
        assert (delivery.certainty, delivery.characters) == (Certainty.UNCERTAIN, 5)
        assert delivery.detail == FOCUS_UNKNOWN

    play(scene, tmp_path)


def staying(times):
    """A destination that says so many times that its window still has the focus."""
    answers = iter([True] * times)

    async def stays():
        return next(answers, False)

    return replace(TO, stays=stays)


@pytest.mark.parametrize("batches", [1, 2])
def test_a_wrong_window_gets_at_most_one_batch(tmp_path, batches):
    async def scene(output, backend, _portal):
        delivery = await output.deliver("x" * 100, staying(batches))
        assert backend.text() == "x" * BATCH * batches
        assert (delivery.certainty, delivery.characters) == (Certainty.UNCERTAIN, BATCH * batches)
        assert delivery.detail == FOCUS_MOVED

    play(scene, tmp_path)


def test_a_focus_that_moved_before_the_first_or_after_the_last_key_is_noticed(tmp_path):
    async def scene(output, backend, _portal):
        with pytest.raises(OutputError, match=MOVED_BEFORE) as caught:
            await output.deliver("hello", staying(0))
        assert caught.value.delivered == 0
        assert backend.keys == []
        assert (await output.deliver("hello", staying(1))).detail == FOCUS_MOVED
        assert (await output.deliver("hello", staying(2))).certainty is Certainty.SENT

    play(scene, tmp_path)


@pytest.mark.parametrize("events", [1, 2, 7, 8])
def test_no_key_stays_down_when_the_delivery_is_given_up(tmp_path, events):
    async def scene(output, backend, _portal):
        async def deliver():
            await output.deliver("x" * 200, TO)

        async with asyncio.TaskGroup() as tasks:
            typing = tasks.create_task(deliver())
            backend.on_key = lambda: typing.cancel() if len(backend.keys) == events else None
        async with asyncio.timeout(5):
            while not backend.closed:
                await asyncio.sleep(0.01)
        down = [pressed for _, pressed in backend.keys]
        assert down.count(True) == down.count(False) < 200

    play(scene, tmp_path)


def test_a_window_that_reads_nothing_gets_no_more(tmp_path):
    async def scene(output, backend, _portal):
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as application:
            path = str(tmp_path / "wayland-0")
            listener.bind(path)
            listener.listen()
            application.connect(path)
            with listener.accept()[0] as server:
                backend.on_key = lambda: server.send(b"x" * 4096)
                to = replace(TO, session=Session({"WAYLAND_DISPLAY": path}))
                delivery = await output.deliver("x" * 100, to)
        assert (delivery.certainty, delivery.detail) == (Certainty.UNCERTAIN, NOT_READING)
        assert backend.text() == "x" * BATCH
        assert delivery.characters == BATCH

    play(scene, tmp_path)


def test_where_reading_cannot_be_seen_a_long_text_is_refused(tmp_path):
    async def scene(output, backend, _portal):
        with pytest.raises(OutputError, match=TOO_LONG) as caught:
            await output.deliver("x" * (UNSEEN_LIMIT + 1), TO)
        assert caught.value.delivered == 0
        assert backend.keys == []

    play(scene, tmp_path)


# --- permissions that are remembered ---


def with_tokens(scene, tmp_path):
    async def play_it():
        with PrivateBus() as private:
            server = await private.connect()
            frontend = Frontend()
            server.add_message_handler(frontend.note_sender)
            await frontend.serve(server)
            try:
                async with asyncio.timeout(30):
                    await scene(lambda: output_on(private.address, tmp_path), frontend)
            finally:
                await hang_up(server)

    asyncio.run(play_it())
    gc.collect()


def test_after_a_restart_of_the_daemon_the_user_is_not_asked_again(tmp_path):
    async def scene(outputs, frontend):
        for _ in range(3):
            async with outputs() as output:
                assert (await output.deliver("hi", TO)).certainty is Certainty.SENT
        assert frontend.dialogs == 1
        assert len(frontend.keys) == 12
        assert frontend.asked[0] == {"types": 1, "persist_mode": 2}
        assert frontend.asked[1]["restore_token"].startswith("00000001-")
        assert frontend.asked[2]["restore_token"].startswith("00000002-")  # each is good once
        token = tmp_path / TOKEN_FILE
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        async with outputs() as output:
            assert (await output.probe(HERE)).reason == "The desktop's portal types, as you have allowed."

    with_tokens(scene, tmp_path)


@pytest.mark.parametrize("kept", [b"", b"../../etc", b"short", b"\xff" * 5000, b"11111111-1111-4111-8111-111111111111"])
def test_a_token_that_is_no_good_means_that_the_user_is_asked(tmp_path, kept):
    (tmp_path / TOKEN_FILE).write_bytes(kept)

    async def scene(outputs, frontend):
        async with outputs() as output:
            await output.deliver("hi", TO)
        assert frontend.dialogs == 1

    with_tokens(scene, tmp_path)


def test_a_portal_that_refuses_a_key_is_left_so_that_none_stays_down(tmp_path):
    async def scene(outputs, frontend):
        async with outputs() as output:
            frontend.refuses_after = 3
            assert (await refusal(output)).delivered is None
            frontend.refuses_after = None
            await output.deliver("hi", TO)
        assert len(frontend.asked) == 2  # sessions

    with_tokens(scene, tmp_path)


def test_a_token_that_is_a_link_is_not_followed(tmp_path):
    target = tmp_path / "mine"
    target.write_text("11111111-1111-4111-8111-111111111111")
    (tmp_path / TOKEN_FILE).symlink_to(target)

    async def scene(outputs, frontend):
        async with outputs() as output:
            await output.deliver("hi", TO)
        assert "restore_token" not in frontend.asked[0]

    with_tokens(scene, tmp_path)
    assert target.read_text() == "11111111-1111-4111-8111-111111111111"
    assert not (tmp_path / TOKEN_FILE).is_symlink()
