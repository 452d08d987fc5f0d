"""Settings files of a private home, and a private desktop that takes down notifications."""

import asyncio
from contextlib import contextmanager
from threading import Event, Thread

from dbus_fast import Message

from support.bus import answering, private_bus
from support.daemon import wait_until


class SettingsFile:
    """The settings of a daemon in a private home."""

    def __init__(self, home):
        self.home = home
        self.path = home.folder / "config/v2m/config.toml"

    def write(self, text):
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(text)

    def of(self, key):
        """Return what GET_CONFIG tells of one setting."""
        (entry,) = self.home.ask("GET_CONFIG", keys=[key])["data"]["settings"]
        return entry

    def change(self, **changes):
        """Ask for a change; `__` stands for the dot."""
        return self.home.ask("UPDATE_CONFIG", changes={key.replace("__", "."): value for key, value in changes.items()})

    def degraded(self):
        return self.home.ask("GET_STATUS")["data"]["degraded"].get("config", "")

    def start(self):
        """Start a recording that is no tap."""
        dictation = self.home.ask("START_RECORDING")["data"]["dictation"]
        wait_until(lambda: self.home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 0.3, what="some sound")
        return dictation

    def dictate(self):
        """Return what one dictation said."""
        self.start()
        return self.home.ask("STOP_RECORDING")["data"].get("transcription")


@contextmanager
def noting_notifications(home):
    """Run a session bus for the home's daemon; yields the list of (title, body) that a user would have seen."""
    shown = []

    def answer(message):
        match message.member:
            case "Notify":
                shown.append(tuple(message.body[3:5]))
                return Message.new_method_return(message, "u", [len(shown)])
            case "GetCapabilities":
                return Message.new_method_return(message, "as", [[]])
            case _:
                return Message.new_method_return(message)

    async def serve(address, ready, done):
        async with answering(address, "org.freedesktop.Notifications", answer):
            ready.set()
            await asyncio.to_thread(done.wait)

    ready, done = Event(), Event()
    with private_bus() as address:
        home.variables["DBUS_SESSION_BUS_ADDRESS"] = address
        thread = Thread(target=lambda: asyncio.run(serve(address, ready, done)))
        thread.start()
        try:
            assert ready.wait(10)
            yield shown
        finally:
            done.set()
            thread.join()
