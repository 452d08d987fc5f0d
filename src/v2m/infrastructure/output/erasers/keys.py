"""Takes a text back with BackSpace, through an output that can press it.

It sees nothing of what it removes, so whoever calls it has made sure that nothing was touched in between.
"""

from typing import Final

from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.errors import OutputError
from v2m.domain.ports import Availability, TextOutput
from v2m.domain.text.graphemes import backspaces
from v2m.infrastructure.output.failures import broken, refused

BACKSPACE: Final = "\b"
# Ten seconds at the pace that a virtual keyboard keeps for long texts; nobody waits longer with hands off.
LONGEST: Final = 2000


class KeyEraser:
    """BackSpaces through `output`, which takes that character for the key: a virtual keyboard, XTEST."""

    looks = False

    def __init__(self, output: TextOutput) -> None:
        """Share `output` with the chain: one keyboard, one connection; whoever owns it closes it."""
        self.name = output.name
        self._output = output

    async def probe(self, session: Session) -> Availability:
        """Say whether its keys reach the focused window."""
        return await self._output.probe(session)

    async def erase(self, text: str, to: Destination) -> Delivery:
        """Press BackSpace once per grapheme; refuses texts of which BackSpace does not remove the same everywhere."""
        keys = backspaces(text)
        if keys is None:
            raise refused("Applications differ in what BackSpace removes of this text.")
        if keys > LONGEST:
            raise refused(f"The text is too long for BackSpace: {keys} characters.")
        try:
            pressed = await self._output.deliver(BACKSPACE * keys, to)
        except OutputError as error:
            if error.delivered == 0:
                raise
            raise broken(str(error), delivered=None) from error
        if pressed.certainty is Certainty.UNCERTAIN:
            raise broken(pressed.detail, delivered=None)
        return Delivery(self.name, Certainty.SENT, len(text), pressed.target)

    async def aclose(self) -> None:
        """The output is its owner's."""
