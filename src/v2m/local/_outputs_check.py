"""Types a probe of each class of characters by each way of typing into our window, through the daemon."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from v2m.application.commands import DISPLAY_VARIABLES
from v2m.client import AsyncClient, ClientError, CommandError
from v2m.domain.delivery import Session
from v2m.domain.errors import OutputError, OutputReason
from v2m.domain.text.classes import PROBES, TextClass
from v2m.infrastructure.desktop.layouts import LiveLayouts
from v2m.local.window.page import Page
from v2m.local.window.window import FOCUS_S, no_window, own_window, window_kinds
from v2m.utils.paths import set_variables

READ_S: Final = 10.0  # a slow application is waited for; ours answers within milliseconds
NO_WINDOW_NEEDED: Final = frozenset({"clipboard", "file"})  # these type into no window
FOCUS_HINT: Final = "Click on the window that v2m opens, and leave mouse and keyboard alone until it closes."


@dataclass(frozen=True, slots=True)
class Reading:
    """What arrived of one probe."""

    output: str
    kind: TextClass
    probe: str
    read: str
    certainty: str = ""
    detail: str = ""  # why nothing was typed
    exact: bool | None = None  # None: this way typed nothing, so nothing is known


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found."""

    layout: str
    readings: tuple[Reading, ...]


async def check() -> Checked:
    """Probe every way of typing that works now, and have the daemon remember what is exact.

    Raises:
        ClientError: no daemon, it refuses, or the window does not get or keep the focus.
        OutputError: no window can be shown, or nothing types into it.
    """
    async with AsyncClient() as client:
        daemon = _Daemon(client)
        session = await daemon.session()
        layouts = LiveLayouts()
        layout = await layouts.current(session)
        readings = await _readings(daemon, session)
        if await layouts.current(session) != layout:
            raise _disturbed("The keyboard layout was switched meanwhile")
        await daemon.record(layout, readings)
    return Checked(layout, tuple(readings))


class _Daemon:
    """The commands that a check needs."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._env = set_variables(DISPLAY_VARIABLES)

    async def session(self) -> Session:
        """Return where words would go now."""
        told = (await self._client.call("LIST_OUTPUTS", env=self._env))["session"]
        return Session(told["variables"], told["origin"])

    async def usable(self) -> list[str]:
        """Return the ways of typing that would work in the window that has the focus."""
        listed = (await self._client.call("LIST_OUTPUTS", env=self._env))["outputs"]
        return [one["name"] for one in listed if one["usable"] and one["name"] not in NO_WINDOW_NEEDED]

    async def type(self, text: str, output: str) -> Mapping[str, Any]:
        """Type by one output only; a refusal of that output is an answer like any other."""
        try:
            return await self._client.call("TYPE_TEXT", text=text, output=output, env=self._env)
        except CommandError as error:
            if error.code != OutputError.code:
                raise
            return {"method": output, "certainty": "held", "detail": error.message}

    async def record(self, layout: str, readings: list[Reading]) -> None:
        """Have the daemon remember; what typed nothing leaves no trace."""
        results: dict[str, dict[str, bool]] = {}
        for one in readings:
            if one.exact is not None:
                results.setdefault(one.output, {})[one.kind.value] = one.exact
        await self._client.call("CHECK_OUTPUTS", layout=layout, results=results)


async def _readings(daemon: _Daemon, session: Session) -> list[Reading]:
    """Return what arrives; an output that works in windows of both kinds is checked in the native one.

    Raises:
        OutputError: no window can be shown, or nothing types into it.
        ClientError: the focus is elsewhere.
    """
    found: list[Reading] = []
    refused = OutputError("No way of typing works here.", reason=OutputReason.REFUSED, hint="v2m outputs")
    kinds = window_kinds(session)
    if not kinds:
        raise no_window("there is no desktop session")
    for kind in kinds:
        done = {one.output for one in found}
        try:
            async with own_window(session, kind) as page:
                found += await _in_window(daemon, page, done)
        except OutputError as error:  # an XWayland that lets nobody in is no reason to forget the rest
            refused = error
    if not found:
        raise refused
    return found


async def _in_window(daemon: _Daemon, page: Page, done: Collection[str]) -> list[Reading]:
    if not await page.focused(FOCUS_S):
        raise _disturbed("The window did not get the focus")
    outputs = [output for output in await daemon.usable() if output not in done]
    return [await _probe(daemon, page, output, *probe) for output in outputs for probe in PROBES.items()]


async def _probe(daemon: _Daemon, page: Page, output: str, kind: TextClass, probe: str) -> Reading:
    page.clear()
    losses = page.losses
    told = await daemon.type(probe, output)
    read = await page.reads(probe, READ_S)
    if page.losses != losses or not page.has_focus:
        raise _disturbed("Another window got the focus")
    certainty, detail = str(told.get("certainty") or ""), str(told.get("detail") or "")
    exact = None if certainty == "held" and not read else read == probe
    return Reading(output, kind, probe, read, certainty, detail, exact)


def _disturbed(what: str) -> ClientError:
    return ClientError(OutputError.code, f"{what}: nothing was recorded.", FOCUS_HINT)
