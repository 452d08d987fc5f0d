"""The Wayland client against the bytes of the protocol, and against compositors that misbehave."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.compositor import ScriptedCompositor
from v2m.domain.errors import OutputError
from v2m.infrastructure._wayland import connection as wayland
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.wire import Arguments, message, string, take_message, uints
from v2m.infrastructure.output.pasting import paste_chord
from v2m.infrastructure.output.wayland.input_method import COMMIT_BYTES, parts
from v2m.infrastructure.output.wayland.keymap import ASCII, CAPACITY, SAFE_CODES, key_codes, portions, xkb_keymap

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


def test_keys_of_a_us_keyboard_without_shift_stand_where_it_has_them():
    codes = key_codes(ASCII)
    assert [codes[key] for key in "1a\\v/ \n"] == [2, 30, 43, 47, 53, 57, 28]
    main = {*range(2, 14), *range(16, 28), *range(30, 42), *range(43, 54)}
    assert {codes[character] for character in "the quick brown fox jumps over a lazy dog, 42."} <= main | {57}


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


def test_where_no_paste_key_is_wished_the_one_that_does_no_harm_is_pressed():
    assert str(paste_chord("")) == "shift+insert"
    assert str(paste_chord("Ctrl+Shift+V")) == "ctrl+shift+v"


def test_a_paste_key_that_is_none_is_refused_before_anything_happens():
    with pytest.raises(OutputError, match="no modifier") as caught:
        paste_chord("hyper+v")
    assert caught.value.delivered == 0


# --- connections ------------------------------------------------------------------------------------


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


def test_waits_are_bounded():
    assert wayland.ROUNDTRIP_S <= 1.0
