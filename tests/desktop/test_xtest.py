"""Typing through XTEST whatever state the keyboard is in, and leaving it so."""

import asyncio

import pytest

from support import x11
from support.desktop import XDesktop
from v2m.domain.delivery import Certainty, Destination, Session
from v2m.domain.errors import OutputError
from v2m.infrastructure._x11.display import connect
from v2m.infrastructure.output.x11.user_keys import WAIT_S
from v2m.infrastructure.output.x11.xkb import KeyboardLocks
from v2m.infrastructure.output.x11.xtest import BATCH, XtestOutput

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(180)]

ASCII = "".join(map(chr, range(0x20, 0x7F)))
LATIN_1 = "".join(map(chr, range(0xA1, 0x100))) + "€"
SENTENCE = "Please type THIS, 1-2-3: “naïve” é€!"
LAYOUTS = {
    "us": ["us"],
    "de": ["de"],
    "fr": ["fr"],
    "dvorak": ["us", "-variant", "dvorak"],
    "ru": ["ru"],
    "us and ru": ["us,ru"],
    "ru and us": ["ru,us"],
}


@pytest.fixture(scope="module")
def xvfb():
    with XDesktop() as desk:
        yield desk, desk.terminal()


@pytest.fixture
def desk(xvfb):
    yield xvfb[0]
    xvfb[0].run("setxkbmap", "us")


@pytest.fixture
def terminal(xvfb):
    xvfb[1].clear()
    return xvfb[1]


@pytest.fixture
def session(xvfb):
    return Session(xvfb[0].variables)


@pytest.fixture
def locks(session):
    """The keyboard's locks, asked over a connection of its own; as at the beginning afterwards."""
    display = connect(session)
    keyboard = KeyboardLocks(display)
    yield keyboard
    keyboard._lock(0xFF, 0, group=0)
    display.sync()
    display.close()


def _run(scenario, **options):
    async def run():
        output = XtestOutput(**options)
        try:
            return await scenario(output)
        finally:
            await output.aclose()

    return asyncio.run(run())


def _deliver(text, session, **options):
    return _run(lambda output: output.deliver(text, Destination(session)), **options)


# --- layouts and locks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("text", [ASCII, LATIN_1], ids=["ASCII", "Latin-1"])
def test_every_layout_types_exactly(desk, terminal, session, layout, text):
    desk.run("setxkbmap", *layout)
    delivery = _deliver(text, session)
    assert terminal.wait_text(text) == text
    assert delivery.certainty is Certainty.SENT


def test_a_layout_of_other_letters_types_them_with_its_own_keys(desk, terminal, session):
    desk.run("setxkbmap", "ru")

    async def scenario(output):
        await output.deliver("Съешь ещё этих мягких французских булок", Destination(session))
        return len(output._keyboard._mapped)

    assert _run(scenario) == 0
    assert terminal.wait_text("Съешь ещё этих мягких французских булок")


def test_a_layout_that_changes_between_two_dictations_is_noticed(desk, terminal, session):
    async def scenario(output):
        for layout in ("us", "fr", "de"):
            await asyncio.to_thread(desk.run, "setxkbmap", layout)
            await output.deliver(SENTENCE, Destination(session))

    _run(scenario)
    assert terminal.wait_text(SENTENCE * 3)


@pytest.mark.parametrize("held", [0x02, 0x10, 0x12], ids=["Caps Lock", "Num Lock", "both"])
def test_locks_change_nothing_and_are_left_as_they_were(terminal, session, locks, held):
    locks._lock(0xFF, held, group=0)
    assert locks.state() == (held, 0)
    _deliver(SENTENCE, session)
    assert terminal.wait_text(SENTENCE)
    assert locks.state() == (held, 0)


@pytest.mark.parametrize("group", [0, 1])
@pytest.mark.parametrize("layout", ["us,ru", "ru,us", "fr,de"])
def test_whichever_layout_is_active_the_text_is_exact_and_it_stays_active(
    desk, terminal, session, locks, layout, group
):
    desk.run("setxkbmap", layout)
    locks._lock(0, 0, group=group)
    assert locks.state() == (0, group)
    _deliver(SENTENCE, session)
    assert terminal.wait_text(SENTENCE)
    assert locks.state() == (0, group)


# --- the user's own keys, and grabs ----------------------------------------------------------------------


def test_a_modifier_pressed_while_a_text_is_typed_ends_it_after_one_batch_and_it_is_uncertain(desk, terminal, session):
    text = "x" * 6_000

    async def scenario(output):
        async with asyncio.TaskGroup() as tasks:
            typing = tasks.create_task(output.deliver(text, Destination(session)))
            await asyncio.to_thread(terminal.wait_text, lambda received: len(received) > BATCH)
            await asyncio.to_thread(desk.run, "xdotool", "keydown", "Shift_L")
            await asyncio.wait({typing})
            await asyncio.to_thread(desk.run, "xdotool", "keyup", "Shift_L")
        return typing.result()

    delivery = _run(scenario)
    received = terminal.wait_text(lambda received: len(received) == delivery.characters)
    assert (delivery.certainty, delivery.characters < len(text)) == (Certainty.UNCERTAIN, True)
    assert received.count("X") <= BATCH


def test_a_hotkey_held_for_our_own_next_recording_is_waited_for_as_long_as_that(desk, terminal, session):
    asked = []

    def dictating():
        asked.append(True)
        return len(asked) < 150  # of looks: longer than the wait for other keys

    desk.run("xdotool", "keydown", "Control_L")

    async def scenario(output):
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            started = loop.time()
            typing = tasks.create_task(output.deliver(SENTENCE, Destination(session)))
            while len(asked) < 140:
                await asyncio.sleep(0.01)
            waited, early = loop.time() - started, terminal.text()
            await asyncio.to_thread(desk.run, "xdotool", "keyup", "Control_L")
        return waited, early, typing.result()

    waited, early, delivery = _run(scenario, dictating=dictating)
    assert waited > WAIT_S
    assert early == ""
    assert terminal.wait_text(SENTENCE)
    assert delivery.certainty is Certainty.SENT


def test_a_grab_that_ends_in_time_is_waited_for(desk, terminal, session):
    with x11.program(desk, "grab", 0.7):
        delivery = _deliver(SENTENCE, session)
        assert terminal.wait_text(SENTENCE)
    assert delivery.certainty is Certainty.SENT


def test_looking_for_a_grab_is_none_and_takes_the_focus_from_nobody(desk, terminal, session):
    with x11.program(desk, "focus") as watcher:
        _deliver("abc", session)
        assert terminal.wait_text("abc")
        assert watcher.last() == []


def test_a_lock_screen_that_comes_while_a_text_is_typed_gets_at_most_one_batch(desk, terminal, session):
    text = "y" * 20_000

    async def scenario(output):
        async with asyncio.TaskGroup() as tasks:
            typing = tasks.create_task(output.deliver(text, Destination(session)))
            await asyncio.to_thread(terminal.wait_text, lambda received: len(received) > BATCH)
            with x11.program(desk, "grab"):
                while not typing.done():
                    await asyncio.sleep(0.01)
        return typing.result()

    delivery = _run(scenario)
    assert delivery.certainty is Certainty.UNCERTAIN
    assert "all keys" in delivery.detail
    assert delivery.characters < len(text)
    received = terminal.wait_text(lambda received: delivery.characters - BATCH <= len(received))
    assert len(received) <= delivery.characters


def test_a_real_lock_screen_gets_nothing(desk, terminal, session):
    locker = x11.start(desk, "i3lock", "--nofork")
    try:
        x11.until_grabbed(session)
        with pytest.raises(OutputError, match="all keys") as caught:
            _deliver("secret", session)
    finally:
        locker.kill()
        locker.wait(10)
    assert caught.value.delivered == 0
    assert terminal.text() == ""
