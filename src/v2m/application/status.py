"""What the daemon is doing and would do, as one snapshot."""

import os
import time
from collections.abc import Mapping
from typing import Any

from v2m import __version__
from v2m.application.deliver import Deliverer
from v2m.application.dictate import Dictations
from v2m.application.survey import Survey
from v2m.application.tongue import Tongue
from v2m.domain.ports import Transcriber


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
    ) -> None:
        self._dictations = dictations
        self._deliverer = deliverer
        self._transcriber = transcriber
        self._tongue = tongue
        self._degradations = degradations
        self._microphone = microphone
        self._keys = keys

    async def snapshot(self) -> dict[str, Any]:
        """Return everything a client may want to show."""
        survey = await self._deliverer.survey({})
        opened = self._dictations.recording
        return {
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
