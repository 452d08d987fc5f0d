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
    Guard,
    Layouts,
    Notifier,
    SessionEnvironment,
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
    "Guard",
    "History",
    "InputWatch",
    "Layouts",
    "MediaOpener",
    "MediaSource",
    "Microphone",
    "Notifier",
    "Preview",
    "Recording",
    "SessionEnvironment",
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
