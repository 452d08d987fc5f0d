"""What the kernel tells about sockets that nobody reads."""

import asyncio
import contextlib
import socket

import pytest

from v2m.infrastructure._wayland.backlog import Backlog

pytestmark = pytest.mark.unit

STALLED_S = 0.05


@contextlib.contextmanager
def _served(path):
    """A listener with two clients; yields (server's end, client) of each."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen()
        pairs = []
        for _ in range(2):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(path))
            pairs.append((stack.enter_context(listener.accept()[0]), client))
        yield pairs


@pytest.fixture
def served(tmp_path):
    with _served(tmp_path / "wayland-0") as pairs:
        backlog = Backlog(str(tmp_path / "wayland-0"))
        yield backlog, pairs
        backlog.close()


def test_what_a_client_has_not_read_is_counted_until_it_reads(served):
    backlog, [(server, client), _] = served
    assert backlog.available
    assert backlog.unread_bytes() == 0
    server.send(b"x" * 3000)
    assert backlog.unread_bytes() >= 3000
    client.recv(3000)
    assert backlog.unread_bytes() == 0


def test_what_was_unread_before_does_not_count_until_it_grows(tmp_path):
    with _served(tmp_path / "wayland-0") as [(stale, _), (server, client)]:
        stale.send(b"x" * 3000)
        backlog = Backlog(str(tmp_path / "wayland-0"))
        assert backlog.unread_bytes() == 0
        server.send(b"y")
        assert 0 < backlog.unread_bytes() < 3000
        client.recv(1)
        stale.send(b"x")
        assert backlog.unread_bytes() > 3000
        backlog.close()


def test_waiting_ends_when_everything_was_read_and_gives_up_when_nothing_is(served):
    backlog, [(server, client), (_, _)] = served
    server.send(b"x" * 3000)

    async def read_soon():
        asyncio.get_running_loop().call_later(STALLED_S / 5, client.recv, 4000)
        return await backlog.read(stalled_s=STALLED_S * 100), await backlog.below(0, stalled_s=STALLED_S)

    assert not asyncio.run(backlog.below(1000, stalled_s=STALLED_S))
    assert not asyncio.run(backlog.read(stalled_s=STALLED_S))
    assert asyncio.run(backlog.below(100_000, stalled_s=0))
    assert asyncio.run(read_soon()) == (True, True)


def test_a_client_that_has_gone_has_nothing_unread(served):
    backlog, [(server, client), _] = served
    server.send(b"x" * 3000)
    client.close()
    server.close()
    assert backlog.unread_bytes() == 0
    assert asyncio.run(backlog.read(stalled_s=STALLED_S))


def test_where_nobody_is_connected_nothing_can_be_told(tmp_path):
    backlog = Backlog(str(tmp_path / "wayland-9"))
    assert not backlog.available
    assert backlog.unread_bytes() == 0
    backlog.close()
    backlog.close()
