"""What would happen to a text in a window, without typing it: the answer to TEST_POLICY."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import takewhile
from typing import Any, Final

from v2m.application.deliver import CLIPBOARD, Deliverer
from v2m.application.survey import Survey
from v2m.domain.policy import WISHES, Manner, Policy, Target, worded
from v2m.domain.ports import Availability, Windows

_SWITCHED_OFF: Final = Availability(usable=False, reason="output.exclude leaves it out.")


class Explainer:
    """Asks the policy about a target that is given, or about the window that has the focus."""

    def __init__(self, *, policy: Policy, deliverer: Deliverer, windows: Windows) -> None:
        self._policy = policy
        self._deliverer = deliverer
        self._windows = windows

    def use(self, policy: Policy) -> None:
        """Ask other rules."""
        self._policy = policy

    async def explain(
        self, text: str, target: Target, hint: Mapping[str, str], *, focused: bool = False
    ) -> dict[str, Any]:
        """Return manner, reasons, the text as it would be typed, and the ways of typing in their order.

        `focused`: the application, and the title where none is given, are those of the window that has the focus.
        """
        survey = await self._deliverer.survey(hint)
        if focused and (window := await self._windows.focused(survey.session)):
            target = replace(target, app=window.app, title=target.title or window.title)
        decision = self._policy.decide(target)
        manner, order = decision.manner, _order(survey, decision.manner)
        return {
            "target": asdict(replace(target, role=decision.role)),
            "manner": {name: getattr(manner, name) for name in WISHES},
            "reasons": list(decision.reasons),
            "text": worded(text, manner),
            "output": next((name for name, found in order if found.usable), None),
            "outputs": [{"name": name, "usable": found.usable, "reason": found.reason} for name, found in order],
        }


def _order(survey: Survey, manner: Manner) -> Sequence[tuple[str, Availability]]:
    """Return the ways of typing as they are tried; the clipboard is always the last."""
    if manner.outputs is None:
        return survey.outputs
    there = dict((*survey.outputs, *survey.others))
    wanted = takewhile(lambda name: name != CLIPBOARD, manner.outputs)
    return [(name, there.get(name, _SWITCHED_OFF)) for name in (*wanted, CLIPBOARD)]
