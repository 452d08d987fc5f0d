"""What the compositor has sent and applications have not read yet: the kernel tells it for each socket (unix_diag).

libwayland disconnects an application whose socket is full (measured: a stopped one after about 2,000 keys), and no
Wayland request tells how full it is. So whoever sends much looks here first, and waits or stops.
"""

import asyncio
import os
import socket
import struct
import time
from collections.abc import Iterator
from typing import Final

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 0x001
_NLM_F_DUMP: Final = 0x300
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_ESTABLISHED: Final = 1 << 1
_SHOW_NAME_AND_QUEUES: Final = 0x01 | 0x10
_NAME: Final = 0
_QUEUES: Final = 4
_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_QUESTION: Final = struct.Struct("=BBHIIIII")  # family, protocol, pad, states, inode, what to show, cookie (twice)
_ANSWER: Final = struct.Struct("=BBBBIII")  # family, type, state, pad, inode, cookie (twice)
_ATTRIBUTE: Final = struct.Struct("=HH")  # length, type
_ANY_COOKIE: Final = 0xFFFFFFFF
_RECEIVE_BYTES: Final = 1 << 16
_KERNEL_S: Final = 0.5  # the kernel answers within the call

# A socket holds 212,992 bytes by default, overhead included (net.core.wmem_default); a third of that
# leaves room for what others send meanwhile.
UNREAD_LIMIT_BYTES: Final = 65_536
POLL_S: Final = 0.004  # there is no event for "it was read"


class Backlog:
    """The applications' unread bytes since this object was made; only those that grew since then count."""

    def __init__(self, path: str) -> None:
        """Look at everybody connected to this Wayland socket; `available` is False where the kernel does not tell."""
        self._before: dict[int, int] = {}  # inode of the compositor's end → unread bytes
        self._kernel: socket.socket | None = None
        try:
            self._kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
            self._kernel.settimeout(_KERNEL_S)
            self._before = dict(self._connected(os.path.realpath(path)))
        except OSError:
            self.close()

    @property
    def available(self) -> bool:
        """Whether the applications of this compositor can be seen."""
        return bool(self._before)

    def unread_bytes(self) -> int:
        """Return what the application that reads least has left unread, overhead included; 0: everything was read."""
        now = self._now()
        return max((now[inode] for inode in self._grown(now)), default=0)

    async def below(self, limit_bytes: int, *, stalled_s: float) -> bool:
        """Wait until at most that much is unread; False when for `stalled_s` nothing at all was read."""
        least, deadline = self.unread_bytes(), time.monotonic() + stalled_s
        while least > limit_bytes:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_S)
            unread = self.unread_bytes()
            if unread < least:
                least, deadline = unread, time.monotonic() + stalled_s
        return True

    async def read(self, *, stalled_s: float) -> bool:
        """Wait until each application has read what it had when this was called; False when one reads nothing."""
        now = self._now()
        pending = dict.fromkeys(self._grown(now), 0)
        least, deadline = sum(now[inode] for inode in pending), time.monotonic() + stalled_s
        while pending:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_S)
            now = self._now()
            pending = {inode: now[inode] for inode in self._grown(now) if inode in pending}
            if sum(pending.values()) < least:
                least, deadline = sum(pending.values()), time.monotonic() + stalled_s
        return True

    def close(self) -> None:
        """Stop looking; twice is fine."""
        if self._kernel is not None:
            self._kernel.close()
        self._kernel = None
        self._before = {}

    def _grown(self, now: dict[int, int]) -> list[int]:
        grown = [inode for inode, unread in now.items() if unread > self._before[inode]]
        for inode, unread in now.items():
            self._before[inode] = min(unread, self._before[inode])
        return grown

    def _now(self) -> dict[int, int]:
        if self._kernel is None:
            return {}
        try:
            self._kernel.send(b"".join(_question(inode) for inode in self._before))
            answers = [answer for _ in self._before for answer in _answers(self._kernel.recv(_RECEIVE_BYTES))]
        except OSError:
            self.close()
            return {}
        return {inode: unread for inode, unread, _ in answers if inode in self._before}

    def _connected(self, path: str) -> Iterator[tuple[int, int]]:
        """Yield inode and unread bytes of the compositor's end of each connection."""
        if self._kernel is None:
            return
        self._kernel.send(_question())
        while datagram := self._kernel.recv(_RECEIVE_BYTES):
            for inode, unread, name in _answers(datagram):
                if name == path:
                    yield inode, unread
            if _HEADER.unpack_from(datagram)[1] in (_NLMSG_DONE, _NLMSG_ERROR):
                return


def _question(inode: int = 0) -> bytes:
    """Ask for one Unix socket, or for all that are connected."""
    flags = _NLM_F_REQUEST if inode else _NLM_F_REQUEST | _NLM_F_DUMP
    header = _HEADER.pack(_HEADER.size + _QUESTION.size, _SOCK_DIAG_BY_FAMILY, flags, 0, 0)
    cookie = (_ANY_COOKIE, _ANY_COOKIE)
    return header + _QUESTION.pack(socket.AF_UNIX, 0, 0, _ESTABLISHED, inode, _SHOW_NAME_AND_QUEUES, *cookie)


def _answers(datagram: bytes) -> Iterator[tuple[int, int, str]]:
    """Yield (inode, bytes that its peer has not read, name) of each socket in a datagram."""
    at = 0
    while at + _HEADER.size <= len(datagram):
        length, kind, *_ = _HEADER.unpack_from(datagram, at)
        if kind == _SOCK_DIAG_BY_FAMILY:
            inode = _ANSWER.unpack_from(datagram, at + _HEADER.size)[4]
            attributes = dict(_attributes(datagram[at + _HEADER.size + _ANSWER.size : at + length]))
            queues = attributes.get(_QUEUES, bytes(8))
            name = os.fsdecode(attributes.get(_NAME, b"").rstrip(b"\0"))
            yield inode, struct.unpack("=II", queues)[1], name
        at += max(_HEADER.size, length + 3 & ~3)


def _attributes(body: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        yield kind, body[at + _ATTRIBUTE.size : at + length]
        at += max(_ATTRIBUTE.size, length + 3 & ~3)
