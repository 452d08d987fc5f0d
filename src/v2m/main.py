"""Where `v2m`, `toakd` and `python -m v2m.main` begin; each branch imports only what it needs."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the client, or with `--daemon` first the daemon; return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["--daemon"]:
        return toakd(arguments[1:])
    from v2m.ui.cli import run

    return run(arguments)


def toakd(argv: Sequence[str] | None = None) -> int:
    """Run the daemon in the foreground; return the exit status."""
    from v2m.daemon import run

    return run(list(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    sys.exit(main())
