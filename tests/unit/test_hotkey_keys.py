"""How users write keys, and how each desktop does."""

import pytest

from v2m.config import load_settings
from v2m.domain.errors import ConfigError
from v2m.domain.hotkeys import PORTAL, SWAY, parse_keys

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "sway", "portal"),
    [
        ("F9", "F9", "F9"),
        ("super+space", "Mod4+space", "LOGO+space"),
        ("Shift + CTRL + alt+d", "Ctrl+Mod1+Shift+d", "CTRL+ALT+SHIFT+d"),
        ("Mod4+XF86AudioRecord", "Mod4+XF86AudioRecord", "LOGO+XF86AudioRecord"),
    ],
)
def test_keys_are_written_as_each_desktop_does(text, sway, portal):
    keys = parse_keys(text)
    assert (keys.written(SWAY), keys.written(PORTAL)) == (sway, portal)
    assert parse_keys(str(keys)) == keys


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no name of a key"),
        ("super+", "no name of a key"),
        ("hyper+F9", "no modifier 'hyper'"),
        ("ctrl+control+F9", "a modifier twice"),
        ("F9 exec xterm", "no name of a key"),
        ("F9, exec xterm", "no name of a key"),
        ("F9;nop", "no name of a key"),
        ("F9\nbindsym a exec xterm", "no name of a key"),
        ("$mod", "no name of a key"),
        ("x" * 33, "no name of a key"),
    ],
)
def test_what_is_no_key_is_refused_and_nothing_can_be_slipped_into_a_configuration(text, why):
    with pytest.raises(ValueError, match=why):
        parse_keys(text)


def test_settings_refuse_bad_keys_and_the_same_keys_twice():
    with pytest.raises(ConfigError, match=r"hotkeys.push_to_talk has no modifier 'hyper'"):
        load_settings({"hotkeys.push_to_talk": "hyper+F9"})
    with pytest.raises(ConfigError, match=r"hotkeys.abort has the same keys as push_to_talk"):
        load_settings({"hotkeys.push_to_talk": "super+F9", "hotkeys.abort": "logo+F9"})
    with pytest.raises(ConfigError, match=r"hotkeys.backend must be off, auto, sway or portal"):
        load_settings({"hotkeys.backend": "i3"})


def test_the_settings_say_which_hotkeys_there_are():
    hotkeys = load_settings({"hotkeys.push_to_talk": "", "hotkeys.toggle": "F7", "hotkeys.abort": ""}).hotkeys
    assert [(each.name, each.pressed, each.released) for each in hotkeys.shortcuts()] == [("toggle", "toggle", "")]
    push, abort = load_settings().hotkeys.shortcuts()
    assert (push.pressed, push.released, abort.pressed, abort.released) == ("start", "stop", "abort", "")
