"""A dict from command model to coroutine, complete or refused."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

Handler = Callable[[Any], Awaitable[dict[str, Any]]]


class MissingHandlerError(RuntimeError):
    """A command has a model but nobody handles it; the daemon does not start."""


class CommandBus:
    """Dispatches by the command's type."""

    def __init__(self, handlers: Mapping[type, Handler], commands: Iterable[type]) -> None:
        """Raises MissingHandlerError naming each command without a handler."""
        holes = sorted(command.__name__ for command in commands if command not in handlers)
        if holes:
            raise MissingHandlerError(
                f"No handler for {', '.join(holes)}: add a coroutine and its line to application/handlers/."
            )
        self._handlers = handlers

    async def dispatch(self, command: object) -> dict[str, Any]:
        """Run the handler; its errors pass through."""
        return await self._handlers[type(command)](command)
