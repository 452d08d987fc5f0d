"""Verbs that are more than one question to the daemon: each does its work and prints through the client."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import click

from v2m.client import ClientError
from v2m.domain.errors import V2mError


class Show(Protocol):
    """Prints what was found and returns the exit status."""

    def __call__(
        self, data: dict[str, Any], out: str | None, talk: str = "", *, as_json: bool, error: ClientError | None = None
    ) -> int:
        """Print `data` as JSON, or `out` for people and `talk` beside it."""
        ...


Act = Callable[..., int]  # takes Show, what click parsed, and `as_json`
Verb = tuple[str, Act, Sequence[click.Parameter], str]  # its name, what it does, what it takes, its help


def build_group(name: str, about: str, show: Show, verbs: Sequence[Verb]) -> click.Group:
    """Return the group; every verb of it takes `--json` too."""
    group = click.Group(name, help=about)
    for verb, act, parameters, help_text in verbs:
        as_json = click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object")
        callback = partial(partial, guarded, act, show)
        group.add_command(click.Command(verb, params=[*parameters, as_json], callback=callback, help=help_text))
    return group


def guarded(act: Act, show: Show, **given: Any) -> int:  # noqa: ANN401 - what click parsed
    """Do it; an error of ours becomes one that the client prints. Raises ClientError."""
    try:
        return act(show, **given)
    except V2mError as error:
        raise ClientError(error.code, str(error), error.hint) from error
