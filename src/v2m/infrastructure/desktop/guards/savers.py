"""Lock screens of whole desktops: their screen saver on the session bus, and what logind knows of the session."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from dbus_fast import AuthError, DBusError, InvalidAddressError, Message, MessageFlag, MessageType, Variant
from dbus_fast.aio import MessageBus

from v2m.domain.delivery import Session, Window

ANSWER_S: Final = 0.1  # connecting takes a millisecond, an answer less

# Interface and name are the same. freedesktop: KDE (GNOME answers there with an error); each has GetActive() → b.
SAVERS: Final = (
    ("org.freedesktop.ScreenSaver", "/org/freedesktop/ScreenSaver"),
    ("org.gnome.ScreenSaver", "/org/gnome/ScreenSaver"),
    ("org.cinnamon.ScreenSaver", "/org/cinnamon/ScreenSaver"),
    ("org.mate.ScreenSaver", "/org/mate/ScreenSaver"),
    ("org.xfce.ScreenSaver", "/org/xfce/ScreenSaver"),
)
_TROUBLE: Final = (OSError, EOFError, DBusError, AuthError, InvalidAddressError)  # a timeout is an OSError


class ScreenSaverGuard:
    """Tells a screen saver that is up, locked or not: nobody sees what is typed. None is started by the question."""

    def __init__(self, *, bus_address: str | None) -> None:
        """`bus_address` is the session bus; None: there is none."""
        self._address = bus_address

    async def secret(self, session: Session, window: Window | None) -> str:
        """Return whose it is."""
        del session, window
        answers = await _ask(self._address, [_question(name, path, name, "GetActive") for name, path in SAVERS])
        names = (name for (name, _), active in zip(SAVERS, answers, strict=False) if active is True)
        return next((f"The screen is locked ({name})." for name in names), "")


class LogindGuard:
    """Tells a session that its desktop has marked as locked in logind."""

    def __init__(self, *, bus_address: str | None) -> None:
        """`bus_address` is the system bus; None: there is none."""
        self._address = bus_address

    async def secret(self, session: Session, window: Window | None) -> str:
        """Return that it is locked."""
        del session, window
        question = _question(
            "org.freedesktop.login1",
            "/org/freedesktop/login1/session/auto",  # ours, or of a user service the user's graphical one
            "org.freedesktop.DBus.Properties",
            "Get",
            "org.freedesktop.login1.Session",
            "LockedHint",
        )
        answers = await _ask(self._address, [question])
        locked = any(isinstance(answer, Variant) and answer.value is True for answer in answers)
        return "The screen is locked (logind)." if locked else ""


def _question(name: str, path: str, interface: str, member: str, *arguments: str) -> Message:
    return Message(
        destination=name,
        path=path,
        interface=interface,
        member=member,
        signature="s" * len(arguments),
        body=list(arguments),
        flags=MessageFlag.NO_AUTOSTART,
    )


async def _ask(address: str | None, questions: Sequence[Message]) -> list[Any]:
    """Return the first value of each answer, in the order of the questions; None for what was not answered in time."""
    answers: list[Any] = [None] * len(questions)
    if address is None:
        return answers
    try:
        bus = MessageBus(bus_address=address)
    except _TROUBLE:
        return answers

    async def put(index: int, question: Message) -> None:
        answer = await bus.call(question)
        if answer.message_type is MessageType.METHOD_RETURN and answer.body:
            answers[index] = answer.body[0]

    try:
        async with asyncio.timeout(ANSWER_S):
            await bus.connect()
            async with asyncio.TaskGroup() as group:
                for index, question in enumerate(questions):
                    group.create_task(put(index, question))
    except* _TROUBLE:
        pass
    finally:
        bus.disconnect()
        await asyncio.sleep(0)  # the loop forgets an abandoned descriptor one turn later
    return answers
