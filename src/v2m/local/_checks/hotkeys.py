"""Whether a key is bound: as the compositor tells it, or by the daemon itself."""

import glob
import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from v2m.domain.delivery import Session
from v2m.infrastructure._run import run
from v2m.infrastructure.desktop import _sway
from v2m.infrastructure.desktop._hyprland import order, request_socket
from v2m.local._checks.cures import set_to
from v2m.local._checks.facts import Facts
from v2m.local._checks.finding import Finding, ok, skip, warn
from v2m.utils.paths import config_dir

ASK_S: Final = 1.0
GET_VERSION: Final = 7  # sway-ipc(7)
GET_CONFIG: Final = 9
_BIND: Final = re.compile(r"^\s*bind(?:sym|code)\s+(?P<flags>(?:--\S+\s+)*)(?P<key>\S+)\s+(?P<what>.+)$")
_OURS: Final = re.compile(r"(?:^|[\s/'\"])(?:toak|v2m)['\"]?\s+(?:--)?(?P<verb>start|stop|toggle|START_RECORDING)\b")
_INCLUDE: Final = re.compile(r"^\s*include\s+(?P<paths>.+)$", re.MULTILINE)
_RELOADS: Final = {"sway": "swaymsg reload", "i3": "i3-msg reload", "hyprland": "hyprctl reload"}


@dataclass(frozen=True, slots=True)
class Binding:
    """A key that calls us."""

    key: str
    verb: str
    on_release: bool


async def hotkey(facts: Facts) -> Finding:
    """A key starts a dictation, and its release ends it."""
    if (own := _own(facts)) is not None:
        return own
    if facts.session.variables.get("HYPRLAND_INSTANCE_SIGNATURE") and request_socket(facts.session):
        bound = _hyprland(await order(facts.session, "j/binds"))
        return _judge("hyprland", bound, str(config_dir().parent / "hypr" / "hyprland.conf"))
    if facts.session.variables.get("SWAYSOCK"):
        return await _by_ipc("sway", facts.session)
    path = await _i3_socket(facts.session)
    if path:
        return await _by_ipc("i3", Session({"SWAYSOCK": path}))
    return skip("This desktop does not tell its keys: v2m hotkey print says how to bind one.")


def _own(facts: Facts) -> Finding | None:
    """Judge the keys that the daemon binds itself; None where it binds none."""
    backend = facts.settings.hotkeys.backend
    if backend == "off":
        return None
    if not facts.daemon.answers:
        return ok(f"The daemon will bind its keys itself (hotkeys.backend = {backend}).")
    told = facts.daemon.status.get("hotkeys") or {}
    if triggers := told.get("triggers"):
        return ok(f"{', '.join(f'{keys}: {name}' for name, keys in triggers.items())}, by {told.get('backend')}.")
    why = (facts.daemon.status.get("degraded") or {}).get("hotkeys", "")
    return warn(f"The daemon has bound no key. {why}".strip(), set_to(facts.settings, "hotkeys.backend", "off"))


async def _i3_socket(session: Session) -> str:
    if session.x11 is None:
        return ""
    try:
        told = await run(["i3", "--get-socketpath"], timeout_s=ASK_S, env=session.variables)
    except (OSError, TimeoutError):
        return ""
    return told.stdout.decode("utf-8", "replace").strip() if told.status == 0 else ""


async def _by_ipc(desktop: str, session: Session) -> Finding:
    try:
        loaded = (await _sway.ask(session, GET_CONFIG))["config"]
        file = (await _sway.ask(session, GET_VERSION))["loaded_config_file_name"]
    except (*_sway.TROUBLE, KeyError, TypeError):
        return skip(f"{desktop} does not tell its configuration.")
    return _judge(desktop, parse_bindings(_with_includes(loaded).splitlines()), file)


def _with_includes(loaded: str) -> str:
    """Return the configuration with the files that it includes; the IPC tells the first one only."""
    paths = [path for line in _INCLUDE.findall(loaded) for path in line.split()]
    texts = [loaded]
    for pattern in paths:
        for name in glob.glob(str(Path(pattern).expanduser())):  # noqa: PTH207 - an absolute pattern
            try:
                texts.append(Path(name).read_text(encoding="utf-8", errors="replace"))
            except OSError:
                continue
    return "\n".join(texts)


def parse_bindings(lines: Iterable[str]) -> list[Binding]:
    """Return the bindings of ours among lines of a sway or i3 configuration."""
    found = []
    for line in lines:
        bound = _BIND.match(line)
        ours = _OURS.search(bound["what"]) if bound else None
        if bound and ours:
            found.append(Binding(bound["key"], _verb(ours["verb"]), "--release" in bound["flags"]))
    return found


def _hyprland(told: bytes) -> list[Binding]:
    try:
        binds = json.loads(told)
    except ValueError:
        return []
    found = []
    for bind in binds if isinstance(binds, list) else []:
        ours = _OURS.search(str(bind.get("arg", "")))
        if ours:
            found.append(Binding(str(bind.get("key", "")), _verb(ours["verb"]), bool(bind.get("release"))))
    return found


def _verb(word: str) -> str:
    return "start" if word == "START_RECORDING" else word


def _judge(desktop: str, bound: Sequence[Binding], file: str) -> Finding:
    add = f"v2m hotkey print {desktop} >> {shlex.quote(file)} && {_RELOADS[desktop]}"
    toggles = [each.key for each in bound if each.verb == "toggle"]
    starts = [each.key for each in bound if each.verb == "start"]
    stops = [each.key for each in bound if each.verb == "stop"]
    if not (starts or toggles):
        return warn(f"No key of {desktop} calls toak.", add)
    lone = [key for key in starts if key not in stops]
    if lone and not toggles:
        return warn(f"{lone[0]} starts a dictation, and its release does not end it.", add)
    pressed = [each.key for each in bound if each.verb == "stop" and not each.on_release and each.key in starts]
    if pressed:
        return warn(f"{pressed[0]} stops with the press that started: the line of stop lacks --release.", add)
    keys = ", ".join(dict.fromkeys([*starts, *toggles]))
    return ok(f"{keys} in {desktop}.")
