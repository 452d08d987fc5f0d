"""Who links our stream to a microphone: PipeWire's session manager, or we ourselves where it is gone or silent."""

import contextlib
from typing import Final

from v2m.domain.errors import CaptureError
from v2m.infrastructure.capture._pwcapture import STREAM_STREAMING, Connection, Status

_PATIENCE_S: Final = 0.25  # it links in 10 ms; the first START that it fails must still end within 1 s
_SILENT_PATIENCE_S: Final = 0.1  # for one that failed before: enough to show that it works again


class Linking:
    """What recordings have shown of the session manager, and which microphone we take without it."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._heard = ""
        self._patience_s = _PATIENCE_S

    def start(self, connection: Connection, header_address: int, quality: int) -> None:
        """Record into the spool at this address. Raises CaptureError, also without a microphone."""
        is_managed = connection.status().is_managed
        brings_ports = not is_managed or self._patience_s < _PATIENCE_S  # nobody will make them
        connection.start(header_address, self._device, quality, self._heard if brings_ports else None)
        if not is_managed:
            with contextlib.suppress(CaptureError):  # there was a source a moment ago; the wait for audio tells
                self.link(connection)

    def patience_s(self, status: Status) -> float:
        """Return how long the session manager has to link a stream before we do."""
        return self._patience_s if status.is_managed else 0

    def link(self, connection: Connection) -> bool:
        """Link the stream until the session manager does. False when it has no ports: the next one brings its own.

        Raises CaptureError, also without a source.
        """
        linked = connection.link(self._device, self._heard)
        if not linked:
            self._patience_s = 0
        return linked

    def suggest(self, name: str) -> None:
        """Take the default microphone as long as none has been heard."""
        self._heard = self._heard or name

    def note(self, status: Status) -> None:
        """Learn from what PipeWire says."""
        heard = bytes(status.source_name).decode(errors="replace")
        if heard and not status.is_monitor:
            self._heard = heard
        if not status.is_managed:
            self._patience_s = _PATIENCE_S
        elif status.stream_state == STREAM_STREAMING:
            self._patience_s = _SILENT_PATIENCE_S if status.own_links else _PATIENCE_S
