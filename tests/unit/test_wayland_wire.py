"""The Wayland client against the bytes of the protocol, and against compositors that misbehave."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.compositor import GLOBALS, ScriptedCompositor
from v2m.domain.dictation import Certainty
from v2m.domain.errors import OutputError, OutputReason
from v2m.domain.ports import Session
from v2m.infrastructure.output.wayland import connection as wayland
from v2m.infrastructure.output.wayland.connection import Connection, WaylandError
from v2m.infrastructure.output.wayland.input_method import COMMIT_BYTES, InputMethodOutput, parts
from v2m.infrastructure.output.wayland.keymap import ASCII, CAPACITY, SAFE_CODES, key_codes, portions, xkb_keymap
from v2m.infrastructure.output.wayland.paste import paste_chord
from v2m.infrastructure.output.wayland.virtual_keyboard import BATCH, VirtualKeyboardOutput
from v2m.infrastructure.output.wayland.wire import Arguments, message, string, take_message, uints

pytestmark = pytest.mark.unit

METHOD = "zwp_input_method_v2"
KEYBOARD = "zwp_virtual_keyboard_v1"


# --- bytes ------------------------------------------------------------------------------------------


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=900))
def test_a_string_is_read_back_and_padded(text):
    encoded = string(text) + uints(7)
    arguments = Arguments(encoded)
    assert len(encoded) % 4 == 0
    assert (arguments.string(), arguments.uint()) == (text, 7)


@given(
    st.lists(st.binary(max_size=64).map(lambda data: data + b"\0" * (-len(data) % 4)), max_size=8), st.integers(1, 50)
)
def test_messages_are_cut_from_a_stream_that_comes_in_any_pieces(bodies, piece):
    stream = b"".join(message(number + 1, number, body) for number, body in enumerate(bodies))
    buffer, taken = bytearray(), []
    for start in range(0, len(stream), piece):
        buffer += stream[start : start + piece]
        while found := take_message(buffer):
            taken.append(found)
    assert taken == [(number + 1, number, body) for number, body in enumerate(bodies)]


def test_a_message_that_would_end_the_connection_is_refused():
    with pytest.raises(ValueError, match="4096"):
        message(2, 0, bytes(4092))


@pytest.mark.parametrize("size", [0, 4, 9])
def test_a_size_that_cannot_be_is_refused(size):
    with pytest.raises(ValueError, match="announces"):
        take_message(bytearray(uints(1, size << 16)))


def test_an_event_that_ends_too_early_is_refused():
    with pytest.raises(ValueError, match="too early"):
        Arguments(uints(100) + b"abc").string()


# --- keymaps and parts ------------------------------------------------------------------------------


def test_no_character_stands_on_a_key_that_a_desktop_binds():
    function_and_lock = {58, 69, 70, *range(59, 69), 87, 88, *range(183, 195)}
    modifiers = {29, 42, 54, 56, 97, 100, 125, 126, 127}
    media_and_power = {113, 114, 115, 116, 142, 143, 163, 164, 165, 166, 224, 225}
    assert not set(SAFE_CODES) & (function_and_lock | modifiers | media_and_power)
    assert max(SAFE_CODES) + 8 <= 255
    assert len(set(SAFE_CODES)) == len(SAFE_CODES)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=0x2FFFF, exclude_categories=["C"]), max_size=600))
def test_every_part_of_a_text_fits_into_one_keymap_and_nothing_is_lost(text):
    cut = portions(text)
    assert "".join(cut) == text
    for part in cut:
        codes = key_codes([*ASCII, *part])
        assert len(set(codes.values())) == len(codes)
        assert xkb_keymap(codes).endswith(b"\0")


def test_a_keymap_that_would_be_too_full_is_refused():
    with pytest.raises(ValueError, match=str(CAPACITY)):
        key_codes(map(chr, range(0x4E00, 0x4E00 + CAPACITY)))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=3000))
def test_commits_are_cut_between_characters(text):
    cut = parts(text * 3)
    assert "".join(cut) == text * 3
    assert all(0 < len(part.encode()) <= COMMIT_BYTES for part in cut)


def test_the_paste_key_fits_the_application_and_is_harmless_where_that_is_unknown():
    assert paste_chord("foot")[1] == "v"
    assert paste_chord("foot") != paste_chord("org.gnome.TextEditor")
    assert paste_chord("") == paste_chord("Emacs") == paste_chord("XTerm")
    assert paste_chord("")[1] != "v"


# --- connections ------------------------------------------------------------------------------------


async def _deliver(output, text, compositor):
    try:
        return await output.deliver(text, Session({"WAYLAND_DISPLAY": compositor.path}))
    finally:
        await output.aclose()


def _with(scenario, **options):
    async def run():
        async with ScriptedCompositor(**options) as compositor:
            return await scenario(compositor)

    return asyncio.run(run())


def test_ids_are_used_again_once_the_compositor_says_so():
    async def scenario(compositor):
        connection = await Connection.open(compositor.path)
        for _ in range(100):
            await connection.roundtrip()
        highest = connection.create()
        connection.close()
        return highest

    assert _with(scenario) < 6


def test_a_compositor_that_says_nothing_is_given_up():
    async def scenario(compositor):
        with pytest.raises(WaylandError, match="does not answer"):
            await Connection.open(compositor.path, timeout_s=0.05)

    _with(scenario, answers=False)


def test_a_protocol_error_is_told_and_ends_the_connection():
    async def scenario(compositor):
        connection = await Connection.open(compositor.path)
        compositor.event(1, 0, uints(3, 9) + string("no such thing"))
        with pytest.raises(WaylandError, match="no such thing"):
            await connection.roundtrip()
        assert not connection.alive
        connection.close()

    _with(scenario)


def test_nonsense_from_the_compositor_ends_the_connection_and_nothing_else():
    async def scenario(compositor):
        connection = await Connection.open(compositor.path)
        compositor._writer.send(uints(1, 3 << 16))
        with pytest.raises(WaylandError, match="unintelligible"):
            await connection.roundtrip()

    _with(scenario)


def test_a_text_longer_than_the_socket_takes_at_once_is_sent_in_the_end():
    async def scenario(compositor):
        connection = await Connection.open(compositor.path)
        for _ in range(3000):
            connection.request(99, 7, bytes(4000))
        await connection.roundtrip(10)
        connection.close()
        return compositor.requests.count(("?", 7))

    assert _with(scenario) == 3000


# --- input method -----------------------------------------------------------------------------------


def _at_bind(compositor, **state):
    compositor.on(METHOD, "made", lambda method, _: compositor.activate(method, **state))


def test_an_application_that_shows_the_text_confirms_it():
    async def scenario(compositor):
        _at_bind(compositor, surrounding="Dear Anna, ")

        def show(method, _):
            compositor.surround(method, "Dear Anna, hello")
            compositor.event(method, 5)

        compositor.on(METHOD, 3, lambda method, _: asyncio.get_running_loop().call_later(0.005, show, method, _))
        return await _deliver(InputMethodOutput(), "hello", compositor), compositor.texts

    delivery, texts = _with(scenario)
    assert texts == ["hello"]
    assert (delivery.certainty, delivery.target, delivery.characters) == (Certainty.CONFIRMED, "editor", 5)


def test_a_text_that_stood_there_before_confirms_nothing():
    async def scenario(compositor):
        _at_bind(compositor, surrounding="hello")
        return await _deliver(InputMethodOutput(), "hello", compositor)

    assert _with(scenario).certainty is Certainty.SENT


@pytest.mark.parametrize("purpose", [8, 9], ids=["password", "PIN"])
def test_nothing_is_typed_into_a_password_field(purpose):
    async def scenario(compositor):
        _at_bind(compositor, purpose=purpose)
        with pytest.raises(OutputError, match="password") as caught:
            await _deliver(InputMethodOutput(), "hello", compositor)
        return caught.value, compositor.texts

    error, texts = _with(scenario)
    assert (error.reason, error.delivered, texts) == (OutputReason.REFUSED, 0, [])


def test_another_input_method_keeps_its_place():
    async def scenario(compositor):
        compositor.on(METHOD, "made", lambda method, _: compositor.event(method, 6))
        with pytest.raises(OutputError, match="Another input method") as caught:
            await _deliver(InputMethodOutput(), "hello", compositor)
        return caught.value

    assert _with(scenario).delivered == 0


def test_a_window_without_text_input_is_left_to_the_next_output():
    async def scenario(compositor):
        with pytest.raises(OutputError, match="takes no text") as caught:
            await _deliver(InputMethodOutput(), "hello", compositor)
        return caught.value, compositor.texts

    error, texts = _with(scenario)
    assert (error.reason, error.delivered, texts) == (OutputReason.REFUSED, 0, [])


def test_nothing_more_is_committed_after_the_focus_moved():
    async def scenario(compositor):
        _at_bind(compositor)

        def leave(method, _):
            compositor.event(method, 1)
            compositor.event(method, 5)
            compositor.set_active(0xFF000001, False)

        compositor.on(METHOD, 3, leave)
        return await _deliver(InputMethodOutput(), "x" * 10_000, compositor), compositor.texts

    delivery, texts = _with(scenario)
    assert len(texts) == 1
    assert (delivery.certainty, delivery.characters) == (Certainty.UNCERTAIN, COMMIT_BYTES)
    assert "focus" in delivery.detail


def test_a_text_that_crossed_the_applications_own_words_is_uncertain():
    async def scenario(compositor):
        _at_bind(compositor)
        compositor.on(METHOD, 3, lambda method, _: compositor.event(method, 5))
        return await _deliver(InputMethodOutput(), "hello", compositor)

    assert _with(scenario).certainty is Certainty.UNCERTAIN


@pytest.mark.parametrize(("at", "delivered"), [("made", 0), (3, None)], ids=["before the text", "with the text"])
def test_a_compositor_that_dies_under_a_commit_leaves_no_doubt_about_the_doubt(at, delivered):
    async def scenario(compositor):
        _at_bind(compositor)
        compositor.on(METHOD, at, lambda *_: compositor.hang_up())
        with pytest.raises(OutputError) as caught:
            await _deliver(InputMethodOutput(), "hello", compositor)
        return caught.value

    assert _with(scenario).delivered == delivered


# --- virtual keyboard -------------------------------------------------------------------------------


def test_a_wrong_window_gets_at_most_one_batch_of_keys():
    async def scenario(compositor):
        keys = []

        def move(_, arguments):
            keys.append(arguments)
            if len(keys) == 2 * BATCH:  # the press and release of each character of the first batch
                compositor.set_active(0xFF000001, False)

        compositor.on(KEYBOARD, 1, move)
        return await _deliver(VirtualKeyboardOutput(), "x" * 200, compositor), len(keys)

    delivery, keys = _with(scenario)
    assert keys == 2 * BATCH
    assert (delivery.certainty, delivery.characters) == (Certainty.UNCERTAIN, BATCH)


def test_nothing_is_typed_when_no_window_is_active():
    async def scenario(compositor):
        compositor.toplevel = lambda *_args, **_options: None
        with pytest.raises(OutputError, match="No window") as caught:
            await _deliver(VirtualKeyboardOutput(), "hello", compositor)
        return caught.value, [request for request in compositor.requests if request == (KEYBOARD, 1)]

    error, keys = _with(scenario)
    assert (error.delivered, keys) == (0, [])


def test_where_the_focus_cannot_be_seen_typing_is_uncertain():
    offers = {name: version for name, version in GLOBALS.items() if "toplevel" not in name}

    async def scenario(compositor):
        return await _deliver(VirtualKeyboardOutput(), "hello", compositor)

    assert _with(scenario, offers=offers).certainty is Certainty.UNCERTAIN


def test_cancelling_stops_between_batches():
    async def scenario(compositor):
        keys = []
        cancelled = asyncio.Event()

        def third_batch(_, arguments):
            keys.append(arguments)
            if len(keys) == 3 * 2 * BATCH:
                cancelled.set()

        compositor.on(KEYBOARD, 1, third_batch)
        async with asyncio.TaskGroup() as tasks:
            typing = tasks.create_task(_deliver(VirtualKeyboardOutput(), "x" * 400, compositor))
            await cancelled.wait()
            typing.cancel()
        return len(keys)

    assert _with(scenario) % 2 == 0
    assert _with(scenario) < 2 * 400


def test_waits_are_bounded():
    assert wayland.ROUNDTRIP_S <= 1.0
