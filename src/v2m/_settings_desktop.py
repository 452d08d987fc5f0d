"""The tables of settings for the desktop around a dictation: types, bounds and the sentence that users read."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from v2m._settings_tables import Table
from v2m._settings_values import Kind
from v2m.domain.hotkeys import EXAMPLE, Shortcut, parse_keys


def _keys(text: str) -> str:
    if text.strip():
        parse_keys(text)
    return text.strip()


Keys = Annotated[str, AfterValidator(_keys), Kind("keys", f"keys such as {EXAMPLE}, or empty", (str,))]


class Hotkeys(Table):
    """Keys that the daemon itself asks the desktop for, in place of bindings that run `toak`."""

    backend: Literal["off", "auto", "sway", "portal"] = Field(
        description="Who tells the daemon of keys: nobody, sway, the desktop's portal, or whichever is there."
    )
    push_to_talk: Keys = Field(description="Keys that record as long as they are held; empty: none.")
    toggle: Keys = Field(description="Keys that start a recording, or stop the open one; empty: none.")
    abort: Keys = Field(description="Keys that throw the recording away; empty: none.")

    @field_validator("toggle", "abort")
    @classmethod
    def _free(cls, value: str, others: ValidationInfo) -> str:
        taken = {name: keys for name, keys in others.data.items() if name != "backend" and keys}
        for name, keys in taken.items():
            if value and parse_keys(value) == parse_keys(keys):
                raise ValueError(f"has the same keys as {name}")
        return value

    def shortcuts(self) -> list[Shortcut]:
        """Return the hotkeys that have keys."""
        wanted = (
            ("push_to_talk", self.push_to_talk, "start", "stop", "Dictate while held"),
            ("toggle", self.toggle, "toggle", "", "Start or stop dictating"),
            ("abort", self.abort, "abort", "", "Throw the dictation away"),
        )
        return [
            Shortcut(name, parse_keys(keys), pressed, released, description)
            for name, keys, pressed, released, description in wanted
            if keys
        ]


class Media(Table):
    """Other sound of this desktop."""

    while_recording: Literal["off", "pause", "duck"] = Field(
        description="What happens to players while the microphone is open: nothing, a pause, or half the volume."
    )
