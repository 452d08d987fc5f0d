"""What keys type under real layouts, as libxkbcommon reads the keymap that a compositor would send."""

import subprocess

import pytest

from v2m.infrastructure._xkbcommon import KeymapError, Stroke, typed_by_keys
from v2m.infrastructure.output._layout import caps_lock_is_on, layout_of
from v2m.infrastructure.output.wayland.keymap import ASCII, key_codes, xkb_keymap

pytestmark = pytest.mark.integration

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
PLAIN, SHIFT, ALTGR = {}, {"shift": True}, {"altgr": True}
KEYS = {  # as printed on the keys, by their evdev codes
    "us": {"a": (30, PLAIN), "A": (30, SHIFT), "@": (3, SHIFT), "'": (40, PLAIN), "\n": (28, PLAIN), " ": (57, PLAIN)},
    "de": {
        "z": (21, PLAIN), "y": (44, PLAIN), "ä": (40, PLAIN), "Ä": (40, SHIFT), "ß": (12, PLAIN), "@": (16, ALTGR),
        "€": (18, ALTGR), "{": (8, ALTGR), "<": (86, PLAIN), ">": (86, SHIFT), "|": (86, ALTGR),
    },
    "fr": {
        "a": (16, PLAIN), "q": (30, PLAIN), "m": (39, PLAIN), "é": (3, PLAIN), "1": (2, SHIFT), "€": (18, ALTGR),
        "@": (11, ALTGR),
    },
    "dvorak": {"a": (30, PLAIN), "o": (31, PLAIN), "s": (39, PLAIN), "'": (16, PLAIN), "z": (53, PLAIN)},
    "ru": {"ф": (30, PLAIN), "Ф": (30, SHIFT), "ё": (41, PLAIN), "я": (44, PLAIN), ".": (53, PLAIN), "!": (2, SHIFT)},
}  # fmt: skip


def keymap(layouts, variants=""):
    """Return a complete keymap, as compositors send it."""
    words = ["xkbcli", "compile-keymap", "--layout", layouts, *(["--variant", variants] if variants else [])]
    return subprocess.run(words, capture_output=True, check=True).stdout


def layout(layouts, variants=""):
    return layout_of(typed_by_keys(keymap(layouts, variants)))


@pytest.mark.parametrize("name", KEYS)
def test_the_keys_are_those_of_the_layout(name):
    found = layout("us", "dvorak") if name == "dvorak" else layout(name)
    assert {character: found.get(character) for character in KEYS[name]} == {
        character: Stroke(code, **held) for character, (code, held) in KEYS[name].items()
    }


@pytest.mark.parametrize("name", ["us", "de", "fr", "es"])
def test_letters_digits_and_space_have_a_key_each(name):
    assert set(LETTERS + "0123456789 \n") <= set(layout(name))


def test_a_dead_key_types_nothing():
    assert not {"^", "`", "´"} & set(layout("de"))
    assert {"^", "`", "´"} <= set(layout("de", "nodeadkeys"))


def test_right_alt_is_pressed_only_where_it_is_no_second_alt():
    assert not any(stroke.altgr for stroke in layout("us").values())


def test_two_layouts_on_one_keyboard_leave_what_both_type():
    both = layout("us,de")
    assert {"a", "A", "1", " ", "\n"} <= set(both)
    assert not {"z", "y", "@", "ä", "-"} & set(both)
    assert not set(LETTERS) & set(layout("us,ru"))
    assert "1" in layout("us,ru")


@pytest.mark.parametrize("broken", [b"", b"xkb_keymap {", b"\0", xkb_keymap(key_codes(ASCII)).rstrip(b"\0")])
def test_a_keymap_that_is_not_complete_is_refused(broken, capfd):
    with pytest.raises(KeymapError):
        typed_by_keys(broken)
    assert capfd.readouterr() == ("", "")


def test_caps_lock_shows(tmp_path):
    assert not caps_lock_is_on(tmp_path / "none")
    light = tmp_path / "input3::capslock"
    light.mkdir()
    (tmp_path / "input3::numlock").mkdir()
    (tmp_path / "input3::numlock/brightness").write_text("1\n")
    (light / "brightness").write_text("0\n")
    assert not caps_lock_is_on(tmp_path)
    (light / "brightness").write_text("1\n")
    assert caps_lock_is_on(tmp_path)
