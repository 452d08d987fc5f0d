"""Where `v2m`, `toakd` and `python -m v2m.main` begin; each branch imports only what it needs."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import click

# What is more than one question to the daemon: `build_command` in v2m/local/VERB.py.
LOCAL_VERBS = (
    "bench",
    "config",
    "daemon",
    "doctor",
    "history",
    "hotkey",
    "install",
    "models",
    "outputs",
    "privacy",
    "recover",
    "stats",
    "uninstall",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the client, or with `--daemon` first the daemon; return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["--daemon"]:
        return toakd(arguments[1:])
    from v2m.ui.cli import run

    return _walled(lambda words: run(words, local_verbs()), arguments)


def toakd(argv: Sequence[str] | None = None) -> int:
    """Run the daemon in the foreground; return the exit status."""
    if not (sys.stdin and sys.stdin.isatty()):  # the daemon reads its settings again then, as soon as it can
        from signal import SIG_IGN, SIGHUP, signal

        signal(SIGHUP, SIG_IGN)
    from v2m.daemon import run

    return _walled(run, list(sys.argv[1:] if argv is None else argv))


def local_verbs() -> "Mapping[str, Callable[[Any], click.Command]]":
    """Return what builds each local verb from the function that prints; its module is imported then."""
    return {verb: _builder(verb) for verb in LOCAL_VERBS}


def _builder(verb: str) -> "Callable[[Any], click.Command]":
    def build(show: Any) -> "click.Command":  # noqa: ANN401 - `Show` of the verb
        from importlib import import_module

        command: click.Command = import_module(f"v2m.local.{verb}").build_command(show)
        return command

    return build


def _walled(run: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    """Run; a fault of ours is a traceback and the exit status of `internal`."""
    try:
        return run(arguments)
    except Exception:  # noqa: BLE001 - the outermost wall
        from traceback import print_exc

        print_exc()
        return 70


if __name__ == "__main__":
    sys.exit(main())
