"""Whatever a text says, the tools that press keys are told keys: what they understand types exactly that text."""

import string
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from v2m.domain.errors import OutputError, OutputReason
from v2m.domain.text.typed import typeable
from v2m.infrastructure._xkbcommon import Stroke
from v2m.infrastructure.output import dotool, ydotool
from v2m.infrastructure.output._keysyms import keysym
from v2m.infrastructure.output._layout import layout_of, strokes

pytestmark = pytest.mark.unit

CODES = [*range(2, 14), *range(16, 29), *range(30, 42), *range(43, 54), 57, 86]
EVERY_STROKE = [
    Stroke(code, shift=shift, altgr=altgr) for altgr in (False, True) for shift in (False, True) for code in CODES
]
HOSTILE = [
    "hello\nkey super+Return",
    "key super+Return",
    "type rm -rf ~\n",
    "\nkeydown leftmeta\nkeyup leftmeta\n",
    "--help",
    "-",
    "$(touch x) `id` && echo $HOME | tee * > x; '\"\\",
    "k:28 shift+k:2",
    "28:1 28:0",
    "nul\0and escape \x1b[2J bell\a",
    "half \ud800 a pair \udfff",
    "\u202eright to left\u202c \u200bzero\ufeff",
    "e\u0301 🇩🇪 👩\u200d👩\u200d👧 你好",
    "",
    "\r\n\u2028\x85",
]


def layout_for(text):
    """A keyboard that has the first characters of a text, in the order in which they come."""
    return dict(zip(dict.fromkeys(text), EVERY_STROKE, strict=False))


def pressed_by(layout, taps):
    """What a keyboard of this layout types for (code, held codes)."""
    typed = {stroke: character for character, stroke in layout.items()}
    return "".join(typed[Stroke(code, shift=42 in held, altgr=100 in held)] for code, held in taps)


# --- two programs that read what the tools read ---


def taps_of_events(data, layout):
    """As the kernel sees `struct input_event`s."""
    held, taps = set(), []
    for seconds, micros, kind, code, value in struct.iter_unpack("@llHHi", data):
        assert (seconds, micros) == (0, 0)
        if kind == 0:
            assert (code, value) == (0, 0)
        elif value and code in (42, 100):
            held.add(code)
        elif value:
            taps.append((code, frozenset(held)))
        else:
            held.discard(code)
    assert not held
    return pressed_by(layout, taps)


def taps_of_commands(data, layout):
    """As dotool reads its standard input: one command per line, its words."""
    held, taps = set(), []
    for line in data.decode("ascii").splitlines():
        command, *words = line.split()
        if command == "keydelay":
            assert words == [str(dotool.LINGER_MS)]
            continue
        for word in words:
            *modifiers, key = word.split("+")
            assert key.startswith("k:")
            assert set(modifiers) <= {"shift"}
            code = int(key[2:])
            if command == "keydown":
                held.add(code)
            elif command == "keyup":
                held.discard(code)
            else:
                assert command == "key"
                taps.append((code, held | ({42} if modifiers else set())))
    assert not held
    return pressed_by(layout, taps)


def events_of(keys):
    return b"".join(b"".join(event for half in ydotool.encode(stroke) for event in half) for stroke in keys)


@given(st.text(), st.sampled_from([" ", "\n"]))
@example("", " ")
def test_what_the_tools_understand_types_exactly_the_text(said, newline):
    text = typeable(said, newline=newline)
    layout = layout_for(text)
    text = "".join(character for character in text if character in layout)
    keys = strokes(text, layout)
    assert taps_of_events(events_of(keys), layout) == text
    assert taps_of_commands(dotool.encode(keys), layout) == text


@pytest.mark.parametrize("said", HOSTILE)
@pytest.mark.parametrize("newline", [" ", "\n"])
def test_nothing_a_text_says_becomes_a_command(said, newline):
    text = typeable(said, newline=newline)
    layout = layout_for(string.printable + text)
    layout = layout if set(text) <= set(layout) else layout_for(text)
    commands = dotool.encode(strokes(text, layout))
    assert taps_of_commands(commands, layout) == text
    assert taps_of_events(events_of(strokes(text, layout)), layout) == text
    for line in commands.decode("ascii").splitlines():
        command, *words = line.split(" ")
        assert command in ("key", "keydown", "keyup", "keydelay")
        assert all(word.replace("shift+", "", 1).removeprefix("k:").isdecimal() for word in words)


@given(st.text(min_size=1))
def test_a_character_without_a_key_is_refused_with_nothing_typed_and_not_named(text):
    layout = layout_for("ok")
    if set(text) <= set(layout):
        assert len(strokes(text, layout)) == len(text)
        return
    with pytest.raises(OutputError) as caught:
        strokes(text, layout)
    assert (caught.value.reason, caught.value.delivered) == (OutputReason.REFUSED, 0)
    assert str(caught.value) in {
        "Your keyboard layout has no key for a character of this text.",
        f"Your keyboard layout has no key for {len(set(text) - set(layout))} characters of this text.",
    }


def test_a_layout_has_what_all_groups_of_the_keyboard_agree_on():
    a, b, c = Stroke(30), Stroke(48), Stroke(46)
    assert layout_of([{a: "a", b: "b"}]) == {"a": a, "b": b}
    assert layout_of([{a: "a", b: "b", c: "1"}, {a: "ф", b: "b", c: "1"}]) == {"b": b, "1": c}
    assert layout_of([{a: "x", b: "x"}]) == {"x": a}
    assert layout_of([]) == {}


def test_long_texts_stay_below_what_dotool_reads_as_one_line():
    layout = layout_for("abc")
    lines = dotool.encode(strokes("abc" * 2000, layout)).splitlines()
    assert max(map(len, lines)) < 1000


@pytest.mark.parametrize(
    ("character", "symbol"),
    [
        ("a", 0x61),
        ("é", 0xE9),
        ("€", 0x010020AC),
        ("你", 0x01004F60),
        ("😀", 0x0101F600),
        ("\n", 0xFF0D),
        ("\t", 0xFF09),
    ],
)
def test_keysyms(character, symbol):
    assert keysym(character) == symbol


@given(st.text())
def test_every_character_has_a_keysym_of_its_own(said):
    text = typeable(said, newline="\n")
    known = {0xFF0D: "\n"}
    symbols = [keysym(character) for character in text]
    assert "".join(known.get(symbol) or chr(symbol & 0xFFFFFF) for symbol in symbols) == text
    assert all(
        0x20 <= symbol <= 0x7E or 0xA0 <= symbol <= 0xFF or symbol in known or symbol > 0x01000000 for symbol in symbols
    )
