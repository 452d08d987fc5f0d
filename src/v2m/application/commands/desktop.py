"""Microphones, ways of typing, and the rules per application."""

from pydantic import Field, field_validator

from v2m.application.commands._base import Command, FromDesktop
from v2m.core.ipc_protocol import CommandName
from v2m.domain.applications import RoleName
from v2m.domain.policy import Target
from v2m.domain.text.classes import TextClass

MAX_NAME = 40  # of an output; the longest of ours has 16


class ListDevices(Command):
    """List the microphones."""

    name = CommandName.LIST_DEVICES
    answer = "`devices` [{`name`, `description`, `default`, `chosen`}]"
    errors = ("capture_failed",)


class ListOutputs(FromDesktop):
    """Tell where words would go now, and why each way of typing is in or out."""

    name = CommandName.LIST_OUTPUTS
    answer = "`session` {`origin`, `variables`}, `outputs` [{`name`, `usable`, `reason`}]"


class TestPolicy(FromDesktop):
    """Tell how a text would be typed into a window, and which rules say so; types nothing."""

    __test__ = False  # no test, whatever collectors think of its name

    name = CommandName.TEST_POLICY
    answer = (
        "`target` {`app`, `title`, `role`, `language`}, `manner` {`outputs`, `paste_key`, `newline`, `casing`,"
        " `trailing_space`, `refine`, `submit`}, `reasons`, `text` as it would be typed,"
        " `output` that would be the first, `outputs` [{`name`, `usable`, `reason`}] in their order"
    )

    text: str = Field(min_length=1, max_length=10_000, description="The text")
    app: str | None = Field(
        default=None, max_length=1000, description="Wayland app id or X11 class; default: the window that has the focus"
    )
    title: str = Field(default="", max_length=1000, description="Title of the window")
    role: RoleName | None = Field(default=None, description="Kind of application; default: as v2m knows it")
    language: str = Field(default="", max_length=100, description="Language of the dictation, e.g. tr")

    def target(self) -> Target:
        """Return what the rules are asked about."""
        return Target(self.app or "", self.title, self.role or "", self.language)


class CheckOutputs(Command):
    """Remember what `v2m outputs --check` found: which way of typing is exact for which characters."""

    name = CommandName.CHECK_OUTPUTS
    errors = ("bad_request", "storage_failed")

    layout: str = Field(default="", max_length=200, description="Name of the keyboard layout; empty: unknown")
    results: dict[str, dict[str, bool]] = Field(
        max_length=32, description="Output → class of characters → whether it arrived exactly"
    )

    @field_validator("results")
    @classmethod
    def _are_known(cls, results: dict[str, dict[str, bool]]) -> dict[str, dict[str, bool]]:
        if any(not 0 < len(output) <= MAX_NAME for output in results):
            raise ValueError(f"an output's name has 1 to {MAX_NAME} characters")
        unknown = {kind for found in results.values() for kind in found} - {kind.value for kind in TextClass}
        if unknown:
            raise ValueError(f"there is no class {min(unknown)[:MAX_NAME]!r}")
        return results
