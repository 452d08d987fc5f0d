"""The command bus: complete or refused, and nothing between caller and handler."""

import asyncio
from typing import Any

import pytest

from v2m.application.commands import COMMANDS
from v2m.core.command_bus import CommandBus, MissingHandlerError

pytestmark = pytest.mark.unit


class Greet:
    pass


class Leave:
    pass


async def answer(command: Any) -> dict[str, Any]:
    return {"to": type(command).__name__}


async def fail(command: Any) -> dict[str, Any]:
    raise LookupError("the handler's own")


def test_a_command_reaches_its_handler_and_its_answer_comes_back() -> None:
    bus = CommandBus({Greet: answer, Leave: answer}, [Greet, Leave])
    assert asyncio.run(bus.dispatch(Greet())) == {"to": "Greet"}
    assert asyncio.run(bus.dispatch(Leave())) == {"to": "Leave"}


def test_each_command_without_a_handler_is_named_before_anything_runs() -> None:
    with pytest.raises(MissingHandlerError, match=r"No handler for Greet, Leave: .*application/handlers/"):
        CommandBus({}, [Leave, Greet])
    with pytest.raises(MissingHandlerError, match="No handler for Leave:"):
        CommandBus({Greet: answer}, [Greet, Leave])


def test_a_hole_in_the_real_table_is_refused() -> None:
    handlers: dict[type, Any] = dict.fromkeys(COMMANDS.values(), answer)
    CommandBus(handlers, COMMANDS.values())
    for name, command in COMMANDS.items():
        holed = {kind: handler for kind, handler in handlers.items() if kind is not command}
        with pytest.raises(MissingHandlerError, match=command.__name__):
            CommandBus(holed, COMMANDS.values())
        assert name == command.name


def test_a_handlers_error_passes_through() -> None:
    with pytest.raises(LookupError, match="the handler's own"):
        asyncio.run(CommandBus({Greet: fail}, [Greet]).dispatch(Greet()))


def test_cancelling_reaches_the_handler() -> None:
    ended: list[str] = []

    async def wait(command: Any) -> dict[str, Any]:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")
        return {}

    async def scene() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await CommandBus({Greet: wait}, [Greet]).dispatch(Greet())

    asyncio.run(scene())
    assert ended == ["cancelled"]
