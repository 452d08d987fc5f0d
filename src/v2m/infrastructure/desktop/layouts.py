"""Which keyboard layout is live, by a name that changes whenever another one is switched to."""

import asyncio
from typing import TYPE_CHECKING, Any, Final

from v2m.domain.delivery import Session
from v2m.infrastructure._x11.display import X11Error, close_display, cut, foreign_errors, in_thread, open_display
from v2m.infrastructure.desktop._hyprland import ask as ask_hyprland
from v2m.infrastructure.desktop._sway import TROUBLE, ask

if TYPE_CHECKING:
    from Xlib.display import Display

ANSWER_S: Final = 0.1
_GET_INPUTS: Final = 100  # sway-ipc(7)
_GROUP_SHIFT: Final = 13  # bits 13 and 14 of the pointer's state are the XKB group
_RULES_FIELDS: Final = 5  # rules, model, layouts, variants, options


class LiveLayouts:
    """`Layouts` of sway, Hyprland and X servers; elsewhere the name is empty."""

    async def current(self, session: Session) -> str:
        """Return the layout's name, of all keyboards where they differ; empty where nobody tells. Never raises."""
        try:
            if session.wayland is None:
                return await _of_x11(session) if session.x11 else ""
            async with asyncio.timeout(ANSWER_S):
                if "SWAYSOCK" in session.variables:
                    return sway_name(await ask(session, _GET_INPUTS))
                return hyprland_name(await ask_hyprland(session, "devices"))
        except (*TROUBLE, X11Error):
            return ""


def sway_name(inputs: Any) -> str:  # noqa: ANN401 - JSON
    """Return the active layouts of all keyboards; those of typing tools have none.

    Raises:
        ValueError: this is no answer of sway.
    """
    if not isinstance(inputs, list) or not all(isinstance(each, dict) for each in inputs):
        raise ValueError("The list of inputs has another form.")
    return "+".join(sorted({str(name) for each in inputs if (name := each.get("xkb_active_layout_name"))}))


def hyprland_name(devices: Any) -> str:  # noqa: ANN401 - JSON
    """Return the active layout of the main keyboard. Raises ValueError when this is no answer of Hyprland."""
    keyboards = devices.get("keyboards") if isinstance(devices, dict) else None
    if not isinstance(keyboards, list) or not all(isinstance(each, dict) for each in keyboards):
        raise ValueError("The list of devices has another form.")
    return next((str(each.get("active_keymap") or "") for each in keyboards if each.get("main")), "")


def x11_name(rules: bytes, group: int) -> str:
    """Return a layout with its variant, such as `de(neo)`, from `_XKB_RULES_NAMES`; empty when that is not set."""
    fields = rules.decode("utf-8", "replace").split("\0")
    if len(fields) < _RULES_FIELDS:
        return ""
    layouts, variants = fields[2].split(","), fields[3].split(",")
    if group >= len(layouts):
        return ""
    variant = variants[group] if group < len(variants) else ""
    return f"{layouts[group]}({variant})" if variant else layouts[group]


async def _of_x11(session: Session) -> str:
    display = await open_display(session)
    try:
        return await in_thread(lambda: _read(display), give_up=lambda: cut(display), stop=lambda: cut(display))
    finally:
        await close_display(display)


def _read(display: "Display") -> str:
    from Xlib import X

    with foreign_errors(display):
        root = display.screen().root
        found = root.get_full_property(display.intern_atom("_XKB_RULES_NAMES"), X.AnyPropertyType)
        group = root.query_pointer().mask >> _GROUP_SHIFT & 3
    return x11_name(bytes(found.value), group) if found is not None and found.format == 8 else ""
