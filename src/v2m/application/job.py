"""A dictation on its way from the microphone to a window, and how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from v2m.application.aim import Sight
from v2m.domain.audio import CaptureReport
from v2m.domain.delivery import Deliver, Delivery
from v2m.domain.dictation import DaemonState
from v2m.domain.errors import V2mError
from v2m.domain.ports import Utterance


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a dictation ended, for whoever waits for it."""

    dictation: int
    text: str = ""
    delivery: Delivery | None = None
    error: V2mError | None = None
    stages: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Job:
    """A recording whose microphone is closed, on its way to a window."""

    dictation: int
    utterance: Utterance
    report: CaptureReport
    deliver: Deliver
    hint: Mapping[str, str]
    stopped_ns: int  # CLOCK_MONOTONIC of the key's release, as the daemon handled it
    spool: Path | None = None  # the audio, where it is a file
    resumed: bool = False  # an earlier dictation: its row stays as it is until there is a new text
    settled: bool = False  # the engine has answered: too late to abort
    hold: str = ""  # why the text must not be typed by itself; empty: type it
    sight: Sight | None = None  # what had the focus at START; None: whatever has it at the end is meant
    language: str = ""  # it is decoded in
    stage: DaemonState = DaemonState.TRANSCRIBING
    stages: dict[str, float] = field(default_factory=dict)
