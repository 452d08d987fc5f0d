"""Which window a text is for: every policy, windows that are not known, prompts that come up meanwhile."""

import asyncio

import pytest

from v2m.application.aim import Aim, Sight
from v2m.domain.aiming import Move, choose, same_window
from v2m.domain.delivery import Deliver, Session, Window
from v2m.domain.policy import Manner, Policy, Rule
from v2m.infrastructure.desktop.memory import MemoryGuard, MemoryWindows

pytestmark = pytest.mark.unit

FOOT = Window("sway:1", "foot", "shell", 100)
FIREFOX = Window("sway:2", "firefox", "a page", 200)
PROMPT = Window("sway:3", "pinentry-gtk-2", "", 300)
SECRET = "A password prompt has the focus."


class Desktop:
    """A session that never changes."""

    async def current(self, hint):
        return Session({"WAYLAND_DISPLAY": "/run/wayland-1"}, "client")


class Scene:
    """An aim over a desktop in memory."""

    def __init__(self, when_moved="hold", now=None, rules=()):
        self.windows = MemoryWindows(now)
        self.guard = MemoryGuard(apps={PROMPT.app: SECRET})
        self.aim = Aim(
            sessions=Desktop(),
            windows=self.windows,
            guard=self.guard,
            policy=Policy(rules, Manner(newline="space", paste_key="")),
            when_moved=when_moved,
        )

    def remember(self, window):
        self.windows.now = window
        sight = Sight()
        asyncio.run(self.aim.remember({}, sight))
        return sight

    def take(self, now, sight=None, where=Deliver.TYPE, **how):
        self.windows.now = now
        return asyncio.run(self.aim.take({}, where, sight=sight, **how))


@pytest.mark.parametrize("when_moved", ["hold", "follow", "return"])
@pytest.mark.parametrize(("start", "now"), [(FOOT, FOOT), (None, FOOT), (FOOT, None), (None, None)])
def test_the_same_window_or_one_that_nobody_knows_is_typed_into(when_moved, start, now):
    scene = Scene(when_moved)
    aimed = scene.take(now, scene.remember(start))
    known = now if when_moved == "follow" else now or start
    assert (aimed.hold, aimed.secret, aimed.to.window) == ("", "", known)
    assert scene.windows.activated == []


def test_hold_keeps_what_was_spoken_for_another_window_and_says_which():
    scene = Scene("hold")
    aimed = scene.take(FIREFOX, scene.remember(FOOT))
    assert aimed.hold == "The recording started in foot; the focus is in firefox now."
    assert (aimed.secret, aimed.copyable) == ("", True)
    assert scene.windows.activated == []


def test_follow_goes_to_whatever_has_the_focus():
    scene = Scene("follow")
    aimed = scene.take(FIREFOX, scene.remember(FOOT))
    assert (aimed.hold, aimed.to.window) == ("", FIREFOX)


def test_return_gives_the_focus_back_first():
    scene = Scene("return")
    aimed = scene.take(FIREFOX, scene.remember(FOOT))
    assert (aimed.hold, aimed.to.window) == ("", FOOT)
    assert scene.windows.activated == [FOOT.id]


def test_return_to_a_window_that_is_gone_holds():
    scene = Scene("return")
    sight = scene.remember(FOOT)
    scene.windows.gone.add(FOOT.id)
    assert "started in foot" in scene.take(FIREFOX, sight).hold


def test_the_reason_tells_no_title():
    scene = Scene("hold")
    aimed = scene.take(Window("sway:9", "foot", "letter to my doctor"), scene.remember(FOOT))
    assert aimed.hold == "The recording started in another window of foot."


def test_without_a_recording_the_focused_window_is_meant():
    assert Scene("hold").take(FIREFOX).to.window == FIREFOX


@pytest.mark.parametrize("where", [Deliver.TYPE, Deliver.COPY])
def test_nothing_goes_to_a_window_that_asks_for_a_secret(where):
    scene = Scene()
    assert scene.take(PROMPT, where=where).secret == SECRET
    assert scene.take(PROMPT, scene.remember(PROMPT), where=where).secret == SECRET


@pytest.mark.parametrize("where", list(Deliver))
@pytest.mark.parametrize("now", [PROMPT, FOOT, None])
def test_what_was_begun_in_a_secret_field_is_kept_nowhere_wherever_the_focus_is_now(where, now):
    scene = Scene("follow")
    assert scene.take(now, scene.remember(PROMPT), where=where).secret == SECRET


@pytest.mark.parametrize("when_moved", ["hold", "return"])
def test_a_prompt_that_comes_up_meanwhile_gets_nothing_and_costs_no_words(when_moved):
    scene = Scene(when_moved)
    sight = scene.remember(FOOT)
    scene.windows.gone.add(FOOT.id)
    aimed = scene.take(PROMPT, sight)
    assert (aimed.hold, aimed.secret, aimed.copyable) == (SECRET, "", False)


def test_who_follows_the_focus_into_a_prompt_meant_the_prompt():
    scene = Scene("follow")
    assert scene.take(PROMPT, scene.remember(FOOT)).secret == SECRET


def test_a_field_that_became_secret_in_the_same_window_gets_nothing():
    scene = Scene("return")
    sight = scene.remember(FIREFOX)
    scene.guard.reason = "A password field has the focus."
    assert scene.take(FIREFOX, sight).secret == "A password field has the focus."
    assert scene.take(FOOT, sight).secret == "A password field has the focus."  # also after the way back


def test_what_will_not_be_typed_anyway_is_not_lost_to_a_lock_screen():
    scene = Scene("follow")
    sight = scene.remember(FOOT)
    scene.guard.reason = "The screen is locked."
    aimed = scene.take(FOOT, sight, held=True)
    assert (aimed.hold, aimed.copyable, aimed.secret) == ("The screen is locked.", False, "")


def test_the_manner_is_that_of_the_window_the_text_is_for():
    rules = [
        Rule(wishes=Manner(newline="newline", paste_key="ctrl+v"), apps=("firefox",)),
        Rule(wishes=Manner(casing="lower"), languages=("de",)),
    ]
    scene = Scene("hold", rules=rules)
    typed = scene.take(FIREFOX, language="de-AT")
    assert (typed.manner.newline, typed.manner.casing, typed.to.paste_key) == ("newline", "lower", "ctrl+v")
    held = scene.take(FOOT, scene.remember(FIREFOX))
    assert (held.manner.newline, bool(held.hold)) == ("newline", True)
    assert scene.take(FIREFOX, where=Deliver.COPY).manner.newline == "space"


def test_a_desktop_that_breaks_costs_no_recording():
    class Broken(MemoryWindows):
        async def focused(self, session):
            raise ZeroDivisionError

    scene = Scene()
    scene.aim._windows = Broken()
    sight = scene.remember(FOOT)
    assert (sight.window, sight.answered.is_set()) == (None, True)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (FOOT, FOOT, True),
        (FOOT, Window(FOOT.id, "foot", "another title", 100), True),
        (FOOT, Window(FOOT.id, "foot"), True),
        (FOOT, Window(FOOT.id, "foot", "shell", 101), False),  # a new compositor counts from the beginning
        (FOOT, FIREFOX, False),
    ],
)
def test_a_window_is_known_by_its_id_unless_that_was_given_anew(one, other, same):
    assert same_window(one, other) is same_window(other, one) is same
    assert (choose(one, other, "hold") is Move.GO) is same
