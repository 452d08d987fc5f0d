"""The chain of outputs: whatever breaks and wherever, no character is typed twice and the ledger never overstates."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.exclusive import Exclusive
from v2m.application.deliver import Deliverer
from v2m.application.survey import BUSY
from v2m.domain.delivery import Certainty, Deliver, Delivery, Destination, Session, Window
from v2m.domain.errors import OutputError, OutputReason
from v2m.domain.policy import Manner
from v2m.domain.ports import AtBest, Availability
from v2m.infrastructure.desktop.memory import MemoryWindows
from v2m.infrastructure.output.memory import MemoryOutput

pytestmark = pytest.mark.unit

DESKTOP = Session({"WAYLAND_DISPLAY": "/run/wayland-1"}, "client")
FOOT, FIREFOX = Window("sway:1", "foot"), Window("sway:2", "firefox")
TEXT = "Grüße, 你好 😀 and more."


class Desk:
    async def current(self, hint):
        return DESKTOP


def deliver(outputs, text=TEXT, *, manner=Manner(), where=Deliver.TYPE, windows=None, clipboard=None, **how):  # noqa: B008
    """Return the delivery, what the clipboard got, and what was placed."""
    clipboard = clipboard or MemoryOutput(name="clipboard")
    windows = windows or MemoryWindows(FOOT)
    placed = []

    async def note(place):
        placed.append(place)

    options = {key: how.pop(key) for key in ("others", "refuses", "patience_s", "dictating", "on_typing") if key in how}
    deliverer = Deliverer(
        outputs=outputs, clipboard=clipboard, sessions=Desk(), windows=windows, on_placed=note, **options
    )
    to = Destination(DESKTOP, windows.now)
    delivery = asyncio.run(deliverer.deliver(text, where, to, manner, dictation=7, **how))
    return delivery, clipboard.texts, placed


BREAKS = st.tuples(
    st.integers(0, 12),
    st.booleans(),  # whether it knows how much went out
    st.sampled_from([Certainty.SENT, Certainty.CONFIRMED, Certainty.UNCERTAIN]),
)


@given(st.text(min_size=1, max_size=12), st.lists(BREAKS, max_size=5))
def test_wherever_outputs_break_the_text_is_there_once_or_a_beginning_of_it_and_uncertain(text, breaks):
    window: list[str] = []
    chain = [
        MemoryOutput(name=f"output {number}", fail_after=at, counts=counts, certainty=certainty, texts=window)
        for number, (at, counts, certainty) in enumerate(breaks)
    ]
    delivery, clipboard, placed = deliver(chain, text)
    there = "".join(window)
    assert text.startswith(there)
    assert sum(attempt.characters or 0 for attempt in delivery.attempts) == delivery.characters <= len(there)
    match delivery.certainty:
        case Certainty.HELD:
            assert (there, delivery.characters, clipboard, placed) == ("", 0, [text], [])
        case Certainty.UNCERTAIN:
            assert clipboard == [text]
            assert placed[0].text == text[: delivery.characters]
        case _:
            assert (there, delivery.characters, clipboard) == (text, len(text), [])
            assert [(place.dictation, place.text, place.delivery) for place in placed] == [(7, text, delivery)]
    offered = [attempt.offered for attempt in delivery.attempts]
    assert offered == sorted(offered, reverse=True)


@pytest.mark.parametrize("at", range(1, len(TEXT)))
def test_every_position_of_failure_is_resumed_exactly(at):
    window: list[str] = []
    chain = [MemoryOutput(name=name, fail_after=to, texts=window) for name, to in (("a", at), ("b", None))]
    delivery, clipboard, _ = deliver(chain)
    assert window == [TEXT[:at], TEXT[at:]]
    assert (delivery.certainty, delivery.method, delivery.characters) == (Certainty.SENT, "b", len(TEXT))
    parts = [(attempt.method, attempt.offered, attempt.characters) for attempt in delivery.attempts]
    assert parts == [("a", len(TEXT), at), ("b", len(TEXT) - at, len(TEXT) - at)]
    assert clipboard == []


@pytest.mark.parametrize("at", range(1, len(TEXT)))
def test_after_an_unknown_amount_nothing_more_is_typed_at_any_position(at):
    window: list[str] = []
    chain = [MemoryOutput(name="a", fail_after=at, counts=False, texts=window), MemoryOutput(name="b", texts=window)]
    delivery, clipboard, _ = deliver(chain)
    assert window == [TEXT[:at]]
    assert (delivery.certainty, delivery.characters, clipboard) == (Certainty.UNCERTAIN, 0, [TEXT])
    assert delivery.attempts[0].characters is None
    assert delivery.detail.endswith("The text is on the clipboard.")


def test_the_whole_is_as_sure_as_its_weakest_part():
    chain = [MemoryOutput(name="a", fail_after=3), MemoryOutput(name="b", certainty=Certainty.CONFIRMED)]
    assert deliver(chain)[0].certainty is Certainty.SENT
    assert deliver(chain[1:])[0].certainty is Certainty.CONFIRMED


def test_a_rest_that_nobody_can_type_is_told_with_its_place():
    delivery, clipboard, _ = deliver([MemoryOutput(fail_after=4), MemoryOutput(fail_after=0)])
    assert delivery.certainty is Certainty.UNCERTAIN
    assert f"Only the first 4 of {len(TEXT)} characters were typed." in delivery.detail
    assert (delivery.characters, clipboard) == (4, [TEXT])


class Says(MemoryOutput):
    """An output that reports what it is told to."""

    def __init__(self, answer, **how):
        super().__init__(**how)
        self._answer = answer

    async def deliver(self, text, to):
        self.texts.append(text)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    "answer",
    [
        Delivery("liar", Certainty.SENT, 3),
        Delivery("liar", Certainty.CONFIRMED, len(TEXT) + 1),
        Delivery("liar", Certainty.CONFIRMED, 0),
        Delivery("liar", Certainty.HELD, 3),
        OutputError("It broke.", reason=OutputReason.TIMEOUT, delivered=len(TEXT)),
        OutputError("It broke.", reason=OutputReason.TIMEOUT, delivered=len(TEXT) + 5),
        OutputError("It broke.", reason=OutputReason.TIMEOUT, delivered=-1),
    ],
)
def test_what_cannot_be_true_is_uncertain_and_ends_the_chain(answer):
    following = MemoryOutput()
    delivery, clipboard, _ = deliver([Says(answer, name="liar"), following])
    assert (delivery.certainty, following.texts, clipboard) == (Certainty.UNCERTAIN, [], [TEXT])
    assert delivery.characters <= len(TEXT)


class Hangs(MemoryOutput):
    """One that never comes back."""

    async def deliver(self, text, to):
        await asyncio.Event().wait()


class WaitsForTheKey(MemoryOutput):
    """One that types when the user lets go of the hotkey, which is after he was asked ten times."""

    def __init__(self) -> None:
        super().__init__()
        self._asked = 0
        self._released = asyncio.Event()

    def dictating(self) -> bool:
        self._asked += 1
        if self._asked == 10:
            self._released.set()
        return self._asked < 10

    async def deliver(self, text, to):
        await self._released.wait()
        return await super().deliver(text, to)


def test_an_output_that_hangs_for_ever_is_given_up_and_told():
    following = MemoryOutput()
    delivery, clipboard, _ = deliver([Hangs(name="stuck"), following], patience_s=lambda characters: 0.01)
    assert (delivery.certainty, following.texts, clipboard) == (Certainty.UNCERTAIN, [], [TEXT])
    assert "stuck has not answered" in delivery.detail


def test_the_time_in_which_the_user_dictates_on_does_not_count():
    slow = WaitsForTheKey()
    delivery, _, _ = deliver([slow], patience_s=lambda characters: 0.02, dictating=slow.dictating)
    assert (delivery.certainty, slow.texts) == (Certainty.SENT, [TEXT])


class Switching(MemoryOutput):
    """While it types, another window gets the focus."""

    def __init__(self, windows, **how):
        super().__init__(**how)
        self._windows = windows

    async def deliver(self, text, to):
        self._windows.now = FIREFOX
        return await super().deliver(text, to)


def test_a_switch_while_it_is_typed_is_never_called_sent():
    windows = MemoryWindows(FOOT)
    output = Switching(windows, certainty=Certainty.CONFIRMED)
    delivery, clipboard, _ = deliver([output], windows=windows)
    assert (delivery.certainty, clipboard) == (Certainty.UNCERTAIN, [TEXT])


def test_a_switch_in_the_middle_keeps_the_rest_out_of_the_other_window():
    windows = MemoryWindows(FOOT)
    following = MemoryOutput()
    delivery, clipboard, _ = deliver([Switching(windows, fail_after=5), following], windows=windows)
    assert (delivery.certainty, delivery.characters) == (Certainty.UNCERTAIN, 5)
    assert (following.texts, clipboard) == ([], [TEXT])


class Slow(MemoryOutput):
    """Its probe takes so long that another window has the focus afterwards."""

    def __init__(self, windows, **how):
        super().__init__(**how)
        self._windows = windows

    async def probe(self, session):
        self._windows.now = FIREFOX
        return await super().probe(session)


def test_a_switch_before_the_first_key_holds_it():
    windows = MemoryWindows(FOOT)
    output = Slow(windows)
    delivery, clipboard, placed = deliver([output], windows=windows)
    assert (delivery.certainty, output.texts, clipboard, placed) == (Certainty.HELD, [], [TEXT], [])
    assert delivery.detail.startswith("Another window got the focus.")


def test_a_password_field_found_late_ends_everything():
    following = MemoryOutput()
    first = MemoryOutput(fail_after=0, reason=OutputReason.SECRET_FIELD)
    delivery, clipboard, placed = deliver([first, following])
    assert (delivery.secret, delivery.certainty, following.texts, clipboard, placed) == (
        True,
        Certainty.HELD,
        [],
        [],
        [],
    )


def test_what_was_typed_before_a_field_proved_secret_is_nothing_to_remember():
    window: list[str] = []
    asks = Says(OutputError("It asks.", reason=OutputReason.SECRET_FIELD, delivered=0), name="asks")
    delivery, clipboard, placed = deliver([MemoryOutput(fail_after=3, texts=window), asks])
    assert (delivery.secret, delivery.certainty, window) == (True, Certainty.UNCERTAIN, [TEXT[:3]])
    assert (clipboard, placed) == ([], [])


def test_whether_the_whole_text_is_on_the_clipboard_is_told():
    assert deliver([MemoryOutput(fail_after=0)])[0].copied
    assert deliver([MemoryOutput(fail_after=4)])[0].copied
    assert deliver([], where=Deliver.COPY)[0].copied
    assert not deliver([MemoryOutput()])[0].copied
    assert not deliver([MemoryOutput(fail_after=4)], only="memory")[0].copied
    broken = MemoryOutput(name="clipboard", fail_after=0)
    assert not deliver([MemoryOutput(fail_after=4)], clipboard=broken)[0].copied


class Looks(MemoryOutput):
    """Remembers where it was to bring a text."""

    async def deliver(self, text, to):
        self.to = to
        return await super().deliver(text, to)


def test_only_who_asks_for_one_output_gets_the_clipboard_back_from_it():
    output = Looks()
    deliver([output])
    assert not output.to.keep_clipboard
    deliver([output], only="memory")
    assert output.to.keep_clipboard


def test_before_the_first_key_somebody_hears_of_it_once_and_not_where_nothing_is_typed():
    heard: list[tuple[Session, list[str]]] = []
    window: list[str] = []

    async def hear(session):
        heard.append((session, list(window)))

    deliver([MemoryOutput(fail_after=3, texts=window), MemoryOutput(texts=window)], on_typing=hear)
    assert heard == [(DESKTOP, [])]
    deliver([Absent()], on_typing=hear)
    deliver([MemoryOutput()], where=Deliver.COPY, on_typing=hear)
    assert len(heard) == 1


# --- what can be used, asked meanwhile ---


async def surveyed_while_typing(output, meanwhile):
    """Return what `meanwhile` gives, which is called while the output types."""
    turn = asyncio.Lock()
    deliverer = Deliverer(
        outputs=[output], clipboard=MemoryOutput(), sessions=Desk(), windows=MemoryWindows(FOOT), typing=turn
    )

    async def type_it():
        async with turn:
            return await deliverer.deliver(TEXT, Deliver.TYPE, Destination(DESKTOP, FOOT), Manner())

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        delivery = group.create_task(type_it())
        await output.typing.wait()
        found = await meanwhile(deliverer)
        output.go_on.set()
    assert delivery.result().certainty is Certainty.SENT
    assert not output.disturbed
    return found


def test_a_survey_during_a_long_text_disturbs_nothing_and_tells_what_was_found_last(monkeypatch):
    monkeypatch.setattr("v2m.application.survey.SURVEY_WAIT_S", 0.01)
    output = Exclusive(name="slow")
    survey = asyncio.run(surveyed_while_typing(output, lambda deliverer: deliverer.survey({})))
    assert survey.chosen == "slow"  # its probe before the text
    assert survey.outputs[1] == ("memory", BUSY)
    assert output.probed == 1


def test_a_survey_waits_for_a_short_text():
    output = Exclusive(name="slow")

    async def meanwhile(deliverer):
        asyncio.get_running_loop().call_soon(output.go_on.set)
        return await deliverer.survey({})

    survey = asyncio.run(surveyed_while_typing(output, meanwhile))
    assert [found.usable for _, found in survey.outputs] == [True, True]
    assert output.probed == 2


# --- order and exclusions ---


class PasswordField(MemoryOutput):
    """One that finds out by what stands there afterwards."""

    async def deliver(self, text, to):
        delivery = await super().deliver(text, to)
        raise OutputError("It shows dots.", reason=OutputReason.SECRET_FIELD, delivered=delivery.characters)


def test_a_password_field_found_out_by_the_whole_text_leaves_it_nowhere_else():
    following = MemoryOutput()
    delivery, clipboard, placed = deliver([PasswordField(), following])
    assert (delivery.secret, following.texts, clipboard, placed) == (True, [], [], [])


def test_a_rule_names_the_outputs_and_their_order():
    one, two, three = (MemoryOutput(name=name) for name in ("one", "two", "three"))
    two._fail_after = 0
    delivery, _, _ = deliver([one, two], manner=Manner(outputs=("two", "nowhere", "three")), others=[three])
    assert [attempt.method for attempt in delivery.attempts] == ["two", "three"]
    assert one.texts == []


def test_what_only_rules_name_is_in_no_other_chain():
    one, other = MemoryOutput(name="one", fail_after=0), MemoryOutput(name="other")
    delivery, _, _ = deliver([one], others=[other])
    assert (delivery.certainty, other.texts) == (Certainty.HELD, [])


def test_a_rule_may_end_at_the_clipboard():
    one, two = MemoryOutput(name="one", fail_after=0), MemoryOutput(name="two")
    delivery, clipboard, placed = deliver([one, two], manner=Manner(outputs=("one", "clipboard", "two")))
    assert (delivery.method, delivery.characters, clipboard) == ("clipboard", 0, [TEXT])
    assert (two.texts, placed) == ([], [])


def test_an_output_that_is_known_to_be_inexact_is_passed_over_unless_it_is_asked_for():
    one, two = MemoryOutput(name="one"), MemoryOutput(name="two")

    def refuses(output, text):
        return "one cannot type this." if output == "one" else ""

    assert deliver([one, two], refuses=refuses)[0].method == "two"
    assert deliver([one], refuses=refuses)[0].detail.startswith("one cannot type this.")
    assert deliver([one, two], refuses=refuses, only="one")[0].method == "one"


def test_asking_for_one_output_leaves_the_others_and_the_clipboard_alone():
    broken, other = MemoryOutput(name="broken", fail_after=2), MemoryOutput(name="other")
    delivery, clipboard, _ = deliver([broken, other], only="broken")
    assert (delivery.certainty, delivery.characters) == (Certainty.UNCERTAIN, 2)
    refusing = MemoryOutput(name="broken", fail_after=0)
    held, clipboard_then, _ = deliver([refusing, other], only="broken")
    assert (held.method, held.certainty, held.characters) == ("none", Certainty.HELD, 0)
    assert (other.texts, clipboard, clipboard_then) == ([], [], [])


def test_texts_go_first_to_outputs_that_are_at_their_best_with_them():
    keys, whole = MemoryOutput(name="keys"), MemoryOutput(name="whole")
    keys.at_best = AtBest(10, ascii_only=True)
    assert deliver([keys, whole], "short")[0].method == "keys"
    assert deliver([keys, whole], "much too long")[0].method == "whole"
    assert deliver([keys, whole], "Größe")[0].method == "whole"
    assert deliver([keys], "Größe")[0].method == "keys"


class Absent(MemoryOutput):
    async def probe(self, session):
        return Availability(usable=False, reason=f"{self.name} is not there.")


class Mute(MemoryOutput):
    async def probe(self, session):
        await asyncio.Event().wait()


def test_what_cannot_be_used_is_named_and_a_probe_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr("v2m.application.survey.PROBE_S", 0.01)
    assert deliver([Absent(name="one"), MemoryOutput(name="two")])[0].method == "two"
    assert deliver([Mute(name="one"), MemoryOutput(name="two")])[0].method == "two"
    assert deliver([Absent(name="one")])[0].detail == "one is not there. The text is on the clipboard."


# --- where nothing is typed ---


@pytest.mark.parametrize("where", [Deliver.COPY, Deliver.NONE])
def test_what_is_not_to_be_typed_is_not(where):
    output = MemoryOutput()
    delivery, clipboard, placed = deliver([output], where=where)
    assert (output.texts, placed, delivery.characters) == ([], [], 0)
    assert clipboard == ([TEXT] if where is Deliver.COPY else [])


@pytest.mark.parametrize("clipboard", [Hangs(name="clipboard"), MemoryOutput(name="clipboard", fail_after=0)])
def test_a_clipboard_that_fails_is_told_and_nothing_is_claimed(clipboard, monkeypatch):
    monkeypatch.setattr("v2m.application.deliver.COPY_S", 0.01)
    delivery, _, _ = deliver([MemoryOutput(fail_after=0)], clipboard=clipboard)
    assert (delivery.method, delivery.certainty, delivery.characters) == ("none", Certainty.HELD, 0)
    assert "on the clipboard" not in delivery.detail


# --- Return after the text ---

SUBMIT = Manner(submit=True)


def test_return_is_never_pressed_where_nobody_knows_the_window():
    keys = MemoryOutput(name="xtest")
    delivery, _, placed = deliver([keys], windows=MemoryWindows(), manner=SUBMIT)
    assert (keys.texts, placed[0].text) == ([TEXT], TEXT)
    assert (delivery.certainty, delivery.characters) == (Certainty.SENT, len(TEXT))
    assert "not known which window" in delivery.detail


def test_return_is_pressed_after_the_text_by_an_output_that_presses_keys():
    window: list[str] = []
    whole, keys = MemoryOutput(name="input-method", texts=window), MemoryOutput(name="xtest", texts=window)
    delivery, _, placed = deliver([whole, keys], manner=SUBMIT)
    assert window == [TEXT, "\n"]
    assert (delivery.certainty, delivery.characters) == (Certainty.SENT, len(TEXT) + 1)
    assert placed[0].text == TEXT + "\n"


def test_return_goes_by_the_chain_where_the_rule_names_no_keys():
    paste, keys = MemoryOutput(name="paste"), MemoryOutput(name="virtual-keyboard")
    deliver([keys, paste], manner=Manner(outputs=("paste",), submit=True))
    assert (paste.texts, keys.texts) == ([TEXT], ["\n"])


def test_return_is_never_pressed_after_an_uncertain_text_or_in_another_window():
    keys = MemoryOutput(name="xtest")
    deliver([MemoryOutput(certainty=Certainty.UNCERTAIN), keys], manner=SUBMIT)
    deliver([MemoryOutput(fail_after=2, counts=False), keys], manner=SUBMIT)
    deliver([MemoryOutput(fail_after=2), MemoryOutput(fail_after=0)], manner=SUBMIT)
    windows = MemoryWindows(FOOT)
    deliver([Switching(windows), keys], windows=windows, manner=SUBMIT)
    assert keys.texts == []


def test_without_keys_return_is_left_out_and_told():
    delivery, _, placed = deliver([MemoryOutput(name="input-method")], manner=SUBMIT)
    assert (delivery.certainty, placed[0].text) == (Certainty.SENT, TEXT)
    assert "Return was not pressed" in delivery.detail


def test_return_is_not_pressed_in_a_window_for_a_text_that_went_to_a_file():
    keys, file = MemoryOutput(name="xtest"), MemoryOutput(name="file", certainty=Certainty.CONFIRMED)
    manner = Manner(outputs=("file",), submit=True)
    delivery, _, _ = deliver([keys], manner=manner, others=[file])
    assert (delivery.method, file.texts, keys.texts) == ("file", [TEXT], [])


def test_return_is_pressed_only_where_it_is_wished():
    keys = MemoryOutput(name="xtest")
    deliver([keys])
    assert keys.texts == [TEXT]


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"DISPLAY": ":1"}, "The display :1 does not let us in."),
        ({"WAYLAND_DISPLAY": "/run/wayland-1"}, "The seat is taken."),
        ({}, "There is no desktop session to type into."),
    ],
)
def test_the_reason_is_one_of_this_kind_of_desktop(variables, reason):
    class Refuses(MemoryOutput):
        async def probe(self, session):
            return Availability(usable=False, reason=self.name, foreign=self.name == wayland)

    wayland = "There is no Wayland compositor in this session."
    names = ["The seat is taken." if "WAYLAND_DISPLAY" in variables else wayland, "The display :1 does not let us in."]
    deliverer = Deliverer(
        outputs=[Refuses(name=name) for name in (*names, wayland)],
        clipboard=MemoryOutput(),
        sessions=Desk(),
        windows=MemoryWindows(),
    )
    to = Destination(Session(variables))
    delivery = asyncio.run(deliverer.deliver(TEXT, Deliver.TYPE, to, Manner()))
    assert delivery.detail.startswith(reason)
