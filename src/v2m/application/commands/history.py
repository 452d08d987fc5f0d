"""Dictations that have come to their end."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from v2m.application.commands._base import MAX_ID, Command, FromDesktop
from v2m.core.ipc_protocol import CommandName
from v2m.domain.errors import ProtocolError


class ListHistory(Command):
    """List dictations, newest first."""

    name = CommandName.LIST_HISTORY
    answer = (
        "`entries` [{`dictation`, `started`, `duration_s`, `phase`, `raw`, `text`, `method`, `certainty`,"
        " `confirmed`, `characters`, `target`, `attempts` [{`method`, `offered`, `characters`, `certainty`, `detail`}],"
        " `engine`, `language`, `audio`, `error`, `reason`, `stages`,"
        " `sent` [{`what`, `provider`, `host`, `size_bytes`, `requests`}]}], `more`"
    )
    errors = ("history_failed",)

    limit: int = Field(default=20, ge=1, le=1000, description="How many at most")
    grep: str = Field(default="", max_length=1000, description="Only dictations with these words")
    before: int | None = Field(default=None, ge=1, le=MAX_ID, description="Only dictations older than this one")
    with_text: bool = Field(default=False, description="Only dictations that have text")


class DeleteHistory(Command):
    """Delete dictations with their audio; those that are still on their way stay."""

    name = CommandName.DELETE_HISTORY
    answer = "`deleted`: how many, `kept` [`dictation`]: on their way, or their audio cannot be deleted"
    errors = ("bad_request", "history_failed", "storage_failed")

    dictations: list[Annotated[int, Field(ge=1, le=MAX_ID)]] = Field(
        default_factory=list, max_length=1000, description="Which dictations"
    )
    all: bool = Field(default=False, description="Every dictation")
    older_than_days: float | None = Field(
        default=None, ge=0, le=36_500, description="Every dictation that began longer ago"
    )
    shred: bool = Field(default=False, description="Overwrite words and audio before they are deleted")

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        chosen = [bool(self.dictations), self.all, self.older_than_days is not None]
        if sum(chosen) != 1:
            raise ProtocolError(
                "DELETE_HISTORY needs either 'dictations', or 'all', or 'older_than_days'.", hint="v2m history"
            )
        return self


class RetryDictation(FromDesktop):
    """Decode kept audio once more and deliver the text."""

    name = CommandName.RETRY_DICTATION
    while_paused = False
    answer = "as STOP_RECORDING with `wait`"
    errors = ("bad_request", "state_conflict", "engine_failed", "no_speech", "timeout")

    dictation: int = Field(ge=1, le=MAX_ID, description="Which dictation")
    vad: bool = Field(default=True, description="Leave out what is not speech; false decodes everything")
    language: str | None = Field(default=None, description="Language spoken")
    deliver: Literal["type", "copy", "none"] = Field(default="type", description="Where the text goes")
    timeout_s: float | None = Field(default=None, gt=0, description="How long to wait; the work goes on after it")


class DeliverAgain(FromDesktop):
    """Deliver the text of an earlier dictation once more."""

    name = CommandName.DELIVER_AGAIN
    while_paused = False
    answer = "`dictation`, `method`, `certainty`, `confirmed`, `characters`, `target`, `detail`, `attempts`"
    errors = ("bad_request", "output_failed")

    dictation: int | None = Field(
        default=None, ge=1, le=MAX_ID, description="Which dictation; default: the newest with text"
    )
    deliver: Literal["type", "copy", "none"] = Field(default="type", description="Where the text goes")


class UndoDelivery(FromDesktop):
    """Take back what was typed last, exactly, or leave it as it is."""

    name = CommandName.UNDO_DELIVERY
    while_paused = False
    answer = "`dictation`, `method`, `certainty`, `confirmed`, `characters`"
    errors = ("state_conflict", "output_failed")


class SwapText(FromDesktop):
    """Put another version of the newest dictation in the place of what was typed; else on the clipboard."""

    name = CommandName.SWAP_TEXT
    while_paused = False
    answer = (
        "`dictation`, `text`, `taken_back`, `method`, `certainty`, `confirmed`, `characters`, `target`, `detail`,"
        " `attempts`"
    )
    errors = ("bad_request", "state_conflict", "output_failed")

    version: Literal["raw", "refined"] = Field(description="What the engine heard, or the text with every refinement")
