"""The adapters that the settings name, opened in the order in which a pressed key needs them."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from v2m.application.switches import MicrophoneSwitch, TranscriberSwitch
from v2m.config import Settings
from v2m.core.di.adapters import make_microphone, open_history
from v2m.core.di.ears import Ears
from v2m.core.di.speech import make_transcriber
from v2m.core.di.ways_out import Overrides, WaysOut, open_ways_out
from v2m.domain.ports import History
from v2m.infrastructure._spool import SpoolDirectory


@dataclass(frozen=True, slots=True)
class Ports:
    """The opened adapters."""

    spools: SpoolDirectory
    microphone: MicrophoneSwitch
    history: History
    transcriber: TranscriberSwitch
    out: WaysOut


async def open_ports(settings: Settings, overrides: Overrides, ears: Ears, stack: AsyncExitStack) -> Ports:
    """Open what a pressed key needs first; what was opened is on the stack."""
    spools = stack.enter_context(
        SpoolDirectory(
            settings.paths.spool(),
            max_recording_s=settings.audio.max_recording_s,
            on_degraded=ears.degraded("storage"),
            on_restored=ears.restored("storage"),
        )
    )
    microphone = MicrophoneSwitch(overrides.microphone or make_microphone(settings))
    stack.push_async_callback(microphone.aclose)
    history = overrides.history or await open_history(settings, ears.degraded("history"))
    stack.push_async_callback(history.aclose)
    transcriber = TranscriberSwitch(overrides.transcriber or make_transcriber(settings, ears.engine_changed, ears.sent))
    stack.push_async_callback(transcriber.aclose)
    out = await open_ways_out(settings, overrides, ears, stack)
    return Ports(spools, microphone, history, transcriber, out)
