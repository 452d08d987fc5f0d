"""What was typed is taken back exactly or not at all, and every answer says what the fields hold."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.field import SESSION, WINDOWS, BlindEraser, FieldClipboard, FieldOutput, Fields, FieldWatch, SeeingEraser
from v2m.application.aim import Aim
from v2m.application.announce import Announcer
from v2m.application.deliver import Deliverer
from v2m.application.handover import Handover
from v2m.application.ledger import Ledger
from v2m.application.second_thoughts import SecondThoughts, Version
from v2m.core.events import EventBus
from v2m.domain.delivery import LONGEST_UNDO_S, Certainty, Deliver, Delivery, Destination, Placed
from v2m.domain.dictation import FINAL, HistoryEntry, Phase
from v2m.domain.errors import OutputError, ProtocolError, StateError
from v2m.domain.policy import Manner, Policy
from v2m.infrastructure.desktop.memory import MemoryGuard, MemoryNotifier
from v2m.infrastructure.history.memory import MemoryHistory

pytestmark = pytest.mark.unit

RAW, TEXT = "so we meet on thursday", "We meet on Thursday."


class Scene:
    """The application's own parts around fields that are strings."""

    def __init__(self, *, sees=True, blind=True, output=FieldOutput):
        self.fields, self.events, self.history = Fields(), EventBus(), MemoryHistory()
        self.guard, self.now_s = MemoryGuard(), 0.0
        self.watch = FieldWatch(self.fields)
        ledger = Ledger(self.history, on_trouble=pytest.fail)
        manner = Manner(outputs=None, paste_key="", newline="space", casing="keep", trailing_space=False, submit=False)
        aim = Aim(
            sessions=self.fields,
            windows=self.fields,
            guard=self.guard,
            policy=Policy([], manner),
            when_moved="hold",
        )
        deliverer = Deliverer(
            outputs=[output(self.fields)],
            clipboard=FieldClipboard(self.fields),
            sessions=self.fields,
            windows=self.fields,
            on_typing=self._typing,
            on_placed=self._placed,
        )
        self.announcer = Announcer(MemoryNotifier())
        self.handover = Handover(
            aim=aim,
            deliverer=deliverer,
            ledger=ledger,
            events=self.events,
            announcer=self.announcer,
            spools=None,
            turn=asyncio.Lock(),
        )
        erasers = [SeeingEraser(self.fields)] * sees + [BlindEraser(self.fields)] * blind
        self.thoughts = SecondThoughts(
            erasers=erasers,
            watch=self.watch,
            windows=self.fields,
            sessions=self.fields,
            handover=self.handover,
            deliverer=deliverer,
            ledger=ledger,
            history=self.history,
            events=self.events,
            clock=lambda: self.now_s,
        )

    async def dictate(self):
        """Bring a dictation to the focused field; return its id and how that went."""
        number = self.history.next_id()
        await self.history.begin(HistoryEntry(number, 1, Phase.RECORDING))
        await self.history.move(number, Phase.CAPTURED)
        await self.history.move(number, Phase.TRANSCRIBED, raw=RAW, text=TEXT)
        delivery = await self.handover.again(number, TEXT, Deliver.TYPE, {})
        return number, delivery

    async def _typing(self, session):
        await self.thoughts.typing(session)

    async def _placed(self, placed):
        await self.thoughts.remember(placed)

    async def begun(self):
        """Return once the desktop has let the watch begin."""
        before = len(self.watch.sessions)
        while len(self.watch.sessions) == before:
            await asyncio.sleep(0)

    async def row(self, number):
        return await self.history.get(number)


@asynccontextmanager
async def running(**options):
    scene = Scene(**options)
    async with asyncio.TaskGroup() as group:
        job = group.create_task(scene.thoughts.run())
        yield scene
        job.cancel()


def play(scenario, **options):
    async def main():
        async with running(**options) as scene:
            await scenario(scene)

    asyncio.run(main())


# --- taking back ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sees", "certainty"), [(True, Certainty.CONFIRMED), (False, Certainty.SENT)])
def test_undo_removes_the_text_and_nothing_else_and_again_types_it_anew(sees, certainty):
    async def scenario(scene):
        scene.fields.press("Before: ")
        number, _ = await scene.dictate()
        with scene.events.subscribe(frozenset({"undone"})) as heard:
            removal = await scene.thoughts.undo({})
            heard.close()
            (event,) = [frame["data"] async for frame in heard]
        assert scene.fields.text == "Before: "
        assert (removal.dictation, removal.certainty, removal.characters) == (number, certainty, len(TEXT))
        assert event == {"dictation": number, "method": removal.method, "certainty": certainty.value}
        row = await scene.row(number)
        assert (row.phase, row.characters, row.text) == (Phase.HELD, 0, TEXT)
        assert "taken back" in row.reason
        await scene.handover.again(number, row.text, Deliver.TYPE, {})
        assert scene.fields.text == "Before: " + TEXT
        assert (await scene.row(number)).phase is Phase.DELIVERED

    play(scenario, sees=sees)


async def _nothing(scene):
    return "Nothing was typed"


async def _undone(scene):
    await scene.dictate()
    await scene.thoughts.undo({})
    return "Nothing was typed"


async def _uncertain(scene):
    scene.fields.breaks_at, scene.fields.counts = 4, False
    await scene.dictate()
    return "not known exactly"


async def _late(scene):
    await scene.dictate()
    scene.now_s = LONGEST_UNDO_S + 1
    return "too long ago"


async def _elsewhere(scene):
    await scene.dictate()
    scene.fields.now = WINDOWS[1]
    return "Another window"


async def _pressed(scene):
    await scene.dictate()
    scene.fields.press("!")
    return "pressed"


async def _blind(scene):
    await scene.dictate()
    scene.fields.shows = scene.fields.tells = False
    return "not certain"


async def _changed(scene):
    await scene.dictate()
    scene.fields.tells = False
    scene.fields.text = "something else"
    return "Something else"


async def _filed(scene):
    await scene.thoughts.remember(
        Placed(None, TEXT, Delivery("file", Certainty.CONFIRMED, len(TEXT)), Destination(SESSION, WINDOWS[0]))
    )
    return "not typed into a window"


async def _other_session(scene):
    await scene.dictate()
    await scene.thoughts.remember(
        Placed(None, TEXT, Delivery("keys", Certainty.SENT, len(TEXT)), Destination(type(SESSION)({"DISPLAY": ":9"})))
    )
    return "another desktop session"


REFUSALS = [
    _nothing, _undone, _uncertain, _late, _elsewhere, _pressed, _blind, _changed, _filed, _other_session
]  # fmt: skip


@pytest.mark.parametrize("arrange", REFUSALS, ids=lambda arrange: arrange.__name__.strip("_"))
def test_a_refusal_says_why_and_touches_nothing(arrange):
    async def scenario(scene):
        why = await arrange(scene)
        before = dict(scene.fields.contents)
        rows = [(row.phase, row.certainty, row.characters) for row in await scene.history.entries()]
        with pytest.raises(StateError, match=why):
            await scene.thoughts.undo({})
        assert scene.fields.contents == before
        assert [(row.phase, row.certainty, row.characters) for row in await scene.history.entries()] == rows

    play(scenario)


def test_keys_are_not_tried_where_the_window_is_seen_to_hold_something_else():
    async def scenario(scene):
        await scene.dictate()
        scene.fields.text = "0123456789" * 5
        with pytest.raises(StateError, match="Something else"):
            await scene.thoughts.undo({})
        assert scene.fields.text == "0123456789" * 5

    play(scenario)


def test_a_key_between_the_first_of_ours_and_the_answer_is_noticed():
    class Hasty(FieldOutput):
        async def deliver(self, text, to):
            delivery = await super().deliver(text, to)
            self.fields.press("x")
            return delivery

    async def scenario(scene):
        await scene.handover.type(TEXT, Deliver.TYPE, {})
        with pytest.raises(StateError, match="pressed since"):
            await scene.thoughts.undo({})
        assert scene.fields.text == TEXT + "x"

    play(scenario, sees=False, output=Hasty)


def test_where_the_watch_had_not_begun_in_time_keys_remove_nothing_then_or_later(monkeypatch):
    monkeypatch.setattr("v2m.application.second_thoughts.READY_S", 0.01)

    async def scenario(scene):
        scene.watch.answers.clear()
        await scene.handover.type(TEXT, Deliver.TYPE, {})
        assert scene.fields.text == TEXT
        with pytest.raises(StateError, match="not certain"):
            await scene.thoughts.undo({})
        scene.watch.answers.set()
        await scene.begun()
        with pytest.raises(StateError, match="not certain"):
            await scene.thoughts.undo({})
        assert scene.fields.text == TEXT
        scene.fields.text = ""
        await scene.handover.type(TEXT, Deliver.TYPE, {})
        await scene.thoughts.undo({})
        assert scene.fields.text == ""

    play(scenario, sees=False)


def test_a_removal_that_broke_off_is_uncertain_and_the_text_is_on_the_clipboard():
    async def scenario(scene):
        number, _ = await scene.dictate()
        scene.fields.breaks_at = 3
        with pytest.raises(OutputError, match="Perhaps only a part"):
            await scene.thoughts.undo({})
        assert scene.fields.text == TEXT[:-3]
        assert scene.fields.clipboard == TEXT
        assert (await scene.row(number)).phase is Phase.UNCERTAIN
        with pytest.raises(StateError):
            await scene.thoughts.undo({})
        assert scene.fields.text == TEXT[:-3]

    play(scenario)


# --- other versions ---------------------------------------------------------------------------------


def test_raw_and_refined_take_each_others_place():
    async def scenario(scene):
        scene.fields.press("> ")
        await scene.dictate()
        for version, text in [(Version.RAW, RAW), (Version.REFINED, TEXT), (Version.RAW, RAW)]:
            swap = await scene.thoughts.swap(version, {})
            assert (scene.fields.text, swap.text, swap.taken_back) == ("> " + text, text, True)
            row = await scene.row(swap.dictation)
            assert (row.phase, row.certainty, row.characters) == (Phase.DELIVERED, Certainty.SENT, len(text))
            with pytest.raises(StateError, match="is what was typed"):
                await scene.thoughts.swap(version, {})
        assert scene.fields.clipboard == ""

    play(scenario)


@pytest.mark.parametrize("arrange", [_undone, _uncertain, _late, _elsewhere, _pressed, _blind, _changed])
def test_a_version_that_cannot_take_the_place_goes_to_the_clipboard_and_the_answer_says_so(arrange):
    async def scenario(scene):
        why = await arrange(scene)
        before = dict(scene.fields.contents)
        swap = await scene.thoughts.swap(Version.RAW, {})
        assert scene.fields.contents == before
        assert (scene.fields.clipboard, swap.taken_back, swap.delivery.certainty) == (RAW, False, Certainty.HELD)
        assert "The raw text is on the clipboard." in swap.delivery.detail
        assert why in swap.delivery.detail or arrange is _undone

    play(scenario)


def test_a_version_of_an_older_dictation_is_not_swapped_for_that_of_the_newest():
    async def scenario(scene):
        await scene.dictate()
        scene.fields.breaks_at = 0
        await scene.dictate()  # held
        before = scene.fields.text
        swap = await scene.thoughts.swap(Version.RAW, {})
        assert (scene.fields.text, swap.taken_back, scene.fields.clipboard) == (before, False, RAW)

    play(scenario)


def test_without_a_dictation_there_is_no_version():
    async def scenario(scene):
        with pytest.raises(ProtocolError, match="no dictation"):
            await scene.thoughts.swap(Version.RAW, {})

    play(scenario)


def test_a_password_prompt_gets_no_version_and_loses_nothing():
    async def scenario(scene):
        await scene.dictate()
        scene.guard.reason = "A password prompt has the focus."
        with pytest.raises(OutputError, match="password"):
            await scene.thoughts.swap(Version.RAW, {})
        assert (scene.fields.text, scene.fields.clipboard) == (TEXT, "")

    play(scenario)


def test_a_version_for_a_window_that_lost_the_focus_meanwhile_is_held_and_its_row_says_so():
    class Leaving(BlindEraser):
        async def erase(self, text, to):
            removed = await super().erase(text, to)
            self.fields.now = WINDOWS[1]
            return removed

    async def scenario(scene):
        number, _ = await scene.dictate()
        scene.thoughts._erasers = (Leaving(scene.fields),)
        swap = await scene.thoughts.swap(Version.RAW, {})
        row = await scene.row(number)
        assert (row.phase, row.certainty, row.characters) == (Phase.HELD, Certainty.HELD, 0)
        assert (swap.delivery.certainty, swap.delivery.copied, scene.fields.clipboard) == (Certainty.HELD, True, RAW)
        assert row.reason == swap.delivery.detail
        assert "mail" in row.reason
        assert scene.fields.contents == {window.id: "" for window in WINDOWS}

    play(scenario)


# --- any order --------------------------------------------------------------------------------------

DONE = ["dictate", "undo", "raw", "refined", "again"]
HAPPENS = ["key", "focus", "hide", "mute"]
STEPS = st.one_of(st.sampled_from(DONE), st.sampled_from([*DONE, *HAPPENS]))
FAULTS = st.one_of(*[st.none()] * 5, st.tuples(st.integers(0, 25), st.booleans()))


@settings(max_examples=300, deadline=None)
@given(steps=st.lists(st.tuples(STEPS, FAULTS), max_size=14), sees=st.booleans(), blind=st.booleans())
def test_in_any_order_the_fields_hold_what_the_answers_said(steps, sees, blind):
    async def scenario(scene):
        await scene.dictate()
        for step, fault in steps:
            await _step(scene, step, fault)

    play(scenario, sees=sees, blind=blind)


async def _step(scene, step, fault):
    fields = scene.fields
    if fault is not None:
        fields.breaks_at, fields.counts = fault
    before, other = fields.text, fields.contents.copy()
    other.pop(fields.now.id)
    if step == "dictate":
        _, delivery = await scene.dictate()
        _check_typed(fields, before, TEXT, delivery)
    elif step == "again":
        entry = await scene.history.get(None)
        if entry is not None:
            delivery = await scene.handover.again(entry.dictation, entry.text, Deliver.TYPE, {})
            _check_typed(fields, before, entry.text, delivery)
    elif step == "undo":
        await _check_undo(scene, before)
    elif step in ("raw", "refined"):
        await _check_swap(scene, before, Version(step))
    else:
        _happen(fields, step)
        return
    fields.breaks_at = None
    assert {key: text for key, text in fields.contents.items() if key != fields.now.id} == other


def _happen(fields, step):
    fields.breaks_at = None
    if step == "key":
        fields.press("x")
    elif step == "focus":
        fields.now = WINDOWS[fields.now is WINDOWS[0]]
    elif step == "hide":
        fields.shows = not fields.shows
    elif not fields.pressed:  # a desktop that stops telling
        fields.tells = not fields.tells


def _check_typed(fields, before, text, delivery):
    now = fields.text
    assert now.startswith(before)
    assert text.startswith(now[len(before) :])
    if delivery.certainty in (Certainty.SENT, Certainty.CONFIRMED):
        assert now == before + text
    if delivery.certainty is Certainty.HELD:
        assert (now, fields.clipboard) == (before, text)


async def _check_undo(scene, before):
    fields = scene.fields
    try:
        removal = await scene.thoughts.undo({})
    except StateError:
        assert fields.text == before
    except OutputError:
        assert before.startswith(fields.text)
        assert len(before) - len(fields.text) < max(len(RAW), len(TEXT))
    else:
        assert fields.text == before[: -removal.characters]
        assert before[-removal.characters :] in (RAW, TEXT)


async def _check_swap(scene, before, version):
    fields, text = scene.fields, RAW if version is Version.RAW else TEXT
    try:
        swap = await scene.thoughts.swap(version, {})
    except (StateError, ProtocolError):
        assert fields.text == before
        return
    assert swap.text == text
    if swap.taken_back:
        base = before[: -len(RAW)] if before.endswith(RAW) else before[: -len(TEXT)]
        _check_typed(fields, base, text, swap.delivery)
        row = await scene.row(swap.dictation)
        assert row.phase in FINAL
        assert (row.certainty, row.characters) == (swap.delivery.certainty, swap.delivery.characters)
    else:
        assert before.startswith(fields.text)
        assert (fields.clipboard, swap.delivery.certainty) == (text, Certainty.HELD)
