"""How often a desktop is asked for hotkeys that it does not give; the clock is one that jumps."""

import asyncio

import pytest

from support.orders_clock import VirtualLoop
from v2m.domain.delivery import Session
from v2m.infrastructure.desktop.hotkeys.live import LiveHotkeys
from v2m.infrastructure.desktop.hotkeys.refusal import UnreachableError

pytestmark = pytest.mark.unit


class NoHotkeys:
    """A desktop without a portal for them."""

    name = "portal"

    def __init__(self):
        self.asked_at = []

    def fits(self, session):
        return True

    async def serve(self, session, press, bound):
        self.asked_at.append(asyncio.get_running_loop().time())
        raise UnreachableError("No hotkeys: the desktop's portal refuses.")


def test_a_desktop_without_hotkeys_is_asked_less_and_less_often_and_the_next_one_at_once():
    session, desktop = Session({"WAYLAND_DISPLAY": "/run/wayland-0"}, "test"), NoHotkeys()

    async def locate():
        return session

    loop = VirtualLoop()
    task = loop.create_task(LiveHotkeys([desktop], locate=locate).run(lambda _action, _at: None, lambda _trouble: None))
    loop.advance(60)
    first = len(desktop.asked_at)
    assert first >= 8, "one that comes a little later is found soon"
    loop.advance(6 * 3600)
    assert len(desktop.asked_at) - first < 6 * 12, "less often than every five minutes"
    session, before = Session({"WAYLAND_DISPLAY": "/run/wayland-1"}, "test"), len(desktop.asked_at)
    loop.advance(6)
    assert len(desktop.asked_at) > before
    task.cancel()
    loop.spin(3)
    loop.close()
