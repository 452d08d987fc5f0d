"""The command line of `toakd`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def parse_arguments(arguments: Sequence[str]) -> dict[str, Any]:
    """Read `toakd [--config FILE] [--set KEY=VALUE]… [--log-file FILE]`. Raises SystemExit as argparse does."""
    parser = argparse.ArgumentParser(prog="toakd", description="The dictation daemon, in the foreground.")
    parser.add_argument("--daemon", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="settings file in place of ~/.config/v2m/config.toml"
    )
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], type=_setting, help="one setting")
    parser.add_argument("--log-file", metavar="FILE", type=Path, help="say everything there instead of on stderr")
    options = vars(parser.parse_args(arguments))
    return {**options, "set": dict(options["set"])}


def _setting(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{word!r} is not KEY=VALUE")
    return key, value
