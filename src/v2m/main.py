"""Where `v2m`, `toakd` and `python -m v2m.main` begin; each branch imports only what it needs."""

import sys
from collections.abc import Callable, Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the client, or with `--daemon` first the daemon; return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["--daemon"]:
        return toakd(arguments[1:])
    from v2m.ui.cli import run

    return _walled(run, arguments)


def toakd(argv: Sequence[str] | None = None) -> int:
    """Run the daemon in the foreground; return the exit status."""
    from v2m.daemon import run

    return _walled(run, list(sys.argv[1:] if argv is None else argv))


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
