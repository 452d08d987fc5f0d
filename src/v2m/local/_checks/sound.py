"""From PipeWire to a microphone that sends something."""

import asyncio
import re
import shlex
from pathlib import Path
from typing import Final

from v2m.core.di.adapters import make_microphone
from v2m.domain.errors import CaptureError, CaptureReason
from v2m.infrastructure._run import find_tool, run
from v2m.infrastructure._spool import SpoolDirectory
from v2m.local._checks.cures import set_to
from v2m.local._checks.facts import Facts
from v2m.local._checks.finding import Finding, fail, ok, skip, warn

RESTART_ALL: Final = "systemctl --user restart pipewire wireplumber"
RESTART_MANAGER: Final = "systemctl --user restart wireplumber"
SOURCE: Final = "@DEFAULT_AUDIO_SOURCE@"  # wpctl(1)
LISTEN_S: Final = 0.4
_TOOL_S: Final = 2.0
_VOLUME: Final = re.compile(r"Volume: (?P<volume>[\d.]+)(?P<muted> \[MUTED\])?")
_PERCENT: Final = re.compile(r"(\d+)%")
_PROPERTY: Final = re.compile(r'^[\s*]*(?P<name>[\w.]+) = "(?P<value>[^"]*)"', re.MULTILINE)


def _is_file(facts: Facts) -> bool:
    return facts.settings.audio.backend == "wav"


def sound_server(facts: Facts) -> Finding:
    """PipeWire answers."""
    if _is_file(facts):
        return skip("A file stands in for the microphone (audio.backend = wav).")
    if facts.sound.server:
        return fail(facts.sound.server, RESTART_ALL, safe=True)
    return ok("PipeWire answers.")


def session_manager(facts: Facts) -> Finding:
    """PipeWire's session manager links microphones."""
    if _is_file(facts) or facts.sound.server:
        return skip("PipeWire is not asked.")
    if not facts.sound.manager:
        return warn(
            "PipeWire's session manager is not there: v2m links the microphone itself.", RESTART_MANAGER, safe=True
        )
    return ok("The session manager is there.")


def microphone(facts: Facts) -> Finding:
    """There is a microphone, and the one that is wished for."""
    if _is_file(facts):
        path = Path(facts.settings.audio.wav_path)
        gone = fail(f"{path} is not there.", set_to(facts.settings, "audio.backend", "auto"))
        return ok(f"{path} stands in for it.") if path.is_file() else gone
    if facts.sound.server:
        return skip("PipeWire is not asked.")
    names = [device.name for device in facts.sound.devices]
    wanted = facts.settings.audio.device
    if not names:
        return fail("There is no microphone.", "v2m devices")
    if wanted and wanted not in names:
        return warn(
            f"The microphone {wanted} is not there; there is {', '.join(names)}.",
            set_to(facts.settings, "audio.device", ""),
        )
    return ok(f"{len(names)}: {', '.join(names)}.")


async def volume(facts: Facts) -> Finding:
    """The microphone is neither muted nor turned down."""
    if (why := _untold(facts)) is not None:
        return why
    if chosen := facts.settings.audio.device:
        return await _volume_of(chosen)
    found = _VOLUME.search(await _told("wpctl", "get-volume", SOURCE))
    if found is None:
        return skip("Its volume is not told.")
    if found["muted"]:
        return fail("The default microphone is muted.", f"wpctl set-mute {SOURCE} 0")
    if float(found["volume"]) == 0:
        return fail("The volume of the default microphone is zero.", f"wpctl set-volume {SOURCE} 0.8")
    return ok(f"Its volume is {100 * float(found['volume']):.0f} %.")


async def _volume_of(name: str) -> Finding:
    """Judge a microphone that is not the default one; wpctl knows no names, pactl does."""
    muted, loud = await _told("pactl", "get-source-mute", name), await _told("pactl", "get-source-volume", name)
    percent = _PERCENT.search(loud)
    if not muted or percent is None:
        return skip("Its volume is not told.")
    if "yes" in muted:
        return fail(f"The microphone {name} is muted.", f"pactl set-source-mute {shlex.quote(name)} 0")
    if percent[1] == "0":
        return fail(f"The volume of the microphone {name} is zero.", f"pactl set-source-volume {shlex.quote(name)} 80%")
    return ok(f"Its volume is {percent[1]} %.")


async def default_source(facts: Facts) -> Finding:
    """What is recorded by default is a microphone, not what the loudspeakers play."""
    if (why := _untold(facts)) is not None:
        return why
    properties = dict(_PROPERTY.findall(await _told("wpctl", "inspect", SOURCE)))
    name, kind = properties.get("node.name", ""), properties.get("media.class", "")
    default = next((device.name for device in facts.sound.devices if device.default), "")
    if default and not (name.endswith(".monitor") or kind == "Audio/Sink"):
        return ok(f"{default} is the default.")
    first = next((device.name for device in facts.sound.devices), "")
    if not first:
        return skip("There is no microphone.")
    if not name:
        return warn("No microphone is the default one.", _make_default(first))
    return fail(f"The default is {name}: what the loudspeakers play.", _make_default(first))


def _make_default(name: str) -> str:
    value = f'{{ "name": "{name}" }}'
    return f"pw-metadata 0 default.configured.audio.source '{value}' Spa:String:JSON"


async def signal(facts: Facts) -> Finding:
    """The microphone can be opened and sends something other than zeros; nothing of it is kept."""
    if _is_file(facts) or facts.sound.server or not facts.sound.devices:
        return skip("There is no microphone to listen to.")
    if facts.daemon.ping.get("state") == "recording":
        return skip("You are dictating.")
    try:
        peak, source = await _listen(facts)
    except CaptureError as error:
        if error.reason is CaptureReason.NO_DEVICE:  # there are some, and none is the default
            return skip("No microphone is asked, see default-source.")
        return fail(str(error), error.hint or RESTART_ALL)
    if peak == 0:
        return warn(f"{source} sends nothing but zeros: is it switched off, or a headset out of reach?", "v2m devices")
    return ok(f"{source} sends sound; the loudest sample was {100 * peak / 32768:.1f} % of full scale.")


async def _listen(facts: Facts) -> tuple[int, str]:
    """Record into memory for a moment; return the greatest sample and where it came from. Raises CaptureError."""
    spools = SpoolDirectory(Path("/nonexistent"), max_recording_s=1, on_degraded=lambda _: None)
    spool = spools.take(0, private=True)
    settings = facts.settings.model_copy(
        update={"audio": facts.settings.audio.model_copy(update={"policy": "released", "preroll_ms": 0})}
    )
    opened = make_microphone(settings)
    try:
        recording = await opened.open(spool)
        try:
            await recording.first_sample()
            await asyncio.sleep(LISTEN_S)
        finally:
            told = await recording.close()
        return spool.peak, told.source
    finally:
        await opened.aclose()
        spool.delete()
        spools.close()


def _untold(facts: Facts) -> Finding | None:
    if _is_file(facts) or facts.sound.server:
        return skip("PipeWire is not asked.")
    if not facts.sound.devices:
        return skip("There is no microphone.")
    if not facts.sound.manager:
        return skip("Only a session manager tells it.")
    return None if find_tool("wpctl") else skip("wpctl, which tells it, is not installed.")


async def _told(*argv: str) -> str:
    """Return what a program prints in English; empty when it fails."""
    try:
        done = await run(argv, timeout_s=_TOOL_S, env={"LC_ALL": "C"})
    except (TimeoutError, OSError):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.status == 0 else ""
