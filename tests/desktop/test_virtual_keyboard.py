"""Keys into applications that stop, die, close or are slow: none is ever lost by them, and nothing is typed twice."""

import asyncio
import os
import signal

import pytest

from support.desktop import SwayDesktop
from v2m.domain.delivery import Certainty, Destination, Session
from v2m.infrastructure.output.wayland.virtual_keyboard import VirtualKeyboardOutput

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(180)]


def _deliver(desk, *texts):
    async def scenario():
        output = VirtualKeyboardOutput()
        try:
            return [await output.deliver(text, Destination(Session(desk.variables))) for text in texts]
        finally:
            await output.aclose()

    return asyncio.run(scenario())


def _open(desk, application):
    return desk.terminal() if application == "terminal" else desk.target("gtk", application)


@pytest.mark.parametrize("application", ["terminal", "text"])
@pytest.mark.parametrize("characters", [100, 400, 5_000, 100_000])
def test_an_application_that_has_stopped_survives_a_text_of_any_length(application, characters):
    text = ("0123456789" * 10_000)[:characters]
    with SwayDesktop() as desk:
        sink = _open(desk, application)
        sink.stop()
        try:
            (delivery,) = _deliver(desk, text)
        finally:
            sink.resume()
        sink.wait_text(text[: delivery.characters])
        assert sink.alive
        assert delivery.certainty is Certainty.UNCERTAIN
        assert 0 < delivery.characters <= characters


def test_an_application_that_has_stopped_survives_text_after_text():
    with SwayDesktop() as desk:
        sink = desk.terminal()
        sink.stop()
        try:
            deliveries = _deliver(desk, *["0123456789" * 40] * 8)
        finally:
            sink.resume()
        sink.wait_text("".join(("0123456789" * 40)[: delivery.characters] for delivery in deliveries))
        assert sink.alive


def test_a_slow_application_gets_a_long_text_exactly():
    text = "slowly but surely, " * 250
    with SwayDesktop() as desk:
        sink = desk.target("gtk", "slow")
        (delivery,) = _deliver(desk, text)
        sink.wait_text(text, timeout_s=60)
        assert delivery.certainty is Certainty.SENT


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "closed"])
def test_an_application_that_ends_meanwhile_makes_the_delivery_uncertain_and_the_next_window_gets_one_batch(death):
    text = "0123456789" * 2_000

    async def scenario(desk, sink):
        output = VirtualKeyboardOutput()
        try:
            async with asyncio.TaskGroup() as tasks:
                typing = tasks.create_task(output.deliver(text, Destination(Session(desk.variables))))
                await asyncio.to_thread(sink.wait_text, lambda received: len(received) > 100)
                os.kill(sink.pid, death)
            return typing.result()
        finally:
            await output.aclose()

    with SwayDesktop() as desk:
        other = desk.terminal()
        sink = desk.target("gtk")
        delivery = asyncio.run(scenario(desk, sink))
        assert delivery.certainty is Certainty.UNCERTAIN
        assert delivery.characters < len(text)
        assert len(other.text()) <= 16
