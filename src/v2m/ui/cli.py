"""`v2m`: click reads the verb and its options; what they mean is done afterwards, outside click.

Options come from the generated table, so that a new key of a command is a new option of its verb.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from v2m.client import ClientError, exit_code
from v2m.ui import ask, raw

if TYPE_CHECKING:
    from v2m.ui.verbs import LocalVerb

INTERRUPTED: Final = 130  # what a shell reports for SIGINT
PIPE_CLOSED: Final = 141  # and for SIGPIPE


def run(arguments: Sequence[str], local: "Mapping[str, LocalVerb]" = MappingProxyType({})) -> int:
    """Run one command line; `local` builds the verbs that need no daemon. Return the exit status."""
    _open_streams()
    try:
        status = _run(arguments, local)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return PIPE_CLOSED
    except OSError as error:
        _forget_output()
        sys.stderr.write(f"v2m: The answer cannot be written: {error.strerror}.\n")
        return exit_code("internal")
    return status


def _open_streams() -> None:
    """Have somewhere to write, in any encoding: `v2m … >&-` closes what Python then does not open."""
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - for the rest of the program
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]


def _forget_output() -> None:
    """Let nothing that is still buffered complain when the program ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: Sequence[str], local: "Mapping[str, LocalVerb]") -> int:
    try:
        if raw.is_raw(arguments):
            return raw.run(arguments)
        if arguments[:1] == ["call"]:
            return raw.call(arguments[1:])
        return _verb(arguments, local)()
    except ClientError as error:
        return _refuse(error, as_json="--json" in arguments)


def _refuse(error: ClientError, *, as_json: bool) -> int:
    if as_json:
        print(ask.line_of_json(ask.refusal(error)))
    else:
        ask.complain(error.message, error.hint)
    return exit_code(error.code)


def _verb(arguments: Sequence[str], local: "Mapping[str, LocalVerb]") -> Callable[[], int]:
    """Return what the verb is to do. Raises UsageError; help is printed and nothing is left to do."""
    import click

    from v2m.ui.verbs import build_group

    try:
        action: Any = build_group(local).main(list(arguments), prog_name="v2m", standalone_mode=False)
    except click.Abort as error:
        raise KeyboardInterrupt from error
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return lambda: exit_code("usage")
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        raise ask.UsageError(error.format_message(), f"{context.command_path if context else 'v2m'} --help") from error
    return action if callable(action) else lambda: int(action or 0)
