#!python
"""`toak` for a machine without a C compiler: does what toak.c does, a hundred times slower.

Installed as an executable script by the build hook (an installer replaces the first line). It imports
nothing of v2m and as little as it can, since it starts on every press of the hotkey; verbs, bytes and
exit codes are compared with toak.c and with the daemon by a test.
"""

import os
import socket
import struct
import sys

START, STOP, ABORT, TOGGLE, STATUS, START_SLOT_1 = 0x01, 0x02, 0x03, 0x04, 0x05, 0x11
OK, USAGE, NOT_RUNNING, FAILED, TRY_AGAIN, PERMISSION, BAD_CONFIG = 0, 64, 69, 70, 75, 77, 78
MAX_PAYLOAD_SIZE, HEADER_BYTES, PATIENCE_US, PATH_BYTES = 1 << 20, 4, 250_000, 107

HELP = """\
usage: toak VERB [--wait]
  --start [1-9]  record, with profile 1-9 if given
  --stop         stop, transcribe and type
  --abort        throw the recording away (also: discard)
  --toggle       start, or stop what is recording
  --status       print the daemon's state as JSON
  --wait         print the daemon's answer to any verb
The dashes may be left out.
"""
VERBS = {"start": START, "stop": STOP, "abort": ABORT, "discard": ABORT, "toggle": TOGGLE, "status": STATUS}
REFUSALS = {  # what an error code in an answer means to a shell; every other code is FAILED
    b"bad_request": USAGE,
    b"unknown_command": USAGE,
    b"busy": TRY_AGAIN,
    b"timeout": TRY_AGAIN,
    b"state_conflict": TRY_AGAIN,
    b"already_running": TRY_AGAIN,
    b"permission": PERMISSION,
    b"bad_config": BAD_CONFIG,
    b"model_missing": BAD_CONFIG,
    b"not_running": NOT_RUNNING,
    b"usage": USAGE,
}
DIGITS = {str(slot): START_SLOT_1 + slot - 1 for slot in range(1, 10)}


class Failure(Exception):  # noqa: N818 - not an error of this program
    """An exit status and what to tell the user."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def parse(words: list[str]) -> tuple[int, bool]:
    """Return the control byte, 0 for a mistake, and whether to wait for the answer."""
    byte, waits = 0, False
    for word in words:
        verb = word.removeprefix("--")
        if byte == START and word in DIGITS:
            byte = DIGITS[word]
        elif verb == "help":
            write(1, HELP.encode())
            sys.exit(OK)
        elif verb == "wait":
            waits = True
        elif byte or verb not in VERBS:
            return 0, False
        else:
            byte = VERBS[verb]
    return byte, waits or byte == STATUS


def find_socket() -> bytes:
    """Return the path by the rule of `v2m.utils.paths.socket_path()`; an empty variable counts as unset."""
    base = os.environb.get(b"XDG_RUNTIME_DIR") or b"/run/user/%d" % os.getuid()
    path = os.environb.get(b"V2M_SOCKET") or base + b"/v2m/v2m.sock"
    if not path.startswith(b"/") or len(path) > PATH_BYTES:
        raise Failure(BAD_CONFIG, f"the socket's path is not absolute, or longer than {PATH_BYTES} bytes")
    return path


def connect(connection: socket.socket, path: bytes) -> None:
    """Connect within the send time-out: a stopped daemon with a full backlog would block for ever."""
    try:
        connection.connect(path)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        raise Failure(NOT_RUNNING, "the daemon is not running; start it with: toakd") from None
    except PermissionError:
        raise Failure(PERMISSION, "the daemon's socket belongs to somebody else") from None
    except BlockingIOError:
        raise Failure(TRY_AGAIN, "the daemon does not answer") from None
    except OSError:
        raise Failure(FAILED, "cannot connect to the daemon") from None


def receive(connection: socket.socket) -> bytes:
    """Return one answer: four bytes of length, big endian, then JSON."""
    try:
        header = connection.recv(HEADER_BYTES, socket.MSG_WAITALL)
    except BlockingIOError:
        raise Failure(TRY_AGAIN, "the daemon does not answer") from None
    except OSError:
        header = b""
    length = int.from_bytes(header, "big")
    reply = b""
    if len(header) == HEADER_BYTES and 0 < length <= MAX_PAYLOAD_SIZE:
        try:
            reply = connection.recv(length, socket.MSG_WAITALL)
        except OSError:
            reply = b""
    if not reply or len(reply) != length:
        raise Failure(FAILED, "the daemon's answer is not complete")
    return reply


def deliver(byte: int, *, waits: bool) -> bytes:
    """Send the byte; return the answer if it is waited for."""
    path = find_socket()
    patience = struct.pack("ll", 0, PATIENCE_US)
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError:
        raise Failure(FAILED, "cannot make a socket") from None
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
    connect(connection, path)
    try:
        connection.send(bytes([byte]), socket.MSG_NOSIGNAL)
    except OSError:
        raise Failure(TRY_AGAIN, "the daemon does not answer") from None
    if not waits:
        return b""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
    return receive(connection)


def status_of_reply(reply: bytes) -> int:
    """Return the exit status; the daemon writes status first, and code first in an error."""
    if not reply.startswith(b'{"status":"error"'):
        return OK
    code = reply.partition(b'"code":"')[2].partition(b'"')[0]
    return REFUSALS.get(code, FAILED)


def notify(message: str) -> None:
    """Start notify-send, holding nothing of ours, and do not wait for it. Ends this process's connections."""
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as nothing:  # unconnected: as good as /dev/null
        actions = [(os.POSIX_SPAWN_DUP2, nothing.fileno(), fd) for fd in range(3)]
        hint = "--hint=string:x-canonical-private-synchronous:v2m"  # a held key replaces, never piles up
        words = ["notify-send", "--app-name=v2m", hint, "No dictation", message]
        for folder in os.get_exec_path():
            if not folder.startswith("/"):  # never from the current directory
                continue
            try:
                os.posix_spawn(f"{folder}/notify-send", words, os.environb, file_actions=actions)
            except OSError:
                continue
            return


def write(fd: int, text: bytes) -> None:
    """Write it all, or as much as the reader takes."""
    try:
        while text:
            text = text[os.write(fd, text) :]
    except OSError:
        return


def main() -> int:
    """Run; returns the exit status."""
    byte, waits = parse(sys.argv[1:])
    if not byte:
        write(2, HELP.encode())
        return USAGE
    try:
        reply = deliver(byte, waits=waits)
    except Failure as failure:
        write(2, f"toak: {failure}\n".encode())
        if not waits:  # a hotkey press is never silent; whoever waits for an answer reads it here
            notify(str(failure))
        return failure.status
    if not waits:
        return OK
    write(1, reply + b"\n")
    return status_of_reply(reply)


if __name__ == "__main__":
    sys.exit(main())
