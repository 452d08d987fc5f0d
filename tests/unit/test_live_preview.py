"""The preview follows one recording, and is away whenever something is typed."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from v2m.application.preview import LivePreview, Turn
from v2m.core.events import EventBus
from v2m.domain.delivery import Session, Window
from v2m.domain.events import Delivered, Discarded, Failed, Held, Partial, StateChanged, Suppressed
from v2m.infrastructure.desktop.memory import MemoryGuard, MemoryWindows

pytestmark = pytest.mark.unit


class Shown:
    """What the field shows now, and everything it showed."""

    def __init__(self):
        self.now, self.all, self.changed = "", [], asyncio.Event()

    async def tidy(self, session):
        assert session.wayland

    async def show(self, text, to):
        await asyncio.sleep(0)
        self.now = text
        self.all.append((text, to.window.id))
        self.changed.set()

    async def hide(self):
        await asyncio.sleep(0)
        self.now = ""
        self.changed.set()

    async def wait(self, text):
        async with asyncio.timeout(5):
            while self.now != text:
                self.changed.clear()
                await self.changed.wait()


class Sessions:
    async def current(self, hint):
        return Session({"WAYLAND_DISPLAY": "/run/wayland-1"})


class Scene:
    def __init__(self):
        self.events, self.shown, self.guard = EventBus(), Shown(), MemoryGuard()
        self.preview = LivePreview(
            preview=self.shown,
            events=self.events,
            sessions=Sessions(),
            windows=MemoryWindows(Window("sway:1", "editor")),
            guard=self.guard,
        )
        self.turn = Turn(self.preview, asyncio.Lock())

    def record(self, dictation):
        self.events.publish(StateChanged("recording", 0, dictation))

    def hear(self, dictation, text):
        self.events.publish(Partial(dictation, text, 0, final=False))

    async def quiet(self):
        for _ in range(20):
            await asyncio.sleep(0)


@asynccontextmanager
async def running():
    scene = Scene()
    async with asyncio.TaskGroup() as group:
        job = group.create_task(scene.preview.run())
        await scene.quiet()
        yield scene
        job.cancel()


def play(scenario):
    async def main():
        async with running() as scene:
            await scenario(scene)

    asyncio.run(main())


def test_what_is_heard_is_shown_in_the_focused_window_and_stays_while_it_is_transcribed():
    async def scenario(scene):
        scene.record(1)
        scene.hear(1, "we meet")
        await scene.shown.wait("we meet")
        scene.hear(1, "we meet on Thursday")
        await scene.shown.wait("we meet on Thursday")
        scene.events.publish(StateChanged("transcribing", 1, None))
        await scene.quiet()
        assert scene.shown.now == "we meet on Thursday"
        assert {window for _, window in scene.shown.all} == {"sway:1"}

    play(scenario)


@pytest.mark.parametrize(
    "end",
    [
        Discarded(1, "aborted"),
        Suppressed(1, "no speech was found"),
        Failed(1, "engine_failed", "The engine broke."),
        Held(1, "Another window has the focus."),
        Delivered(1, "keys", False, "sent"),
        Partial(1, "we meet", 7, final=True),
        StateChanged("recording", 1, 2),
    ],
    ids=lambda event: type(event).__name__,
)
def test_it_is_taken_away_at_every_end(end):
    async def scenario(scene):
        scene.record(1)
        scene.hear(1, "we")
        await scene.shown.wait("we")
        scene.events.publish(end)
        await scene.shown.wait("")
        scene.hear(1, "too late")
        await scene.quiet()
        assert scene.shown.now == ""

    play(scenario)


def test_it_is_away_while_somebody_types_and_comes_back_with_the_next_words_only():
    async def scenario(scene):
        scene.record(1)
        scene.hear(1, "one")
        await scene.shown.wait("one")
        async with scene.turn:
            assert scene.shown.now == ""
            scene.hear(1, "one two")
            await scene.quiet()
            assert scene.shown.now == ""
        await scene.quiet()
        assert scene.shown.now == ""
        scene.hear(1, "one two three")
        await scene.shown.wait("one two three")

    play(scenario)


def test_words_of_a_recording_that_is_delivered_do_not_come_back():
    async def scenario(scene):
        scene.record(1)
        scene.hear(1, "one")
        scene.events.publish(Partial(1, "One.", 4, final=True))
        async with scene.turn:
            await scene.quiet()
        await scene.quiet()
        assert scene.shown.now == ""

    play(scenario)


def test_nothing_is_shown_where_a_secret_is_asked_for():
    async def scenario(scene):
        scene.guard.reason = "The focused field is a password field."
        scene.record(1)
        scene.hear(1, "my secret")
        await scene.quiet()
        assert scene.shown.all == []
        scene.guard.reason = ""
        scene.record(2)
        scene.hear(2, "hello")
        await scene.shown.wait("hello")

    play(scenario)


def test_turns_are_taken_one_at_a_time():
    async def scenario(scene):
        order = []

        async def take(name):
            async with scene.turn:
                order.append(name)
                await scene.quiet()
                order.append(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(take("a"))
            group.create_task(take("b"))
        assert order in (["a", "a", "b", "b"], ["b", "b", "a", "a"])

    play(scenario)
