"""The daemon's answers for people: what goes to stdout is the data, what is said about it goes to stderr."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

Data = dict[str, Any]


class Said(NamedTuple):
    """What to print; `out` None prints nothing."""

    out: str | None
    talk: str = ""


def human(cmd: str, data: Data) -> Said:
    """Return an answer in words; a command without words of its own is shown as JSON."""
    say = _WORDS.get(cmd)
    return say(data) if say else Said(json.dumps(data, ensure_ascii=False, indent=2))


def one_line(text: str) -> str:
    """Return text that stays on its line and cannot command the terminal."""
    return "".join(character if character.isprintable() else " " for character in " ".join(text.split()))


def when(moment: str | float | None) -> str:
    """Return a moment, in seconds since 1970 or as ISO 8601 text, in local time."""
    if isinstance(moment, str) and moment:
        local = datetime.fromisoformat(moment).astimezone()
    elif isinstance(moment, int | float):
        local = datetime.fromtimestamp(moment, UTC).astimezone()
    else:
        return ""
    return local.strftime("%Y-%m-%d %H:%M:%S")


def _ping(data: Data) -> Said:
    return Said(str(data.get("message", "PONG")))


def _started(data: Data) -> Said:
    return Said(f"{data.get('state', 'recording')} (dictation {data.get('dictation')})")


def _transcribed(data: Data) -> Said:
    """A finished dictation; one that is still on its way has no `transcription`."""
    if data.get("discarded"):
        return Said(None, "Thrown away: that was too short to be speech.")
    if "transcription" not in data:
        return Said(None, f"Dictation {data.get('dictation')} is on its way.")
    return Said(str(data["transcription"]), _where(data.get("delivered") or {}))


def _file(data: Data) -> Said:
    return Said(str(data.get("transcription", "")), one_line(str(data.get("damage") or "")))


def _toggled(data: Data) -> Said:
    return _started(data) if data.get("state") == "recording" else _transcribed(data)


def _where(delivered: Data) -> str:
    method, certainty = delivered.get("method"), delivered.get("certainty")
    if not method or method == "none":
        return ""
    target = f" to {one_line(delivered['target'])}" if delivered.get("target") else ""
    detail = f" {one_line(delivered['detail'])}" if delivered.get("detail") else ""
    return f"Delivered{target} by {method}: {certainty}.{detail}"


def _delivered(data: Data) -> Said:
    return Said(None, _where(data))


def _undone(data: Data) -> Said:
    method, certainty = data.get("method"), data.get("certainty")
    return Said(None, f"Took {data.get('characters')} characters back by {method}: {certainty}.")


def _swapped(data: Data) -> Said:
    taken_back = data.get("taken_back")
    return Said(None, _where(data) if taken_back else one_line(str(data.get("detail") or "")))


def _aborted(data: Data) -> Said:
    return Said(f"Dictation {data.get('dictation')} was thrown away.")


def _history(data: Data) -> Said:
    rows = [_row(entry) for entry in data.get("entries", [])]
    return Said("\n".join(rows) if rows else None, "" if rows else "There is no dictation yet.")


def _deleted(data: Data) -> Said:
    kept = ", ".join(str(dictation) for dictation in data.get("kept") or [])
    stays = f" Still there, on its way or its audio cannot be deleted: {kept}." if kept else ""
    count = data.get("deleted", 0)
    return Said(None, f"Deleted {count} dictation{'s' * (count != 1)}.{stays}")


def _row(entry: Data) -> str:
    text = entry.get("text") or entry.get("raw") or entry.get("reason") or ""
    return (
        f"{entry.get('dictation'):>6}  {when(entry.get('started')):19}  {entry.get('phase', ''):11}"
        f"  {entry.get('duration_s', 0):6.1f} s  {one_line(text)}"
    )


def _devices(data: Data) -> Said:
    rows = [
        f"{'*' if device.get('chosen') else ' '} {device['name']}  {one_line(device.get('description', ''))}"
        + ("  (default)" if device.get("default") else "")
        for device in data.get("devices", [])
    ]
    return Said("\n".join(rows) if rows else None, "" if rows else "There is no microphone.")


def _outputs(data: Data) -> Said:
    return Said("\n".join(_ways(data)) or None)


def _ways(data: Data) -> list[str]:
    """One line per way of typing: `→` where words go, `+` could be used, `-` cannot."""
    chosen = data.get("output")
    return [
        f"{'→' if way['name'] == chosen else '+' if way.get('usable') else '-'} {way['name']:16}"
        f" {one_line(way.get('reason', ''))}"
        for way in data.get("outputs") or []
    ]


def _policy(data: Data) -> Said:
    """How a text would be typed; in quotes, so that spaces at its end are seen."""
    target, manner = data.get("target") or {}, data.get("manner") or {}
    lines = [("would be typed", json.dumps(data.get("text", ""), ensure_ascii=False))]
    lines += [(name, _wish(value)) for name, value in manner.items() if value is not None]
    for name, rows in (("because", [*map(one_line, data.get("reasons") or [])]), ("words go to", _ways(data))):
        lines += [("" if number else name, row) for number, row in enumerate(rows)]
    app, role = one_line(str(target.get("app") or "")) or "a window that is not known", target.get("role")
    head = f"{app} ({role})" if role else app
    return Said("\n".join([head, *(f"{name:15} {text}".rstrip() for name, text in lines)]))


def _wish(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return one_line(", ".join(map(str, value)) if isinstance(value, list) else str(value)) or "none"


def _status(data: Data) -> Said:
    lines = [
        ("state", f"{data.get('state')}, since {when(data.get('since'))}"),
        ("recording", _recording(data.get("recording") or {})),
        ("queue", str(data.get("queue", 0))),
        ("microphone", _microphone(data.get("microphone") or {})),
        ("engine", _engine(data.get("engine") or {})),
    ]
    lines += [("hotkeys", _hotkeys(data.get("hotkeys") or {}))]
    ways = _ways(data) if data.get("output") else ["nowhere now: they are kept (v2m last)", *_ways(data)]
    lines += [("" if number else "words go to", way) for number, way in enumerate(ways)]
    lines += [("degraded", one_line(f"{what}: {why}")) for what, why in (data.get("degraded") or {}).items()]
    lines += _telemetry(data.get("telemetry") or {})
    return Said("\n".join(f"{name:12} {text}".rstrip() for name, text in lines if text))


def _hotkeys(hotkeys: Data) -> str:
    """What the desktop calls the keys, which need not be those of the settings."""
    triggers = hotkeys.get("triggers") or {}
    return one_line(", ".join(f"{name} {keys}" for name, keys in triggers.items()))


def _telemetry(figures: Data) -> list[tuple[str, str]]:
    rows = [("daemon", figures.get("daemon"))] if figures else []
    rows += [("worker", worker) for worker in figures.get("workers") or []]
    lines = [(name, _process(one)) for name, one in rows if one]
    if figures.get("dictations_today") is not None:
        lines.append(("today", f"{figures['dictations_today']} dictations"))
    return lines


def _process(one: Data) -> str:
    memory, cpu_s, up_s = (one.get(key) or 0 for key in ("rss_bytes", "cpu_s", "uptime_s"))
    return f"pid {one.get('pid')}, {memory / 2**20:.0f} MiB, {cpu_s:.1f} s of processor time, up {up_s / 3600:.1f} h"


def _recording(recording: Data) -> str:
    if not recording:
        return ""
    source = f" from {one_line(recording['source'])}" if recording.get("source") else ""
    return f"dictation {recording.get('dictation')}, {recording.get('seconds', 0):.1f} s{source}"


def _microphone(microphone: Data) -> str:
    return one_line(", ".join(f"{key} {value}" for key, value in microphone.items() if value))


def _engine(engine: Data) -> str:
    place = "over the network" if engine.get("network") else "on this machine"
    detail = f": {one_line(engine['detail'])}" if engine.get("detail") else ""
    exposed = f"; its process is not confined: {one_line(engine['exposed'])}" if engine.get("exposed") else ""
    return f"{engine.get('name') or 'none yet'}, {engine.get('state')}, {place}{detail}{exposed}"


def _paused(data: Data) -> Said:
    return Said(str(data.get("state")))


def _ended(data: Data) -> Said:
    return Said(None, "The daemon finishes what was heard and ends.")


_WORDS: dict[str, Callable[[Data], Said]] = {
    "PING": _ping,
    "START_RECORDING": _started,
    "STOP_RECORDING": _transcribed,
    "TOGGLE_RECORDING": _toggled,
    "ABORT_RECORDING": _aborted,
    "GET_STATUS": _status,
    "TYPE_TEXT": _delivered,
    "TRANSCRIBE_FILE": _file,
    "LIST_HISTORY": _history,
    "DELETE_HISTORY": _deleted,
    "RETRY_DICTATION": _transcribed,
    "DELIVER_AGAIN": _delivered,
    "UNDO_DELIVERY": _undone,
    "SWAP_TEXT": _swapped,
    "LIST_DEVICES": _devices,
    "LIST_OUTPUTS": _outputs,
    "TEST_POLICY": _policy,
    "PAUSE_DAEMON": _paused,
    "RESUME_DAEMON": _paused,
    "SHUTDOWN": _ended,
}
