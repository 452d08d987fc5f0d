"""Keys of services: from the environment, from a program, or from a file that is the user's alone."""

import asyncio
import os
import shlex
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from v2m.domain.errors import ConfigError
from v2m.infrastructure._run import run

COMMAND_TIMEOUT_S: Final = 60.0  # a password manager may ask for a passphrase
MAX_KEY_BYTES: Final = 4096  # of a file; keys have 50 to 200 characters, tokens of some services 2,000


class ApiKey:
    """The key of one service, read when it is first needed and then remembered; no repr shows it.

    The first source that is set counts: `value` (environment or `.env`), `command`, `file`. One that
    fails is an error and never replaced by the next.
    """

    def __init__(
        self,
        variable: str,
        *,
        value: str = "",
        command: Sequence[str] = (),
        file: Path | None = None,
        required: bool = True,
    ) -> None:
        """Take the sources; `variable` is what a user can set. A key that is not required may be missing."""
        self.variable = variable
        self._value = value
        self._command = tuple(command)
        self._file = file
        self._required = required
        self._known: str | None = None
        self._reading = asyncio.Lock()  # one password prompt at a time

    def __repr__(self) -> str:
        """Name the variable, never the key."""
        return f"ApiKey({self.variable!r})"

    @property
    def known(self) -> str:
        """The key, where it is at hand without running a program or reading a file; else empty."""
        return self._known or self._value.strip()

    async def read(self) -> str:
        """Return the key; empty where none is set and none is required.

        Cancelling ends the program that is asked for it.

        Raises:
            ConfigError: there is none, its source fails, or what comes out is no key.
        """
        async with self._reading:
            if self._known is None:
                self._known = await self._fetch()
            return self._known

    def forget(self) -> None:
        """Ask the source again with the next `read`: the service does not take this key."""
        self._known = None

    async def _fetch(self) -> str:
        if self._value:
            return _checked(self._value, self.variable)
        if self._command:
            return _checked(await _printed(self._command), "cloud.api_key_cmd")
        if self._file is not None:
            return _checked(await asyncio.to_thread(_load, self._file), str(self._file))
        if not self._required:
            return ""
        raise ConfigError(
            f"The speech service needs a key, and {self.variable} is not set.",
            hint=f"Set {self.variable} in the environment or in ~/.config/v2m/.env, or cloud.api_key_cmd.",
        )


async def _printed(command: Sequence[str]) -> str:
    """Return the first line that a program prints, as password managers put the secret there.

    Only the program's name is told on failure: arguments and output may hold a secret.
    """
    setting = f"cloud.api_key_cmd ({command[0]})"
    try:
        finished = await run(command, timeout_s=COMMAND_TIMEOUT_S)
    except TimeoutError:
        raise ConfigError(f"{setting} gave no key in {COMMAND_TIMEOUT_S:.0f} s.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
        why = error.strerror if isinstance(error, OSError) else "bad argument"  # and no name: it may be the key itself
        hint = "It must be a list: the program, then its arguments."
        raise ConfigError(f"The program of cloud.api_key_cmd cannot be used: {why}.", hint=hint) from None
    if finished.status != 0:
        hint = "Run it in a terminal: it must print the key and nothing before it."
        raise ConfigError(f"{setting} failed with status {finished.status}.", hint=hint)
    return _first_line(finished.stdout)


def _load(path: Path) -> str:
    """Return the first line of a key file; what was opened is judged, so that nothing can be swapped in between.

    A symbolic link is followed if it is the user's or root's (encrypted stores make such links). Raises ConfigError.
    """
    try:
        link = path.lstat()
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            _refuse_shared(path, link, os.fstat(fd))
            content = os.read(fd, MAX_KEY_BYTES + 1)
        finally:
            os.close(fd)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "its name holds a NUL"
        raise ConfigError(
            f"The key file {path} cannot be read: {why}.", hint=f"ls -l {shlex.quote(str(path))}"
        ) from error
    if len(content) > MAX_KEY_BYTES:
        raise ConfigError(f"The key file {path} is longer than {MAX_KEY_BYTES} bytes.")
    return _first_line(content)


def _refuse_shared(path: Path, link: os.stat_result, found: os.stat_result) -> None:
    """Raise ConfigError unless the file is the user's alone."""
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in (os.getuid(), 0):
        raise ConfigError(f"The key file {path} is a link that belongs to uid {link.st_uid}, not to you.")
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"The key file {path} is no plain file.")
    if found.st_uid != os.getuid():
        raise ConfigError(f"The key file {path} belongs to uid {found.st_uid}, not to you.")
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise ConfigError(
            f"The key file {path} can be reached by others (mode {mode:04o}).",
            hint=f"chmod 600 {shlex.quote(str(path))}",
        )


def _first_line(content: bytes) -> str:
    lines = content.decode("utf-8", "replace").strip().splitlines()
    return lines[0].strip() if lines else ""


def _checked(key: str, origin: str) -> str:
    """Return a key that can stand in a header. Raises ConfigError, without the key."""
    key = key.strip()
    if not key:
        raise ConfigError(f"{origin} holds no key.")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(f"{origin} holds something that is no key: it has characters that no key has.")
    return key
