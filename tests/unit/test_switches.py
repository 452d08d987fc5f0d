"""An engine that is replaced lives until what it hears is decoded; everybody else has the new one at once."""

import asyncio
import os

import pytest

from v2m.application.switches import TranscriberSwitch
from v2m.domain.ports import TranscribeOptions
from v2m.infrastructure.engines.scripted import ScriptedTranscriber

pytestmark = pytest.mark.unit


class Closable(ScriptedTranscriber):
    """Tells whether it was closed."""

    closed = False

    async def aclose(self):
        self.closed = True
        await super().aclose()


def opened(switch):
    return switch.open(1, (os.open(os.devnull, os.O_RDONLY),), TranscribeOptions())


def test_the_former_engine_ends_with_the_last_recording_it_hears():
    async def scenario():
        first, second = Closable(["one"]), Closable(["two"])
        switch = TranscriberSwitch(first)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(switch.run())
            a, b = opened(switch), opened(switch)
            letting_go = group.create_task(switch.let_go(switch.turn(second)))
            assert (await opened(switch).finish(0)).text == "two"
            assert (await a.finish(0)).text == "one"
            await a.abandon()
            await a.abandon()  # twice is fine, and counts once
            await asyncio.sleep(0)
            assert (first.closed, letting_go.done()) == (False, False)
            assert (await b.finish(0)).text == "one"
            await b.abandon()
            await letting_go
            assert first.closed
            assert not second.closed
            await switch.aclose()
            await running
            assert second.closed

    asyncio.run(scenario())


def test_closing_ends_an_engine_that_still_decodes_too():
    async def scenario():
        first, second = Closable(["one"]), Closable(["two"])
        switch = TranscriberSwitch(first)
        heard = opened(switch)
        switch.turn(second)
        await switch.aclose()
        assert first.closed
        assert second.closed
        await heard.abandon()

    asyncio.run(scenario())


def test_an_engine_that_hears_nothing_is_let_go_at_once():
    async def scenario():
        first = Closable(["one"])
        switch = TranscriberSwitch(first)
        await switch.let_go(switch.turn(Closable(["two"])))
        assert first.closed

    asyncio.run(scenario())
