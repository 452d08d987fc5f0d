"""The rules per application: v2m's own as they are packaged, how rules are found, and what they never allow."""

import re
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from v2m.config import load_settings
from v2m.core.di.policy import make_policy
from v2m.domain.applications import ROLES, RoleName, names_of, role_of
from v2m.domain.chords import parse_chord
from v2m.domain.policy import NO_RETURN, Decision, Manner, Policy, Rule, Target, worded

pytestmark = pytest.mark.unit

PLAIN = Manner(paste_key="", newline="space", casing="keep", trailing_space=False, refine=True, submit=False)


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """The rules that come with v2m, and nothing of a user's."""
    nothing = tmp_path_factory.mktemp("settings") / "config.toml"
    nothing.touch()
    return make_policy(load_settings(config_file=nothing))


# --- what is packaged ---------------------------------------------------------------------------------

# An application, what it is taken for, how it pastes, what a line break is typed as.
GOLDEN = """
    foot                            terminal  ctrl+shift+v  space
    footclient                      terminal  ctrl+shift+v  space
    Alacritty                       terminal  ctrl+shift+v  space
    kitty                           terminal  ctrl+shift+v  space
    org.wezfurlong.wezterm          terminal  ctrl+shift+v  space
    com.mitchellh.ghostty           terminal  ctrl+shift+v  space
    org.gnome.Terminal              terminal  ctrl+shift+v  space
    gnome-terminal-server           terminal  ctrl+shift+v  space
    Gnome-terminal                  terminal  ctrl+shift+v  space
    org.gnome.Console               terminal  ctrl+shift+v  space
    org.gnome.Ptyxis                terminal  ctrl+shift+v  space
    org.kde.konsole                 terminal  ctrl+shift+v  space
    konsole                         terminal  ctrl+shift+v  space
    xfce4-terminal                  terminal  ctrl+shift+v  space
    Terminator                      terminal  ctrl+shift+v  space
    Tilix                           terminal  ctrl+shift+v  space
    io.elementary.terminal          terminal  ctrl+shift+v  space
    Lxterminal                      terminal  ctrl+shift+v  space
    Mate-terminal                   terminal  ctrl+shift+v  space
    XTerm                           terminal  shift+insert  space
    UXTerm                          terminal  shift+insert  space
    URxvt                           terminal  shift+insert  space
    st-256color                     terminal  shift+insert  space
    Emacs                           ide       shift+insert  space
    org.gnu.emacs                   ide       shift+insert  space
    Gvim                            ide       shift+insert  space
    neovide                         ide       shift+insert  space
    Code                            ide       ctrl+v        space
    com.visualstudio.code           ide       ctrl+v        space
    code-oss                        ide       ctrl+v        space
    VSCodium                        ide       ctrl+v        space
    dev.zed.Zed                     ide       ctrl+v        space
    jetbrains-idea                  ide       ctrl+v        space
    org.kde.kate                    ide       ctrl+v        space
    org.gnome.gedit                 editor    ctrl+v        newline
    org.gnome.TextEditor            editor    ctrl+v        newline
    gnome-text-editor               editor    ctrl+v        newline
    org.kde.kwrite                  editor    ctrl+v        newline
    Mousepad                        editor    ctrl+v        newline
    Sublime_text                    editor    ctrl+v        newline
    obsidian                        editor    ctrl+v        newline
    libreoffice-writer              office    ctrl+v        space
    thunderbird                     mail      ctrl+v        space
    org.mozilla.Thunderbird         mail      ctrl+v        space
    Slack                           chat      ctrl+v        space
    com.slack.Slack                 chat      ctrl+v        space
    discord                         chat      ctrl+v        space
    com.discordapp.Discord          chat      ctrl+v        space
    org.telegram.desktop            chat      ctrl+v        space
    TelegramDesktop                 chat      ctrl+v        space
    im.riot.Riot                    chat      ctrl+v        space
    org.signal.Signal               chat      ctrl+v        space
    Microsoft Teams - Preview       chat      ctrl+v        space
    firefox                         browser   ctrl+v        space
    org.mozilla.firefox             browser   ctrl+v        space
    firefox-esr                     browser   ctrl+v        space
    Google-chrome                   browser   ctrl+v        space
    Chromium-browser                browser   ctrl+v        space
    some.unknown.thing              -         ctrl+v        space
    krita                           -         ctrl+v        space
    -                               -         shift+insert  space
"""


@pytest.mark.parametrize("line", [line.strip() for line in GOLDEN.strip().splitlines()])
def test_every_application_gets_what_is_right_there(packaged: Policy, line: str) -> None:
    *app, role, paste_key, newline = ("" if word == "-" else word for word in line.rsplit(maxsplit=3))
    decision = packaged.decide(Target(app=app[0]))
    found = (decision.role, decision.manner.paste_key, decision.manner.newline)
    assert found == (role, paste_key, newline)
    # Nothing else differs from application to application as long as the user wishes nothing.
    assert replace(decision.manner, paste_key="", newline="space", language=None) == PLAIN


def test_the_packaged_rules_never_submit_and_choose_no_way_of_typing(packaged: Policy) -> None:
    for app in [*(name.replace("*", "x") for names in ROLES.values() for name in names), "", "unknown"]:
        decision = packaged.decide(Target(app=app))
        assert (decision.manner.submit, decision.manner.outputs) == (False, None)
        assert None not in {
            value for name, value in ((n, getattr(decision.manner, n)) for n in ("paste_key", "casing", "newline"))
        }
        assert parse_chord(decision.manner.paste_key or "").modifiers


def test_each_packaged_rule_that_has_a_say_is_named(packaged: Policy) -> None:
    first, second = packaged.decide(Target(app="xterm")).reasons
    assert re.fullmatch(r"v2m's rule 1 \(app [^)]* or xterm\): paste_key shift\+insert\.", first)
    assert second == "v2m's rule 2 (role terminal): newline space."
    assert packaged.decide(Target()).reasons == ("v2m's rule 7 (everywhere): paste_key shift+insert.",)


def test_every_name_is_small_and_known_by_one_role() -> None:
    assert tuple(ROLES) == get_args(RoleName)
    for role, patterns in ROLES.items():
        for pattern in patterns:
            assert pattern == pattern.lower()
            assert role_of(pattern.replace("*", "x")) == role, pattern


@pytest.mark.parametrize(
    ("app", "names"),
    [
        ("foot", ("foot",)),
        ("org.kde.Konsole", ("org.kde.konsole", "konsole")),
        ("rocket.chat", ("rocket.chat",)),
        ("a.b.", ("a.b.",)),
        (" Foot ", ("foot",)),
        ("", ("",)),
    ],
)
def test_names_of_an_application(app: str, names: tuple[str, ...]) -> None:
    assert names_of(app) == names


@pytest.mark.parametrize("app", ["", "scratch"])
def test_an_unknown_window_may_be_a_terminal_and_gets_no_line_break(app: str) -> None:
    everywhere = Rule(wishes=Manner(newline="newline"), apps=("*",))
    for rules in ((), (everywhere,)):
        decision = Policy(rules, replace(PLAIN, newline="newline")).decide(Target(app=app))
        assert decision.manner.newline == "space"
        assert decision.reasons[-1].startswith("A line break is a space")
    named = Rule(wishes=Manner(newline="newline"), apps=("scr*",))
    assert Policy((named,), PLAIN).decide(Target(app="scratch")).manner.newline == "newline"


def test_what_the_settings_say_holds_where_no_rule_does(tmp_path: Path) -> None:
    nothing = tmp_path / "config.toml"
    nothing.touch()
    wishes = {"output.newline": "newline", "output.trailing_space": True}
    policy = make_policy(load_settings(wishes, config_file=nothing))
    assert policy.decide(Target(app="firefox")).manner.newline == "newline"
    assert policy.decide(Target(app="foot")).manner.newline == "space"
    assert policy.decide(Target(app="slack")).manner.newline == "space"
    assert policy.decide(Target(app="code")).manner.newline == "space"
    assert policy.decide(Target(app="foot")).manner.trailing_space is True


# --- how rules are found ------------------------------------------------------------------------------


def decide(*rules: Rule, **target: str) -> Decision:
    return Policy(rules, PLAIN).decide(Target(**target))


def test_the_first_rule_that_wishes_a_thing_wins_and_others_fill_in_the_rest() -> None:
    first = Rule(wishes=Manner(casing="lower"), apps=("foot",), origin="one")
    second = Rule(wishes=Manner(casing="upper", trailing_space=True), origin="two")
    third = Rule(wishes=Manner(trailing_space=False, casing="sentence"), origin="three")
    decision = decide(first, second, third, app="foot")
    assert (decision.manner.casing, decision.manner.trailing_space) == ("lower", True)
    assert decision.reasons == ("one (app foot): casing lower.", "two (everywhere): trailing_space yes.")


@pytest.mark.parametrize(
    ("conditions", "target", "holds"),
    [
        ({}, {}, True),
        ({"apps": ("foo*",)}, {"app": "FOOT"}, True),
        ({"apps": ("FOOT",)}, {"app": "foot"}, True),
        ({"apps": ("konsole",)}, {"app": "org.kde.konsole"}, True),
        ({"apps": ("org.kde.*",)}, {"app": "org.kde.konsole"}, True),
        ({"apps": ("foot",)}, {"app": "footclient"}, False),
        ({"apps": ("foot", "kitty")}, {"app": "kitty"}, True),
        ({"apps": ("?*",)}, {"app": ""}, False),
        ({"apps": ("*",)}, {"app": ""}, True),
        ({"titles": ("*Gmail*",)}, {"title": "Inbox - Gmail - Firefox"}, True),
        ({"titles": ("*gmail*",)}, {"title": "Inbox - Gmail - Firefox"}, False),
        ({"roles": ("terminal",)}, {"app": "foot"}, True),
        ({"roles": ("terminal",)}, {"app": "krita"}, False),
        ({"roles": ("terminal",)}, {"app": "krita", "role": "terminal"}, True),
        ({"roles": ("chat", "mail")}, {"app": "thunderbird"}, True),
        ({"languages": ("de",)}, {"language": "de-AT"}, True),
        ({"languages": ("de",)}, {"language": "DE"}, True),
        ({"languages": ("de-at",)}, {"language": "de-AT"}, True),
        ({"languages": ("de-AT",)}, {"language": "de"}, False),
        ({"languages": ("de",)}, {"language": ""}, False),
        ({"languages": ("de",)}, {"language": "auto"}, False),
        ({"apps": ("foot",), "titles": ("ssh*",)}, {"app": "foot", "title": "ssh host"}, True),
        ({"apps": ("foot",), "titles": ("ssh*",)}, {"app": "foot", "title": "vim"}, False),
        ({"apps": ("foot",), "languages": ("de",)}, {"app": "foot", "language": "en"}, False),
    ],
)
def test_all_given_conditions_must_hold(
    conditions: dict[str, tuple[str, ...]], target: dict[str, str], holds: bool
) -> None:
    decision = decide(Rule(wishes=Manner(casing="upper"), **conditions), **target)
    assert (decision.manner.casing == "upper") is holds
    assert bool(decision.reasons) is holds


def test_a_wish_for_the_empty_or_the_false_is_a_wish() -> None:
    rules = (
        Rule(wishes=Manner(paste_key="", submit=False, refine=False)),
        Rule(wishes=Manner(paste_key="ctrl+v", submit=True, refine=True)),
    )
    manner = decide(*rules).manner
    assert (manner.paste_key, manner.submit, manner.refine) == ("", False, False)


def test_ways_of_typing_are_said_in_words() -> None:
    rule = Rule(wishes=Manner(outputs=("paste", "wtype"), paste_key=""), roles=("chat",), origin="mine")
    assert decide(rule, app="slack").reasons == ("mine (role chat): outputs paste, wtype, paste_key none.",)


def test_no_rule_makes_a_line_break_in_a_terminal_but_submitting_can_be_asked_for() -> None:
    rule = Rule(wishes=Manner(newline="newline", submit=True), origin="mine")
    decision = decide(rule, app="foot")
    assert (decision.manner.newline, decision.manner.submit) == ("space", True)
    assert decision.reasons == ("mine (everywhere): newline newline, submit yes.", NO_RETURN)
    by_setting = Policy((), replace(PLAIN, newline="newline")).decide(Target(role="terminal"))
    assert by_setting.manner.newline == "space"


def test_casing_knows_the_language_of_the_dictation() -> None:
    rule = Rule(wishes=Manner(casing="upper"), languages=("tr",))
    assert worded("istanbul", decide(rule, language="tr").manner) == "İSTANBUL"
    assert worded("istanbul", decide(rule, language="en").manner) == "istanbul"


# --- what is typed ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wishes", "text", "typed"),
    [
        (Manner(), "one\ntwo", "one two"),
        (Manner(newline="space"), "one\n\ntwo\n", "one two"),
        (Manner(newline="newline"), "one\n\ntwo\n", "one\ntwo"),
        (Manner(trailing_space=True), "one", "one "),
        (Manner(trailing_space=True), "one ", "one "),
        (Manner(trailing_space=True), "\x07", ""),
        (Manner(casing="lower", newline="newline"), "ONE\nTwo", "one\ntwo"),
        (Manner(casing="sentence", newline="newline"), "one\ntwo", "One\nTwo"),
        (Manner(casing="sentence"), "one\ntwo", "One two"),
        (Manner(casing="upper"), "rm -rf \x1b[2J", "RM -RF [2J"),
        (Manner(submit=True), "ls", "ls"),  # Enter is no character of the text
    ],
)
def test_worded(wishes: Manner, text: str, typed: str) -> None:
    assert worded(text, wishes) == typed


MANNERS = st.builds(
    Manner,
    newline=st.sampled_from([None, "space", "newline"]),
    casing=st.sampled_from([None, "keep", "lower", "sentence", "upper"]),
    trailing_space=st.sampled_from([None, False, True]),
    language=st.sampled_from([None, "", "en", "tr"]),
)


@given(st.text(), MANNERS)
@example("ŉ\u0345\u0301", Manner(casing="upper", trailing_space=True))
def test_worded_twice_is_worded_once(text: str, manner: Manner) -> None:
    once = worded(text, manner)
    assert worded(once, manner) == once


@given(st.text(), MANNERS)
def test_never_a_control_character_nor_a_line_break_that_is_not_wished(text: str, manner: Manner) -> None:
    typed = worded(text, manner)
    allowed = "\n" if manner.newline == "newline" else ""
    rest = typed.replace("\n", "") if allowed else typed
    assert all(unicodedata.category(character) not in ("Cc", "Cs", "Cn", "Co") for character in rest)
    assert not typed.startswith("\n")
    assert not typed.endswith("\n")


RULES = st.lists(
    st.builds(
        Rule,
        wishes=st.builds(
            Manner,
            newline=st.sampled_from([None, "space", "newline"]),
            casing=st.sampled_from([None, "lower", "upper"]),
            submit=st.sampled_from([None, True]),
        ),
        apps=st.sampled_from([(), ("foot",), ("k*",)]),
        roles=st.sampled_from([(), ("terminal",), ("editor",)]),
    )
)


@given(RULES, st.sampled_from(["foot", "kitty", "org.gnome.gedit", "krita", ""]), st.text())
def test_whatever_the_rules_a_terminal_gets_no_return_and_submitting_is_a_rules_wish(
    rules: list[Rule], app: str, text: str
) -> None:
    decision = Policy(rules, PLAIN).decide(Target(app=app))
    manner = decision.manner
    if decision.role == "terminal":
        assert "\n" not in worded(text, manner)
    if manner.submit:
        assert any(rule.wishes.submit and rule.holds(Target(app, role=decision.role)) for rule in rules)
    assert {manner.newline, manner.casing, manner.trailing_space, manner.refine, manner.submit}.isdisjoint({None})
