"""What goes on beside the dictations: hotkeys of the desktop, sleep, other players; wired."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from v2m.application.dictate import Dictations
from v2m.application.hotkey import Hotkey
from v2m.application.hush import Hush
from v2m.application.sleep import Sleep
from v2m.config import Settings
from v2m.core.di.adapters import make_sessions
from v2m.core.di.ears import Ears, Job
from v2m.domain.delivery import Session
from v2m.domain.errors import V2mError
from v2m.domain.hotkeys import HotkeyState
from v2m.domain.ports import Gauges, Hotkeys, MediaPlayers, Microphone, SleepWatch, Transcriber
from v2m.utils.paths import menu_entry, session_bus_address, system_bus_address

log = logging.getLogger(__name__)


class Beside:
    """The adapters that the settings name, and the jobs that are done with them."""

    def __init__(self, settings: Settings, ears: Ears) -> None:
        self._ears = ears
        self._hotkeys = make_hotkeys(settings)
        self._hush = _hush(settings)

    def on_recording(self, is_open: bool) -> None:  # noqa: FBT001 - a callback
        """Pass on that the microphone was opened or let go."""
        if self._hush is not None:
            self._hush.recording(is_open)

    def hotkeys(self) -> HotkeyState:
        """Return which hotkeys are bound."""
        return self._hotkeys.state if self._hotkeys is not None else HotkeyState()

    def jobs(
        self, *, dictations: Dictations, hotkey: Hotkey, microphone: Microphone, transcriber: Transcriber
    ) -> Sequence[Job]:
        """Return what runs as long as the daemon."""
        ears, watch = self._ears, make_sleep_watch()
        sleep = Sleep(dictations=dictations, microphone=microphone, transcriber=transcriber, announcer=ears.announcer)

        async def watch_sleep() -> None:
            await watch.run(sleep.before, sleep.after)

        jobs: list[Job] = [watch_sleep]
        if self._hush is not None:
            jobs.append(self._hush.run)
        if (hotkeys := self._hotkeys) is not None:

            async def listen() -> None:
                await hotkeys.run(lambda action, asked_ns: hotkey.press(action, asked_ns, _heard), self._told)

            jobs.append(listen)
        return jobs

    def _told(self, trouble: str) -> None:
        if trouble:
            self._ears.degraded("hotkeys")(trouble)
        else:
            self._ears.restored("hotkeys")()
            log.info("hotkeys: %s", self.hotkeys())


def _heard(error: V2mError | None) -> None:
    """Nobody waits for what a key does; the user has been told of an error."""


def _hush(settings: Settings) -> Hush | None:
    how = settings.media.while_recording
    return None if how == "off" else Hush(make_players(how, settings.paths.state()))


def make_players(how: str, state: Path) -> MediaPlayers:
    """Return what pauses the session's players, or lowers them."""
    from v2m.infrastructure.desktop.media import MprisPlayers

    return MprisPlayers(bus_address=session_bus_address, pauses=how == "pause", state=state)


def make_sleep_watch() -> SleepWatch:
    """Return what knows when the machine sleeps."""
    from v2m.infrastructure.desktop.sleep import LogindSleep

    return LogindSleep(bus_address=system_bus_address())


def make_gauges() -> Gauges:
    """Return what measures the daemon."""
    from v2m.infrastructure.desktop.telemetry import ProcGauges

    return ProcGauges()


def make_hotkeys(settings: Settings) -> Hotkeys | None:
    """Return the hotkeys of the live desktop, None where the settings want none."""
    shortcuts, backend = settings.hotkeys.shortcuts(), settings.hotkeys.backend
    if backend == "off" or not shortcuts:
        return None
    from v2m.infrastructure.desktop.hotkeys.live import Backend, LiveHotkeys
    from v2m.infrastructure.desktop.hotkeys.portal import PortalHotkeys
    from v2m.infrastructure.desktop.hotkeys.sway import SwayHotkeys

    backends: list[Backend] = []
    if backend in ("auto", "sway"):
        backends.append(SwayHotkeys(shortcuts))
    if backend in ("auto", "portal"):
        backends.append(
            PortalHotkeys(
                shortcuts,
                bus_address=session_bus_address,
                entry=menu_entry(),
                program=str(Path(sys.executable).with_name("toakd")),
            )
        )
    sessions = make_sessions()

    async def locate() -> Session:
        return await sessions.current({})

    return LiveHotkeys(backends, locate=locate)
