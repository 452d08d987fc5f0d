"""What a control byte does: the rules of keys applied when its turn has come, and a failure that is never silent."""

from contextlib import suppress

from v2m.application.announce import Announcer
from v2m.application.dictate import Dictations
from v2m.application.turns import Answer
from v2m.core.events import EventBus
from v2m.domain.delivery import Deliver
from v2m.domain.dictation import Wishes
from v2m.domain.errors import CaptureError, V2mError
from v2m.domain.events import Discarded, Failed
from v2m.domain.keys import Action, KeyRules


class Hotkey:
    """Presses and releases, in the order in which their bytes were read."""

    def __init__(self, *, dictations: Dictations, events: EventBus, announcer: Announcer) -> None:
        self._dictations = dictations
        self._events = events
        self._announcer = announcer
        self._rules = KeyRules()

    def press(self, action: str, asked_ns: int, answer: Answer, *, profile: int | None = None) -> None:
        """Apply `start`, `stop`, `abort` or `toggle` after what was asked before; then answer.

        `asked_ns` is CLOCK_MONOTONIC when the key's byte was read, `profile` the slot it named. Returns at once.
        """

        def tell(error: V2mError | None) -> None:
            if error is not None:
                self._events.publish(Failed(None, error.code, str(error)))
                self._announcer.say(str(error), error.hint or "", urgent=True, sound="failed")
            answer(error)

        self._dictations.post(lambda: self._press(action, asked_ns, profile), tell)

    async def _press(self, action: str, asked_ns: int, profile: int | None) -> None:
        now, recording = asked_ns / 1e9, self._dictations.recording is not None
        match action:
            case "start":
                await self._obey(self._rules.start(now, recording=recording), asked_ns, Wishes(profile=profile))
            case "stop":
                await self._obey(self._rules.stop(now, recording=recording), asked_ns, Wishes())
            case "toggle":
                await self._obey(self._rules.toggle(now, recording=recording), asked_ns, Wishes(toggled=True))
            case _:
                if self._dictations.has_abortable():
                    await self._dictations.drop(None)

    async def _obey(self, action: Action, asked_ns: int, wishes: Wishes) -> None:
        match action:
            case Action.START:
                await self._dictations.begin({}, asked_ns, wishes)
            case Action.STOP:
                await self._dictations.end({}, Deliver.TYPE)
            case Action.TAP:
                self._events.publish(Discarded(None, "tap"))
            case Action.RESTART:
                with suppress(CaptureError):  # told already; the new press counts
                    await self._dictations.end({}, Deliver.TYPE, hold="The key's release was lost.")
                await self._dictations.begin({}, asked_ns, wishes)
            case Action.IGNORE:
                pass
