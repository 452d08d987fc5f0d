"""What every command has."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from v2m.core.ipc_protocol import CommandName

DISPLAY_VARIABLES = (
    "WAYLAND_DISPLAY",
    "DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
    "XDG_SESSION_TYPE",
    "XDG_CURRENT_DESKTOP",
    "SWAYSOCK",
    "HYPRLAND_INSTANCE_SIGNATURE",
)

MAX_ID = 2**63 - 1  # SQLite's row ids


class Command(BaseModel):
    """What a client can ask for."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: ClassVar[CommandName]
    while_paused: ClassVar[bool] = True  # accepted while the daemon is paused
    answer: ClassVar[str] = ""  # what `data` of a good answer holds besides `state`, for PROTOCOL.md
    errors: ClassVar[tuple[str, ...]] = ()


class FromDesktop(Command):
    """A command of a client that may know the desktop better than the daemon does."""

    env: dict[str, str] = Field(
        default_factory=dict, description="Display variables of the client: " + ", ".join(DISPLAY_VARIABLES)
    )

    def display_variables(self) -> dict[str, str]:
        """Return the allowed variables; everything else a client may send is dropped."""
        return {key: value for key, value in self.env.items() if key in DISPLAY_VARIABLES and value}
