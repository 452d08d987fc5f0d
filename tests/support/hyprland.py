"""Hyprland's request socket as a real server: one question per connection, answered and closed."""

import json
import socket
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

from v2m.domain.delivery import Session

SIGNATURE = "v0.54_1763740000_42"


class Hyprland:
    """Windows by address; `lua`: its configuration is Lua, so that `dispatch` takes an expression."""

    def __init__(self, folder: Path, *, lua: bool = False) -> None:
        self.session = Session(
            {"WAYLAND_DISPLAY": str(folder / "wayland-1"), "HYPRLAND_INSTANCE_SIGNATURE": SIGNATURE}, "test"
        )
        self.lua = lua
        self.windows: dict[str, dict] = {}
        self.active = ""
        self.locked: bool | None = False  # None: a version that knows no such command
        self.questions: list[str] = []
        self.answers: dict[str, bytes | None] = {}  # to these questions instead; None: no answer
        path = folder / "hypr" / SIGNATURE / ".socket.sock"
        path.parent.mkdir(parents=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def open(self, address: str, *, app: str, title: str = "", pid: int = 1) -> None:
        """Map a window; it has the focus then."""
        window = {"address": address, "class": app, "initialClass": app, "title": title, "pid": pid, "mapped": True}
        self.windows[address] = window
        self.active = address

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                question = client.recv(4096).decode()
                self.questions.append(question)
                answer = self.answers[question] if question in self.answers else self._answer(question)
                if answer is None:
                    client.settimeout(10)
                    client.recv(1)  # until the other side gives up
                    continue
                try:
                    client.sendall(answer)
                except BrokenPipeError:
                    pass

    def _answer(self, question: str) -> bytes:
        form = 'dispatch hl.dsp.focus({ window = "address:%s" })' if self.lua else "dispatch focuswindow address:%s"
        if question == "j/activewindow":
            return json.dumps(self.windows.get(self.active, {})).encode()
        if question == "j/locked" and self.locked is not None:
            return json.dumps({"locked": self.locked}).encode()
        for address in self.windows:
            if question == form % address:
                self.active = address
                return b"ok"
        if question.startswith("dispatch "):
            return b"error: syntax" if self.lua else b"No such window found"
        return b"unknown request"


@contextmanager
def hyprland(**options):
    """Run one in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="v2m-", dir="/tmp") as folder:
        server = Hyprland(Path(folder), **options)
        try:
            yield server
        finally:
            server.close()
