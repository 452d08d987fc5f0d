"""The C library `pwcapture` as Python calls it: one object per connection, every foreign call releases the GIL."""

import ctypes
import errno
import os
import threading
from ctypes import POINTER, c_char, c_char_p, c_int, c_int32, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Final

import v2m
from v2m.domain.audio import Device
from v2m.domain.errors import CaptureError, CaptureReason

NO_MICROPHONE: Final = "There is no microphone."
TEXT_BYTES: Final = 256
_DEVICES: Final = 64

STREAM_ERROR: Final = -1
STREAM_UNCONNECTED: Final = 0
STREAM_PAUSED: Final = 2
STREAM_STREAMING: Final = 3


class Status(ctypes.Structure):
    """`struct v2m_status`; its fields are explained there."""

    _fields_ = (
        ("connected", c_int32),
        ("stream_state", c_int32),
        ("rate_hz", c_uint32),
        ("channels", c_uint32),
        ("node_id", c_uint32),
        ("scheduler", c_int32),
        ("thread_id", c_int32),
        ("is_monitor", c_int32),
        ("is_managed", c_int32),
        ("own_links", c_int32),
        ("blocks", c_uint64),
        ("faults", c_uint64),
        ("empty", c_uint64),
        ("source_name", c_char * TEXT_BYTES),
        ("source", c_char * TEXT_BYTES),
        ("error", c_char * TEXT_BYTES),
    )


class _Device(ctypes.Structure):
    _fields_ = (
        ("name", c_char * TEXT_BYTES),
        ("description", c_char * TEXT_BYTES),
        ("is_default", c_int32),
    )


def load_library() -> ctypes.CDLL:
    """Load `pwcapture.so`. Raises CaptureError when it was not built or does not fit this machine."""
    path = Path(v2m.__file__).with_name("pwcapture.so")
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise CaptureError(
            "The native microphone is not installed with this build of v2m.",
            reason=CaptureReason.NO_SERVER,
            hint="Install gcc, pkg-config and libpipewire-0.3-dev, then install v2m again.",
        ) from error
    for name, result, *arguments in (
        ("v2m_new", c_void_p, c_char_p, c_uint32),
        ("v2m_connect", c_int, c_void_p, c_int),
        ("v2m_free", None, c_void_p),
        ("v2m_arm", c_int, c_void_p, c_char_p, c_int, c_uint32),
        ("v2m_start", c_int, c_void_p, c_void_p, c_char_p, c_int, c_char_p),
        ("v2m_link", c_int, c_void_p, c_char_p, c_char_p),
        ("v2m_wake_at_next_block", None, c_void_p),
        ("v2m_stop", None, c_void_p, c_int),
        ("v2m_event_fd", c_int, c_void_p),
        ("v2m_read_status", None, c_void_p, POINTER(Status)),
        ("v2m_devices", c_int, c_void_p, POINTER(_Device), c_int, c_int),
    ):
        function = getattr(library, name)  # unlike library[name], remembered by the library
        function.restype, function.argtypes = result, arguments
    return library


class Connection:
    """PipeWire's client library with its thread; `connect` and `devices` wait for the server."""

    def __init__(self) -> None:
        """Load the libraries and start the thread, a matter of milliseconds. Raises CaptureError."""
        self._library = load_library()
        reason = ctypes.create_string_buffer(TEXT_BYTES)
        self._handle: int | None = self._library.v2m_new(reason, TEXT_BYTES)
        if self._handle is None:
            raise CaptureError(
                f"PipeWire's client library cannot be used: {reason.value.decode(errors='replace')}.",
                reason=CaptureReason.NO_SERVER,
                hint="Install the package libpipewire-0.3-0.",
            )
        self._connecting = threading.Lock()
        self.event_fd: int = self._library.v2m_event_fd(self._handle)

    def connect(self, timeout_s: float) -> None:
        """Connect, unless it is connected. Raises CaptureError."""
        with self._connecting:
            if self._handle is not None and not self.status().connected:
                _check(self._library.v2m_connect(self._handle, int(timeout_s * 1000)))

    def arm(self, target: str, quality: int, preroll: int) -> None:
        """Connect a stream that stays inactive, or listens so that `preroll` samples precede START's own.

        Nothing happens when there is one. Raises CaptureError.
        """
        _check(self._library.v2m_arm(self._handle, target.encode(), quality, preroll))

    def start(self, header_address: int, target: str, quality: int, heard: str | None) -> None:
        """Record into the spool at this address; lasts 0.1 to 3 ms. Raises CaptureError, also without a microphone.

        `heard` is None where a session manager makes the stream's ports, else what `link` will be told.
        """
        source = None if heard is None else heard.encode()
        _check(self._library.v2m_start(self._handle, header_address, target.encode(), quality, source))

    def link(self, target: str, heard: str) -> bool:
        """Link the stream ourselves until somebody else does; waits for nothing. Twice is fine.

        From `target`, else the source called `heard`, else the likeliest. False when no session manager has given
        the stream its ports. Raises CaptureError, also without a source.
        """
        result = self._library.v2m_link(self._handle, target.encode(), heard.encode())
        return result != -errno.ENOTCONN and _check(result) == 0

    def wake_at_next_block(self) -> None:
        """Make `event_fd` readable once the next block has been stored."""
        self._library.v2m_wake_at_next_block(self._handle)

    def stop(self, *, keep: bool) -> None:
        """End the recording; afterwards the spool is not touched. `keep` leaves the stream as `arm` made it."""
        self._library.v2m_stop(self._handle, int(keep))

    def status(self) -> Status:
        """Return a copy of the present state."""
        status = Status()
        self._library.v2m_read_status(self._handle, ctypes.byref(status))
        return status

    def devices(self, timeout_s: float) -> list[Device]:
        """List the microphones. Raises CaptureError."""
        found = (_Device * _DEVICES)()
        count = _check(self._library.v2m_devices(self._handle, found, _DEVICES, int(timeout_s * 1000)))
        return [
            Device(
                name=device.name.decode(errors="replace"),
                description=device.description.decode(errors="replace"),
                default=bool(device.is_default),
            )
            for device in found[:count]
        ]

    def close(self) -> None:
        """Disconnect and end the thread; twice is fine."""
        with self._connecting:
            handle, self._handle = self._handle, None
            if handle is not None:
                self._library.v2m_free(handle)


def _check(result: int) -> int:
    if result == -errno.ENODEV:
        raise CaptureError(NO_MICROPHONE, reason=CaptureReason.NO_DEVICE, hint="v2m devices")
    if result < 0:
        raise CaptureError(
            f"PipeWire is not there ({os.strerror(-result)}).",
            reason=CaptureReason.NO_SERVER,
            hint="systemctl --user start pipewire wireplumber",
        )
    return result
