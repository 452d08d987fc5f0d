"""Microphones, ways of typing, and the rules per application."""

from collections.abc import Callable

from v2m.application import commands as c
from v2m.application.deliver import Deliverer
from v2m.application.exactness import Exactness
from v2m.application.explain import Explainer
from v2m.application.handlers._answers import Answer, Table
from v2m.application.status import outputs
from v2m.domain.ports import Microphone
from v2m.domain.text.classes import TextClass


class DesktopHandlers:
    """What is around the daemon; every method is one command."""

    def __init__(
        self,
        *,
        deliverer: Deliverer,
        exactness: Exactness,
        explainer: Explainer,
        microphone: Microphone,
        pinned_device: Callable[[], str],
    ) -> None:
        self._deliverer = deliverer
        self._exactness = exactness
        self._explainer = explainer
        self._microphone = microphone
        self._pinned_device = pinned_device

    def table(self) -> Table:
        """Return the coroutine of each command."""
        return {
            c.ListDevices: self.list_devices,
            c.ListOutputs: self.list_outputs,
            c.TestPolicy: self.test_policy,
            c.CheckOutputs: self.check_outputs,
        }

    async def list_devices(self, _: c.ListDevices) -> Answer:
        """List the microphones."""
        found, pinned = await self._microphone.devices(), self._pinned_device()
        return {
            "devices": [
                {
                    "name": device.name,
                    "description": device.description,
                    "default": device.default,
                    "chosen": device.name == pinned or (not pinned and device.default),
                }
                for device in found
            ]
        }

    async def list_outputs(self, command: c.ListOutputs) -> Answer:
        """Tell where words would go."""
        return outputs(await self._deliverer.survey(command.display_variables()))

    async def test_policy(self, command: c.TestPolicy) -> Answer:
        """Tell how a text would be typed."""
        return await self._explainer.explain(
            command.text, command.target(), command.display_variables(), focused=command.app is None
        )

    async def check_outputs(self, command: c.CheckOutputs) -> Answer:
        """Remember which way of typing is exact for which characters."""
        results = {
            output: {TextClass(kind): exact for kind, exact in found.items()}
            for output, found in command.results.items()
        }
        await self._exactness.record(command.layout, results)
        return {}
