"""A private D-Bus, and services on it that answer what a test wants."""

import asyncio
import subprocess
import tempfile
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from dbus_fast import MessageType
from dbus_fast.aio import MessageBus

from support.daemon import listens, wait_until


@contextmanager
def private_bus(socket: Path | None = None):
    """Run a bus at `socket`, or in a folder of its own; yields its address."""
    with tempfile.TemporaryDirectory(prefix="v2m-bus-", dir="/tmp") as folder:
        path = socket or Path(folder, "bus")
        address = f"unix:path={path}"
        daemon = subprocess.Popen(
            ["dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={address}"], stderr=subprocess.DEVNULL
        )
        try:
            wait_until(lambda: listens(path), what="the bus")
            yield address
        finally:
            daemon.terminate()
            daemon.wait(10)


@asynccontextmanager
async def answering(address, name, answer):
    """Own a name; `answer(message)` returns the answer to each call, or None when there will never be one."""
    bus = await MessageBus(bus_address=address).connect()

    def handle(message):
        if message.message_type is not MessageType.METHOD_CALL or message.interface == "org.freedesktop.DBus":
            return None
        return answer(message) or True

    bus.add_message_handler(handle)
    await bus.request_name(name)
    try:
        yield
    finally:
        bus.disconnect()
        await bus.wait_for_disconnect()
        await asyncio.sleep(0)
