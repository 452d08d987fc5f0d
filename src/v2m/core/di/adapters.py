"""Which adapter a setting names.

One `match` per port, with the import inside each case: only the chosen library is loaded, and the type
checker still sees all of them.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from v2m.application.commands import DISPLAY_VARIABLES
from v2m.config import Settings
from v2m.domain.errors import HistoryError
from v2m.domain.ports import (
    Eraser,
    Guard,
    History,
    InputWatch,
    Layouts,
    MediaOpener,
    Microphone,
    Notifier,
    Preview,
    SessionEnvironment,
    TextOutput,
    Windows,
)
from v2m.utils.paths import runtime_base, session_bus_address, set_variables, socket_path, system_bus_address

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
BACKSPACE_OUTPUTS = ("virtual-keyboard", "xtest")  # that press BackSpace as well
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
    from v2m.infrastructure.history.memory import MemoryHistory

    if not settings.history.enabled:
        return MemoryHistory()
    from v2m.infrastructure.history.sqlite import NewerSchemaError, SqliteHistory

    history = SqliteHistory(
        settings.paths.state() / "history.db",
        retention_days=settings.history.retention_days,
        keep_audio_s=settings.history.keep_audio_s,
        keep_trouble_audio_s=settings.history.keep_audio_trouble_s,
        on_damage=lambda aside, saved: on_trouble(
            f"The history was damaged: {saved} dictation{'s' * (saved != 1)} could be read and"
            f" {'are' if saved != 1 else 'is'} kept. The old file is {aside}."
        ),
    )
    try:
        await history.open()
    except NewerSchemaError as error:
        await history.aclose()
        on_trouble(f"{error} Until then dictations are remembered in memory only.")
        return MemoryHistory()
    except HistoryError as error:
        on_trouble(str(error))
    return history


def make_outputs(
    settings: Settings, dictating: Callable[[], bool], known: Mapping[str, TextOutput] = MappingProxyType({})
) -> Sequence[TextOutput]:
    """Return the ways of typing in the order in which they are tried, without the clipboard.

    `dictating` tells whether our own microphone is open: the user holds a key then. Those in `known` are there.
    """
    return [known.get(name) or _output(name, settings, dictating) for name in _chain(settings)]


def make_other_outputs(
    settings: Settings, dictating: Callable[[], bool], known: Mapping[str, TextOutput] = MappingProxyType({})
) -> Sequence[TextOutput]:
    """Return the ways of typing that only a rule of `[[policy]]` names."""
    named = dict.fromkeys(name for rule in settings.policy for name in rule.outputs or ())
    left_out = {"clipboard", *settings.output.exclude, *_chain(settings)}
    return [known.get(name) or _output(name, settings, dictating) for name in named if name not in left_out]


def _chain(settings: Settings) -> list[str]:
    method = settings.output.method
    names = OUTPUT_ORDER if method == "auto" else method
    return [name for name in names if name not in ("clipboard", *settings.output.exclude)]


def _output(name: str, settings: Settings, dictating: Callable[[], bool]) -> TextOutput:
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

            return XtestOutput(dictating=dictating)
        case "paste-x11":
            from v2m.infrastructure.output.x11.paste import PasteX11Output

            return PasteX11Output(dictating=dictating)
        case "portal":
            from v2m.infrastructure.output.portal import PortalOutput

            return PortalOutput(bus_address=session_bus_address(), state=settings.paths.state())
        case "file":
            from v2m.infrastructure.output.file import FileOutput

            return FileOutput(settings.output.file)
        case _:
            return _typing_tool(name)


def _typing_tool(name: str) -> TextOutput:
    """Return an output that is a program of its own, spawned for each text."""
    match name:
        case "wtype":
            from v2m.infrastructure.output.wayland.wtype import WtypeOutput

            return WtypeOutput()
        case "ydotool":
            from v2m.infrastructure.output.ydotool import YdotoolOutput

            named = set_variables(["YDOTOOL_SOCKET"]).values()
            return YdotoolOutput(sockets=[*named, f"{runtime_base()}/.ydotool_socket", "/tmp/.ydotool_socket"])  # noqa: S108 - where its daemon listens
        case "dotool":
            from v2m.infrastructure.output.dotool import DotoolOutput

            return DotoolOutput()
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


def make_layouts() -> Layouts:
    """Return what knows the keyboard layout of the live desktop."""
    from v2m.infrastructure.desktop.layouts import LiveLayouts

    return LiveLayouts()


def make_windows() -> Windows:
    """Return what knows the focused window of the live desktop."""
    from v2m.infrastructure.desktop.windows.chain import SessionWindows
    from v2m.infrastructure.desktop.windows.hyprland import HyprlandWindows
    from v2m.infrastructure.desktop.windows.sway import SwayWindows
    from v2m.infrastructure.desktop.windows.toplevels import ToplevelWindows
    from v2m.infrastructure.desktop.windows.x11 import X11Windows

    return SessionWindows(sway=SwayWindows(), hyprland=HyprlandWindows(), toplevels=ToplevelWindows(), x11=X11Windows())


def make_guard() -> Guard:
    """Return what tells password prompts, password fields and lock screens."""
    from v2m.infrastructure.desktop.guards.chain import Guards
    from v2m.infrastructure.desktop.guards.fields import FieldGuard
    from v2m.infrastructure.desktop.guards.lockers import LockerGuard
    from v2m.infrastructure.desktop.guards.prompts import PromptGuard
    from v2m.infrastructure.desktop.guards.savers import LogindGuard, ScreenSaverGuard

    return Guards(
        [
            PromptGuard(),
            LockerGuard(uid=os.getuid()),
            ScreenSaverGuard(bus_address=session_bus_address()),
            LogindGuard(bus_address=system_bus_address()),
            FieldGuard(),
        ]
    )


def make_erasers(outputs: Sequence[TextOutput]) -> Sequence[Eraser]:
    """Return the ways of taking a text back: one that sees it first, then the keys of these outputs."""
    from v2m.infrastructure.output.erasers.input_method import InputMethodEraser

    return [InputMethodEraser(), *make_key_erasers(outputs)]


def make_key_erasers(outputs: Sequence[TextOutput]) -> Sequence[Eraser]:
    """Return those of these outputs that press BackSpace as well."""
    from v2m.infrastructure.output.erasers.keys import KeyEraser

    return [KeyEraser(output) for output in outputs if output.name in BACKSPACE_OUTPUTS]


def make_input_watch() -> InputWatch:
    """Return what notices that the user touched keyboard or mouse."""
    from v2m.infrastructure.desktop.input_watch.chain import LiveInputWatch

    return LiveInputWatch()


def make_preview() -> Preview:
    """Return what shows text in the focused field before it is final."""
    from v2m.infrastructure.output.wayland.preview import InputMethodPreview

    return InputMethodPreview(mark=socket_path().parent / "preview")


def make_notifier(settings: Settings) -> Notifier:
    """Return what tells the user."""
    from v2m.infrastructure.desktop.notifications import DesktopNotifier

    return DesktopNotifier(**settings.notifications.model_dump(), bus_address=session_bus_address())
