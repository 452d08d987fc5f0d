"""A compositor made of a script: it speaks the wire protocol, and misbehaves where real ones cannot be asked to."""

import asyncio
import contextlib
import os
import socket
import tempfile
from pathlib import Path

from v2m.infrastructure._wayland.wire import Arguments, message, string, take_message, uints

GLOBALS = {
    "wl_seat": 7,
    "zwp_virtual_keyboard_manager_v1": 1,
    "zwp_input_method_manager_v2": 1,
    "zwlr_foreign_toplevel_manager_v1": 3,
}
MAKERS = {  # interface → {opcode: (interface it makes, position of the new id among the words)}
    "zwp_virtual_keyboard_manager_v1": {0: ("zwp_virtual_keyboard_v1", 1)},
    "zwp_input_method_manager_v2": {0: ("zwp_input_method_v2", 1)},
}


class ScriptedCompositor:
    """One client at a time. `on(interface, opcode, action)` runs `action(object_id, arguments)` at a request."""

    def __init__(self, *, offers=GLOBALS, answers=True) -> None:
        self.offers = offers
        self.answers = answers  # False: accepts, reads, says nothing
        self.requests: list[tuple[str, int]] = []
        self.texts: list[str] = []
        self.folder = tempfile.TemporaryDirectory(prefix="v2m-")
        self.path = str(Path(self.folder.name, "wayland-0"))
        self._actions = {}
        self._objects: dict[int, str] = {}
        self._writer = None
        self._listener = socket.socket(socket.AF_UNIX)

    async def __aenter__(self):
        self._listener.bind(self.path)
        self._listener.listen()
        self._listener.setblocking(False)
        self._tasks = asyncio.TaskGroup()
        await self._tasks.__aenter__()
        self._serving = self._tasks.create_task(self._serve())
        return self

    async def __aexit__(self, *error):
        self._serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._tasks.__aexit__(None, None, None)
        self._listener.close()
        self.folder.cleanup()

    def on(self, interface, opcode, action):
        self._actions[interface, opcode] = action

    def event(self, object_id, opcode, body=b""):
        """Send an event at once."""
        with contextlib.suppress(OSError):
            self._writer.send(message(object_id, opcode, body))

    def hang_up(self):
        self._writer.shutdown(socket.SHUT_RDWR)

    def activate(self, method, *, surrounding=None, purpose=0, hint=0):
        """Tell an input method that a field has the focus."""
        self.event(method, 0)
        if surrounding is not None:
            self.surround(method, surrounding)
        self.event(method, 4, uints(hint, purpose))
        self.event(method, 5)

    def surround(self, method, text):
        at = len(text.encode())
        self.event(method, 2, string(text) + uints(at, at))

    async def _serve(self):
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(self._listener)
            with client:
                client.setblocking(False)
                self._writer = client
                self._objects = {1: "wl_display"}
                with contextlib.suppress(ConnectionError):
                    await self._talk(client)

    async def _talk(self, client):
        buffer = bytearray()
        readable = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(client, readable.set)
        try:
            while True:
                await readable.wait()
                readable.clear()
                try:
                    data, fds, _, _ = socket.recv_fds(client, 65536, 28)
                except BlockingIOError:
                    continue
                for fd in fds:
                    os.close(fd)
                if not data:
                    return
                buffer += data
                while self.answers and (request := take_message(buffer)):
                    self._handle(*request)
        finally:
            loop.remove_reader(client)

    def _handle(self, object_id, opcode, body):
        interface = self._objects.get(object_id, "?")
        self.requests.append((interface, opcode))
        arguments = Arguments(body)
        if interface == "wl_display" and opcode == 0:
            callback = arguments.uint()
            self.event(callback, 0, uints(0))
            self.event(1, 1, uints(callback))
        elif interface == "wl_display":
            registry = arguments.uint()
            self._objects[registry] = "wl_registry"
            for name, (offer, version) in enumerate(self.offers.items()):
                self.event(registry, 0, uints(name) + string(offer) + uints(version))
        elif interface == "wl_registry":
            arguments.uint()
            bound = arguments.string()
            arguments.uint()
            self._made(arguments.uint(), bound)
        elif opcode in MAKERS.get(interface, {}):
            made, position = MAKERS[interface][opcode]
            self._made(int.from_bytes(body[4 * position : 4 * position + 4], "little"), made)
        elif (interface, opcode) == ("zwp_input_method_v2", 0):
            self.texts.append(arguments.string())
        if action := self._actions.get((interface, opcode)):
            action(object_id, Arguments(body))

    def _made(self, object_id, interface):
        self._objects[object_id] = interface
        if interface == "zwlr_foreign_toplevel_manager_v1":
            self.toplevels = object_id
            self.toplevel(0xFF000001, "editor", active=True)
        if action := self._actions.get((interface, "made")):
            action(object_id, None)

    def toplevel(self, handle, app, *, active, title=""):
        """Announce a window."""
        self._objects[handle] = "zwlr_foreign_toplevel_handle_v1"
        self.event(self.toplevels, 0, uints(handle))
        self.event(handle, 0, string(title))
        self.event(handle, 1, string(app))
        self.set_active(handle, active)

    def set_active(self, handle, active):
        """Give a window the focus, or take it away."""
        states = uints(2) if active else b""
        self.event(handle, 4, uints(len(states)) + states)
        self.event(handle, 5)
