"""A small real server on a Unix socket for tests of clients: answers what it was given, remembers what it got."""

import json
import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.daemon import frame, read_exactly

V2M = [sys.executable, "-m", "v2m.main"]

Answer = dict[str, Any] | bytes | None | Callable[[dict[str, Any]], "Answer"]


def environment(socket_path: Path, **variables: str) -> dict[str, str]:
    """Return the whole environment of a client of the daemon at this socket."""
    kept = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")
    base = {name: os.environ[name] for name in kept if name in os.environ}
    return {**base, "HOME": "/nonexistent", "LANG": "C.UTF-8", "V2M_SOCKET": str(socket_path), **variables}


def good(**data: Any) -> dict[str, Any]:
    """Return a good answer; the daemon is idle."""
    return {"status": "success", "data": {"state": "idle", **data}}


def refused(code: str, message: str = "No.", hint: str | None = "v2m status") -> dict[str, Any]:
    """Return a refusal."""
    about = {"code": code, "message": message, "hint": hint}
    return {"status": "error", "error": about, "data": {"state": "recording"}}


class AnsweringServer:
    """Answers each command with its entry in `answers`.

    A dict is framed, bytes are sent as they are and end the connection, None leaves the client waiting,
    a function is called with the request. A list of answers is a stream, after which the server closes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, Any] = {"PING": good(message="PONG", version="0", protocol=1)}
        self.requests: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening and hang up."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Close every connection, as a daemon does with idle ones when there are too many."""
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while self._answer_one(connection):
                    pass
            except OSError:
                pass
        self._open.discard(connection)

    def _answer_one(self, connection: socket.socket) -> bool:
        try:
            header = read_exactly(connection, 4)
            body = read_exactly(connection, int.from_bytes(header, "big"))
        except EOFError:
            return False
        self.raw.append(header + body)
        request = json.loads(body)
        self.requests.append(request)
        answer = self.answers.get(request["cmd"], refused("unknown_command", f"No {request['cmd']}."))
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, list):
            for each in answer:
                connection.sendall(frame(each))
            return False
        if isinstance(answer, bytes):
            connection.sendall(answer)
            return False
        if answer is not None:
            connection.sendall(frame(answer))
        return True


@contextmanager
def answering() -> Iterator[AnsweringServer]:
    """Run a server in a folder of its own, with a path short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="v2m-"))
    server = AnsweringServer(folder / "s")
    try:
        yield server
    finally:
        server.close()
        shutil.rmtree(folder)
