"""What systemd is told over its notification socket (sd_notify(3)): ready, alive, ending. No library is needed."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Final

_ABSTRACT: Final = "@"  # the address's first character stands for a NUL


class SdNotify:
    """Tells whoever started this process how it is; nothing happens where nobody wants to know."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """`variables` are those of `take_service_variables`."""
        self._address = variables.get("NOTIFY_SOCKET", "")
        self._beat_s = _watchdog_s(variables) / 2

    def tell(self, **fields: str) -> None:
        """Send `READY="1"`, `STATUS="…"` and the like in one message; never waits, never raises."""
        if self._address[:1] not in ("/", _ABSTRACT):
            return
        lines = "\n".join(f"{name}={' '.join(value.split())}" for name, value in fields.items())
        address = "\0" + self._address[1:] if self._address.startswith(_ABSTRACT) else self._address
        with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.settimeout(0)
            to.sendto(lines.encode("utf-8", "replace"), address)

    def beat(self) -> None:
        """Say now, and twice per watchdog period, that the event loop turns; one that hangs misses it."""
        if self._beat_s and self._address:
            self.tell(WATCHDOG="1")
            asyncio.get_running_loop().call_later(self._beat_s, self.beat)


def _watchdog_s(variables: Mapping[str, str]) -> float:
    """Return the watchdog's period, 0 when there is none or it is another process's."""
    period = variables.get("WATCHDOG_USEC", "")
    if not (period.isascii() and period.isdigit()) or variables.get("WATCHDOG_PID", str(os.getpid())) != str(
        os.getpid()
    ):
        return 0.0
    return int(period) / 1e6
