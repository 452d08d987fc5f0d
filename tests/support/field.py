"""A desktop of two text fields that are only strings, and the adapters that type, remove and watch there."""

import asyncio

from v2m.domain.delivery import Certainty, Delivery, Session, Window
from v2m.domain.errors import OutputError, OutputReason
from v2m.domain.ports import AtBest, Availability

SESSION = Session({"WAYLAND_DISPLAY": "/run/wayland-1"}, "client")
WINDOWS = (Window("sway:1", "editor", "", 100), Window("sway:2", "mail", "", 200))
YES = Availability(usable=True, reason="It is made of strings.")


class Fields:
    """The fields, which has the focus, and what the user did since the watch began."""

    def __init__(self):
        self.contents = {window.id: "" for window in WINDOWS}
        self.now = WINDOWS[0]
        self.shows = True  # its text to those who look
        self.tells = True  # the desktop, what was pressed
        self.pressed = False
        self.clipboard = ""
        self.breaks_at = None  # how many characters the next change gets through
        self.counts = True  # whether whoever broke knows that

    @property
    def text(self):
        return self.contents[self.now.id]

    @text.setter
    def text(self, text):
        self.contents[self.now.id] = text

    def press(self, character):
        self.text += character
        self.pressed = True

    def through(self, size):
        """Return how much of a change gets through, once."""
        at, self.breaks_at = self.breaks_at, None
        return size if at is None else min(at, size)

    def error(self, done):
        delivered = done if self.counts or not done else None
        return OutputError("It broke.", reason=OutputReason.TIMEOUT, delivered=delivered)

    # --- SessionEnvironment, Windows ---

    async def current(self, hint):
        return SESSION

    async def focused(self, session):
        return self.now

    async def activate(self, session, window):
        return False


class FieldOutput:
    """Types at the end of the focused field."""

    name = "keys"
    at_best = AtBest()

    def __init__(self, fields):
        self.fields = fields

    async def probe(self, session):
        return YES

    async def deliver(self, text, to):
        done = self.fields.through(len(text))
        self.fields.text += text[:done]
        if done < len(text):
            raise self.fields.error(done)
        return Delivery(self.name, Certainty.SENT, done)

    async def aclose(self):
        pass


class FieldClipboard(FieldOutput):
    """Keeps one text."""

    name = "clipboard"

    async def deliver(self, text, to):
        self.fields.clipboard = text
        return Delivery(self.name, Certainty.HELD, 0)


class SeeingEraser(FieldOutput):
    """Removes what it sees."""

    name = "eyes"
    looks = True

    async def erase(self, text, to):
        if not self.fields.shows:
            raise OutputError("It shows nothing.", reason=OutputReason.UNSEEN)
        if not self.fields.text.endswith(text):
            raise OutputError("Something else stands there.", reason=OutputReason.REFUSED)
        return await _cut(self, text, Certainty.CONFIRMED)


class BlindEraser(FieldOutput):
    """Removes so many characters, whatever they are."""

    looks = False

    async def erase(self, text, to):
        return await _cut(self, text, Certainty.SENT)


async def _cut(eraser, text, certainty):
    fields = eraser.fields
    done = fields.through(len(text))
    fields.text = fields.text[: len(fields.text) - done]
    if done < len(text):
        raise OutputError("It broke.", reason=OutputReason.TIMEOUT, delivered=None if done else 0)
    return Delivery(eraser.name, certainty, done)


class FieldWatch:
    """Knows what the user pressed."""

    def __init__(self, fields):
        self.fields = fields
        self.sessions = []
        self.answers = asyncio.Event()  # cleared: the desktop hangs
        self.answers.set()

    async def begin(self, session):
        await self.answers.wait()
        self.sessions.append(session)
        self.fields.pressed = False

    async def settled(self):
        pass

    async def touched(self, *, within_s):
        return self.fields.pressed if self.fields.tells else None

    async def aclose(self):
        pass
