"""What v2m needs from the world, as the application sees it.

Each docstring says who calls it, where it runs, whether it may block, what cancelling does and which
errors come out. Adapters conform by shape (`typing.Protocol`); mypy proves it where the composition
root returns them.
"""

from v2m.domain.ports.audio import (
    MediaOpener,
    MediaSource,
    Microphone,
    Recording,
    Spool,
    SpoolStore,
)
from v2m.domain.ports.desktop import (
    Gauges,
    Guard,
    Hotkeys,
    Layouts,
    MediaPlayers,
    Notifier,
    SessionEnvironment,
    SleepWatch,
    Windows,
)
from v2m.domain.ports.history import (
    History,
)
from v2m.domain.ports.speech import (
    EngineCapabilities,
    SpeechEngine,
    SpeechStream,
    TranscribeOptions,
    Transcriber,
    Utterance,
    VoiceActivityDetector,
)
from v2m.domain.ports.text import (
    AtBest,
    Availability,
    Eraser,
    InputWatch,
    Preview,
    TextOutput,
)

__all__ = [
    "AtBest",
    "Availability",
    "EngineCapabilities",
    "Eraser",
    "Gauges",
    "Guard",
    "History",
    "Hotkeys",
    "InputWatch",
    "Layouts",
    "MediaOpener",
    "MediaPlayers",
    "MediaSource",
    "Microphone",
    "Notifier",
    "Preview",
    "Recording",
    "SessionEnvironment",
    "SleepWatch",
    "SpeechEngine",
    "SpeechStream",
    "Spool",
    "SpoolStore",
    "TextOutput",
    "TranscribeOptions",
    "Transcriber",
    "Utterance",
    "VoiceActivityDetector",
    "Windows",
]
