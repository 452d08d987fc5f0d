"""Events: a name and data for each, fan-out that waits for nobody, gaps that show."""

import asyncio
import dataclasses
import json
import re
import typing
from typing import Any

import pytest

from v2m.core.events import QUEUE_LENGTH, EventBus, Subscription
from v2m.domain import events as domain_events
from v2m.domain.events import Discarded, Event, Level, StateChanged, event_data, event_name

pytestmark = pytest.mark.unit

KINDS = sorted(
    (kind for kind in vars(domain_events).values() if isinstance(kind, type) and issubclass(kind, Event)),
    key=lambda kind: kind.__name__,
)
EXAMPLES = {"str": "text", "int": 7, "int | None": None, "float": 0.5, "bool": True}


def example(kind: type[Event]) -> Event:
    hints = typing.get_type_hints(kind)
    values = [EXAMPLES[getattr(hints[f.name], "__name__", str(hints[f.name]))] for f in dataclasses.fields(kind)]
    return kind(*values)


async def drain(subscription: Subscription) -> list[dict[str, Any]]:
    subscription.close()
    return [frame async for frame in subscription]


def drained(subscription: Subscription) -> list[dict[str, Any]]:
    return asyncio.run(drain(subscription))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Event], ids=lambda kind: kind.__name__)
def test_every_event_has_a_name_and_data_that_json_can_carry(kind: type[Event]) -> None:
    event = example(kind)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", event_name(kind))
    data = event_data(event)
    assert json.loads(json.dumps(data)) == data
    assert kind(**data) == event


def test_names_on_the_wire() -> None:
    assert (event_name(StateChanged), event_name(Level)) == ("state_changed", "level")


def test_names_are_unique() -> None:
    names = [event_name(kind) for kind in KINDS]
    assert len(set(names)) == len(names)


def test_every_subscriber_gets_every_event_in_order() -> None:
    bus = EventBus()
    with bus.subscribe() as one, bus.subscribe() as two:
        bus.publish(StateChanged("recording", 0, 1))
        bus.publish(Discarded(1, "tap"))
    expected = [
        {"event": "state_changed", "data": {"state": "recording", "queue": 0, "dictation": 1}, "seq": 1},
        {"event": "discarded", "data": {"dictation": 1, "reason": "tap"}, "seq": 2},
    ]
    assert drained(one) == drained(two) == expected


def test_unwanted_events_are_left_out_and_show_as_gaps() -> None:
    bus = EventBus()
    with bus.subscribe(frozenset({"discarded"})) as picky:
        bus.publish(Discarded(1, "tap"))
        bus.publish(Level(-20.0))
        bus.publish(Discarded(2, "tap"))
    assert [frame["seq"] for frame in drained(picky)] == [1, 3]


def test_a_stalled_subscriber_loses_the_oldest_sees_the_gap_and_delays_nobody() -> None:
    bus = EventBus()
    with bus.subscribe() as stalled, bus.subscribe() as lively:

        async def scene() -> list[int]:
            seen = []
            frames = aiter(lively)
            for number in range(QUEUE_LENGTH * 3):
                bus.publish(Level(float(number)))
                seen.append((await anext(frames))["seq"])
            return seen

        assert asyncio.run(scene()) == list(range(1, QUEUE_LENGTH * 3 + 1))
        late = [frame["seq"] for frame in drained(stalled)]
    assert late == list(range(QUEUE_LENGTH * 2 + 1, QUEUE_LENGTH * 3 + 1))


def test_an_event_wakes_a_waiting_subscriber() -> None:
    bus = EventBus()

    async def scene() -> dict[str, Any]:
        with bus.subscribe() as subscription:
            asyncio.get_running_loop().call_soon(bus.publish, Level(-3.0))
            async with asyncio.timeout(20):
                return await anext(aiter(subscription))

    assert asyncio.run(scene())["data"] == {"peak_db": -3.0}


def test_one_that_leaves_affects_nobody_and_numbers_go_on() -> None:
    bus = EventBus()
    with bus.subscribe() as stays:
        with pytest.raises(RuntimeError, match="left"), bus.subscribe():
            raise RuntimeError("left")
        bus.publish(Level(0.0))
        assert bus.has_listeners()
    assert not bus.has_listeners()
    bus.publish(Level(0.0))
    assert bus.seq == 2
    assert [frame["seq"] for frame in drained(stays)] == [1]


def test_publishing_to_nobody_is_fine() -> None:
    bus = EventBus()
    bus.publish(Level(0.0))
    assert (bus.seq, bus.has_listeners()) == (1, False)


def test_closing_ends_the_iteration_after_what_is_queued() -> None:
    bus = EventBus()
    with bus.subscribe() as subscription:
        bus.publish(Level(1.0))
        assert len(drained(subscription)) == 1
        assert drained(subscription) == []


def test_who_wants_other_events_makes_no_work():
    bus = EventBus()
    with bus.subscribe(frozenset({"state_changed"})):
        assert bus.has_listeners()
        assert bus.has_listeners(StateChanged)
        assert bus.has_listeners(Level, StateChanged)
        assert not bus.has_listeners(Level)
    with bus.subscribe():
        assert bus.has_listeners(Level)
