"""The shape of the generated table of commands, so that the client needs neither pydantic nor the daemon."""

from typing import Literal, NamedTuple

Kind = Literal["text", "texts", "int", "float", "bool", "choice", "map"]


class Field(NamedTuple):
    """One key of a command's `data`."""

    name: str
    kind: Kind
    help: str
    required: bool = False
    choices: tuple[str, ...] = ()


class Command(NamedTuple):
    """One command: the sentence users read, and its keys."""

    sentence: str
    fields: tuple[Field, ...] = ()

    def field(self, name: str) -> Field | None:
        """Return a key by its name."""
        return next((field for field in self.fields if field.name == name), None)

    def positional(self) -> Field | None:
        """Return the key that a bare argument means: the required one, else the first text."""
        given = [field for field in self.fields if field.kind != "map"]
        required = (field for field in given if field.required)
        texts = (field for field in given if field.kind == "text")
        return next(required, None) or next(texts, None)
