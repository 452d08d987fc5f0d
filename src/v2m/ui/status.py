"""`v2m status`: once, or with `--follow` a line for every change, for bars of any desktop."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import click

from v2m.client import Client, ClientError, DaemonNotRunningError
from v2m.ui import answers, ask
from v2m.ui.reader import end_with_reader
from v2m.utils.paths import BadSocketPathError, socket_path
from v2m.utils.presence import daemon_at, is_listened_at

FORMATS: Final = ("text", "json", "waybar")
RETRY_S: Final = 0.5  # a daemon that is started again is back within two seconds
ENDING_S: Final = 15.0  # a daemon that hung up on us may take to end: TimeoutStopSec of its unit, and a little
EVENTS: Final = ("state_changed", "degraded")
OFF: Final = "off"
_SHORT: Final = {  # what stands in the bar; bars choose pictures by `alt` and colours by `class`
    OFF: "off",
    "warming": "…",
    "idle": "",
    "recording": "● rec",
    "transcribing": "…",
    "refining": "…",
    "delivering": "…",
    "paused": "paused",
}


def command(sentence: str) -> click.Command:
    """Return the verb."""
    params = [
        click.Option(["--follow"], is_flag=True, help="Go on, with a line for every change, through restarts"),
        click.Option(
            ["--format", "form"], type=click.Choice(FORMATS), default="text", help="Form of the lines of --follow"
        ),
        click.Option(["--telemetry"], is_flag=True, help="Tell also what the daemon takes of this machine"),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the daemon's whole answer as JSON"),
    ]
    return click.Command("status", params=list(params), callback=_act, help=sentence)


def _act(*, follow: bool, form: str, telemetry: bool, as_json: bool) -> Callable[[], int]:
    if follow:
        return partial(run, "json" if as_json else form)
    if form != "text":
        raise ask.UsageError(f"--format {form} is for --follow.", "v2m status --follow --format waybar")
    return partial(_once, {"telemetry": True} if telemetry else {}, as_json=as_json)


def _once(data: Mapping[str, Any], *, as_json: bool) -> int:
    return ask.show("GET_STATUS", ask.reply_to("GET_STATUS", dict(data)), as_json=as_json)


def run(form: str) -> int:
    """Print a line whenever what it shows has changed; ends with the program that reads it."""
    end_with_reader()
    said = None
    for now in changes():
        line = _LINES[form](now)
        if line != said:
            print(line, flush=True)
            said = line
    return 0


def changes(client: Callable[[], Client] = Client) -> Iterator[dict[str, Any]]:
    """Yield what the daemon shows: first what is, then after every change; `state` is `off` while it does not run.

    Where systemd would start it for whoever connects, nobody connects before somebody else has had it started.
    """
    left, until = None, 0.0  # the daemon that hung up on us, and how long it may take to end
    while True:
        now: dict[str, Any] = {}
        try:
            if _starts_one(left if time.monotonic() < until else None):
                raise DaemonNotRunningError
            for event in client().events(EVENTS):
                left = event["data"].get("pid", left)
                now = _after(now, event)
                if now["engine"] is None and now["state"] == "idle":  # it was loading when we came
                    with client() as asking:
                        now["engine"] = _engine(asking.call("GET_STATUS"))
                yield now
        except ClientError:
            pass
        until = time.monotonic() + ENDING_S if now else until
        yield {"state": OFF, "since": None, "queue": 0, "engine": None, "degraded": {}}
        time.sleep(RETRY_S)


def _starts_one(left: int | None) -> bool:
    """Tell whether connecting would have systemd start a daemon; `left` is one that answers no more while it ends."""
    try:
        path = socket_path()
    except BadSocketPathError:
        return False
    return is_listened_at(path) and daemon_at(path) in (0, left)


def _after(now: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is shown after an event; no further question is asked while words are on their way."""
    data = event["data"]
    match event["event"]:
        case "snapshot":
            kept = {key: data.get(key) for key in ("state", "since", "queue", "degraded")}
            return {**kept, "engine": _engine(data)}
        case "state_changed":
            return {**now, "state": data["state"], "queue": data["queue"], "since": round(time.time(), 3)}
        case _:
            others = {what: why for what, why in (now.get("degraded") or {}).items() if what != data["what"]}
            return {**now, "degraded": others | ({data["what"]: data["detail"]} if data["detail"] else {})}


def _engine(data: Mapping[str, Any]) -> str | None:
    name = (data.get("engine") or {}).get("name")
    return None if name is None else str(name)


def _text(now: Mapping[str, Any]) -> str:
    return _words(now)[0]


def _words(now: Mapping[str, Any]) -> list[str]:
    """Return the state in words, and below it what else there is to know."""
    state, queue = str(now["state"]), now.get("queue") or 0
    lines = [state + (f", {queue} on their way" if queue > 1 else "")]
    lines += [f"engine: {now['engine']}"] if now.get("engine") else []
    lines += [f"degraded: {what}: {why}" for what, why in (now.get("degraded") or {}).items()]
    return [answers.one_line(line) for line in lines]


def _waybar(now: Mapping[str, Any]) -> str:
    """Return waybar's JSON (waybar-custom(5)); its tooltip is Pango markup, so this must read as none."""
    state = str(now["state"])
    words = ["v2m is not running (v2m daemon start)"] if state == OFF else [f"v2m: {line}" for line in _words(now)]
    tooltip = "\n".join(words).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    kinds = [state, *(["degraded"] if now.get("degraded") else [])]
    return json.dumps({"text": _SHORT.get(state, state), "alt": state, "class": kinds, "tooltip": tooltip})


_LINES: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "text": _text,
    "json": lambda now: ask.line_of_json(dict(now)),
    "waybar": _waybar,
}
