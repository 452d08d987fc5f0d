"""What brings texts to windows, wired: outputs, the aim, the handover, second thoughts."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from v2m.application.aim import Aim
from v2m.application.deliver import Deliverer
from v2m.application.exactness import Exactness
from v2m.application.explain import Explainer
from v2m.application.handover import Handover
from v2m.application.ledger import Ledger
from v2m.application.preview import LivePreview
from v2m.application.second_thoughts import SecondThoughts
from v2m.config import Settings
from v2m.core.di.adapters import (
    make_clipboard,
    make_erasers,
    make_guard,
    make_input_watch,
    make_layouts,
    make_other_outputs,
    make_outputs,
    make_preview,
    make_sessions,
    make_windows,
)
from v2m.core.di.ears import Ears
from v2m.core.di.policy import make_policy
from v2m.core.di.thoughts import Desk, turn_of
from v2m.domain.ports import (
    Eraser,
    Guard,
    History,
    InputWatch,
    Microphone,
    Notifier,
    Preview,
    SessionEnvironment,
    SpoolStore,
    TextOutput,
    Transcriber,
    Windows,
)


@dataclass(frozen=True, slots=True)
class Overrides:
    """Ports that a test brings itself; None means the adapter that the settings name."""

    microphone: Microphone | None = None
    transcriber: Transcriber | None = None
    outputs: Sequence[TextOutput] | None = None
    clipboard: TextOutput | None = None
    sessions: SessionEnvironment | None = None
    windows: Windows | None = None
    guard: Guard | None = None
    erasers: Sequence[Eraser] | None = None
    watch: InputWatch | None = None
    preview: Preview | None = None
    history: History | None = None
    notifier: Notifier | None = None


@dataclass(frozen=True, slots=True)
class WaysOut:
    """The adapters of the desktop, opened, and what asks them."""

    deliverer: Deliverer
    aim: Aim
    explainer: Explainer
    exactness: Exactness
    desk: Desk
    typing: asyncio.Lock  # held by whoever changes the focused field


async def open_ways_out(settings: Settings, overrides: Overrides, ears: Ears, stack: AsyncExitStack) -> WaysOut:
    """Build what brings texts to windows, and what says to which; closing it is on the stack."""
    exactness = await asyncio.to_thread(Exactness, settings.paths.state() / "exactness.json", make_layouts())
    sessions = exactness.noticing(overrides.sessions or make_sessions())
    windows = overrides.windows or make_windows()
    guard = overrides.guard or make_guard()
    policy = make_policy(settings)
    own = overrides.outputs is not None
    outputs = make_outputs(settings, ears.dictating) if overrides.outputs is None else overrides.outputs
    typing = asyncio.Lock()
    deliverer = Deliverer(
        outputs=outputs,
        others=[] if own else make_other_outputs(settings, ears.dictating),
        clipboard=overrides.clipboard or make_clipboard(),
        sessions=sessions,
        windows=windows,
        refuses=exactness.refuses,
        on_typing=ears.typing,
        on_placed=ears.typed,
        dictating=ears.dictating,
        typing=typing,
    )
    stack.push_async_callback(deliverer.aclose)
    aim = Aim(sessions=sessions, windows=windows, guard=guard, policy=policy, when_moved=settings.output.when_moved)
    preview = (overrides.preview or make_preview()) if settings.output.preview else None
    erasers = make_erasers(outputs) if overrides.erasers is None else overrides.erasers
    desk = Desk(sessions, windows, guard, erasers, overrides.watch or make_input_watch(), preview)
    stack.push_async_callback(desk.aclose)
    explainer = Explainer(policy=policy, deliverer=deliverer, windows=windows)
    return WaysOut(deliverer, aim, explainer, exactness, desk, typing)


def connect(
    out: WaysOut, ears: Ears, ledger: Ledger, history: History, spools: SpoolStore
) -> tuple[Handover, SecondThoughts, LivePreview | None]:
    """Connect the use cases of a text that is there."""
    preview = out.desk.live_preview(ears.events)
    handover = Handover(
        aim=out.aim,
        deliverer=out.deliverer,
        ledger=ledger,
        events=ears.events,
        announcer=ears.announcer,
        spools=spools,
        turn=turn_of(preview, out.typing),
    )
    thoughts = SecondThoughts(
        erasers=out.desk.erasers,
        watch=out.desk.watch,
        windows=out.desk.windows,
        sessions=out.desk.sessions,
        handover=handover,
        deliverer=out.deliverer,
        ledger=ledger,
        history=history,
        events=ears.events,
    )
    ears.thoughts = thoughts
    return handover, thoughts, preview
