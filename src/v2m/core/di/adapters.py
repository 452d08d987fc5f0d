"""Which adapter a setting names.

One `match` per port, with the import inside each case: only the chosen library is loaded, and the type
checker still sees all of them.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from v2m.application.commands import DISPLAY_VARIABLES
from v2m.config import Settings
from v2m.domain.errors import HistoryError
from v2m.domain.ports import (
    History,
    MediaOpener,
    Microphone,
    Notifier,
    SessionEnvironment,
    TextOutput,
)
from v2m.utils.paths import runtime_base, session_bus_address, set_variables

# The order in which ways of typing are tried: whole texts first, keys next, children after in-process.
OUTPUT_ORDER = (
    "input-method",
    "virtual-keyboard",
    "paste",
    "xtest",
    "paste-x11",
    "wtype",
    "xdotool",
    "portal",
    "ydotool",
    "dotool",
)
MICROPHONE_ORDER = ("pipewire", "portaudio", "parec")


def make_microphone(settings: Settings) -> Microphone:
    """Return the microphone, or the chain of all back ends in order of preference."""
    from v2m.infrastructure.capture.chain import MicrophoneChain

    backend = settings.audio.backend
    names = MICROPHONE_ORDER if backend == "auto" else (backend,)
    microphones = [_microphone(name, settings) for name in names]
    return MicrophoneChain(microphones, wants_preroll=settings.audio.preroll_ms > 0)


def _microphone(name: str, settings: Settings) -> Microphone:
    audio = settings.audio
    match name:
        case "pipewire":
            from v2m.infrastructure.capture.pipewire import PipewireMicrophone

            return PipewireMicrophone(
                device=audio.device,
                policy=audio.policy,
                resample_quality=audio.resample_quality,
                preroll_ms=audio.preroll_ms,
            )
        case "portaudio":
            from v2m.infrastructure.capture.portaudio import PortaudioMicrophone

            return PortaudioMicrophone(device=audio.device)
        case "parec":
            from v2m.infrastructure.capture.parec import ParecMicrophone

            return ParecMicrophone(device=audio.device)
        case _:
            from v2m.infrastructure.capture.wav_file import WavFileMicrophone

            return WavFileMicrophone(Path(audio.wav_path))


def make_media(settings: Settings) -> MediaOpener:
    """Return what reads the files that the speech process cannot."""
    from v2m.infrastructure.media.ffmpeg import FfmpegMedia

    return FfmpegMedia(settings.paths.spool())


async def open_history(settings: Settings, on_trouble: Callable[[str], None]) -> History:
    """Return the history; one that cannot be opened now is told, and tried again with each dictation."""
    if not settings.history.enabled:
        from v2m.infrastructure.history.memory import MemoryHistory

        return MemoryHistory()
    from v2m.infrastructure.history.sqlite import SqliteHistory

    history = SqliteHistory(
        settings.paths.state() / "history.db",
        retention_days=settings.history.retention_days,
        keep_audio_s=settings.history.keep_audio_s,
        keep_trouble_audio_s=settings.history.keep_audio_trouble_s,
        on_damage=lambda aside: on_trouble(f"The history was damaged and begins anew; the old one is {aside}."),
    )
    try:
        await history.open()
    except HistoryError as error:
        on_trouble(str(error))
    return history


def make_outputs(settings: Settings) -> Sequence[TextOutput]:
    """Return the ways of typing in the order in which they are tried, without the clipboard."""
    method = settings.output.method
    names = OUTPUT_ORDER if method == "auto" else method
    return [_output(name, settings) for name in names if name not in ("clipboard", *settings.output.exclude)]


def _output(name: str, settings: Settings) -> TextOutput:
    match name:
        case "input-method":
            from v2m.infrastructure.output.wayland.input_method import InputMethodOutput

            return InputMethodOutput()
        case "virtual-keyboard":
            from v2m.infrastructure.output.wayland.virtual_keyboard import VirtualKeyboardOutput

            return VirtualKeyboardOutput()
        case "paste":
            from v2m.infrastructure.output.wayland.paste import PasteOutput

            return PasteOutput()
        case "xtest":
            from v2m.infrastructure.output.x11.xtest import XtestOutput

            return XtestOutput()
        case "wtype":
            from v2m.infrastructure.output.wayland.wtype import WtypeOutput

            return WtypeOutput()
        case _:
            from v2m.infrastructure.output.x11.xdotool import XdotoolOutput

            return XdotoolOutput()


def make_clipboard() -> TextOutput:
    """Return the last resort."""
    from v2m.infrastructure.output.clipboard import ClipboardOutput

    return ClipboardOutput()


def make_sessions() -> SessionEnvironment:
    """Return what finds the live desktop."""
    from v2m.infrastructure.desktop.session import LiveSession

    return LiveSession(runtime_dir=runtime_base(), own=set_variables((*DISPLAY_VARIABLES, "DBUS_SESSION_BUS_ADDRESS")))


def make_notifier(settings: Settings) -> Notifier:
    """Return what tells the user."""
    from v2m.infrastructure.desktop.notifications import DesktopNotifier

    return DesktopNotifier(**settings.notifications.model_dump(), bus_address=session_bus_address())
