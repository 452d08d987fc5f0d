"""What the daemon is doing and would do, as one snapshot."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from v2m import __version__
from v2m.application.deliver import Deliverer
from v2m.application.dictate import Dictations
from v2m.application.survey import Survey
from v2m.application.tongue import Tongue
from v2m.domain.errors import HistoryError
from v2m.domain.hotkeys import HotkeyState
from v2m.domain.ports import Gauges, History, Transcriber


class Degradations:
    """Which promises are weaker for now, and why; the newest reason per subject counts."""

    def __init__(self) -> None:
        self.active: dict[str, str] = {}

    def note(self, what: str, detail: str) -> None:
        """Remember a degradation, until the daemon ends or it is cleared."""
        self.active[what] = detail

    def clear(self, what: str) -> bool:
        """Forget a degradation that is over; tell whether there was one."""
        return self.active.pop(what, None) is not None


class Status:
    """Builds the data of GET_STATUS."""

    def __init__(
        self,
        *,
        dictations: Dictations,
        deliverer: Deliverer,
        transcriber: Transcriber,
        tongue: Tongue,
        degradations: Degradations,
        microphone: Mapping[str, str],
        keys: Mapping[str, str],
        hotkeys: Callable[[], HotkeyState],
        gauges: Gauges,
        history: History,
    ) -> None:
        self._dictations = dictations
        self._deliverer = deliverer
        self._transcriber = transcriber
        self._tongue = tongue
        self._degradations = degradations
        self._microphone = microphone
        self._keys = keys
        self._hotkeys = hotkeys
        self._gauges = gauges
        self._history = history

    async def telemetry(self) -> dict[str, Any]:
        """Return what the daemon takes of this machine, and how often it was used today (null: not known)."""
        midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
        today: int | None = None
        try:
            today = await self._history.count_since(int(midnight.timestamp() * 1e9))
        except HistoryError:
            pass
        return {**await asyncio.to_thread(self._gauges.read), "dictations_today": today}

    def use(self, *, microphone: Mapping[str, str], keys: Mapping[str, str]) -> None:
        """Tell of other settings."""
        self._microphone, self._keys = microphone, keys

    async def snapshot(self) -> dict[str, Any]:
        """Return everything a client may want to show."""
        survey = await self._deliverer.survey({})
        opened, hotkeys = self._dictations.recording, self._hotkeys()
        return {
            "paused": self._dictations.paused,
            "since": round(self._dictations.since, 3),
            "for_s": round(time.time() - self._dictations.since, 3),
            "queue": self._dictations.queue,
            "recording": opened
            and {
                "dictation": opened.dictation,
                "seconds": round(opened.seconds_open, 2),
                "source": opened.recording.source,
                "backend": opened.recording.backend,
                "stages": opened.stages(),
            },
            "engine": self._engine(),
            "microphone": dict(self._microphone),
            **outputs(survey),
            "hotkeys": {"backend": hotkeys.backend, "triggers": dict(hotkeys.triggers)},
            "degraded": dict(self._degradations.active),
            "keys": dict(self._keys),
            "pid": os.getpid(),
            "version": __version__,
        }

    def _engine(self) -> dict[str, Any]:
        can = self._transcriber.capabilities
        return {
            "name": can.name if can else None,
            "state": self._transcriber.state,
            "loads": self._transcriber.loads,
            "languages": list(can.languages) if can else [],
            "network": bool(can and can.network),
            "gpu": bool(can and can.gpu),
            "confined": bool(can and can.confined),
            "exposed": can.exposed if can else "",
            "detail": self._transcriber.detail,
            "notice": " ".join(filter(None, (can.notice if can else "", self._tongue.mismatch()))),
        }


def outputs(survey: Survey) -> dict[str, Any]:
    """Return a survey as a client sees it."""
    return {
        "session": {"origin": survey.session.origin, "variables": dict(survey.session.variables)},
        "output": survey.chosen,
        "outputs": [{"name": name, "usable": found.usable, "reason": found.reason} for name, found in survey.outputs],
    }
