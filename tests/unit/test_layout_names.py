"""The name of the live keyboard layout, from what compositors and X servers tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2m.infrastructure.desktop.layouts import hyprland_name, sway_name, x11_name

pytestmark = pytest.mark.unit


def keyboard(name):
    return {"identifier": "1:1:AT", "type": "keyboard", "xkb_active_layout_name": name}


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ([], ""),
        ([{"identifier": "2:7:Mouse", "type": "pointer"}], ""),
        ([keyboard("German")], "German"),
        ([keyboard("German"), keyboard("German")], "German"),
        ([keyboard("German"), keyboard("English (US)")], "English (US)+German"),
        ([keyboard(None), keyboard("Russian")], "Russian"),  # a typing tool's keyboard has no name
    ],
)
def test_the_layouts_of_all_keyboards_of_sway_make_the_name(inputs, name):
    assert sway_name(inputs) == name


@pytest.mark.parametrize("inputs", [None, {}, [1], "German"])
def test_an_answer_that_is_not_sways_is_refused(inputs):
    with pytest.raises(ValueError):
        sway_name(inputs)


def test_hyprlands_main_keyboard_counts():
    listed = [{"main": False, "active_keymap": "English (US)"}, {"main": True, "active_keymap": "German"}]
    assert hyprland_name({"keyboards": listed}) == "German"
    assert hyprland_name({"keyboards": []}) == ""


@pytest.mark.parametrize("devices", [{}, [], {"keyboards": [1]}])
def test_an_answer_that_is_not_hyprlands_is_refused(devices):
    with pytest.raises(ValueError):
        hyprland_name(devices)


@pytest.mark.parametrize(
    ("rules", "group", "name"),
    [
        (b"evdev\0pc105\0de\0\0\0", 0, "de"),
        (b"evdev\0pc105\0us,ru\0,phonetic\0grp:alt\0", 0, "us"),
        (b"evdev\0pc105\0us,ru\0,phonetic\0grp:alt\0", 1, "ru(phonetic)"),
        (b"evdev\0pc105\0us\0dvorak\0\0", 0, "us(dvorak)"),
        (b"evdev\0pc105\0us\0\0\0", 3, ""),
        (b"", 0, ""),
        (b"evdev", 0, ""),
    ],
)
def test_an_x_servers_rules_and_group_make_the_name(rules, group, name):
    assert x11_name(rules, group) == name


@given(st.binary(max_size=200), st.integers(0, 3))
def test_rules_of_any_form_make_a_name(rules, group):
    assert isinstance(x11_name(rules, group), str)
