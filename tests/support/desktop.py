"""Real desktops without a screen: a compositor or an X server, and a terminal in it that records what it gets.

with SwayDesktop() as desk:
    sink = desk.terminal()
    ...                      # type, with desk.variables as the session
    sink.wait_text("hello")
"""

import json
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

HEADLESS = Path(__file__).resolve().parents[2] / "scripts" / "headless"


class Sink:
    """What one terminal has received."""

    def __init__(self, log: Path, pid: int) -> None:
        self.log = log
        self.pid = pid  # of the terminal emulator
        self._start = 0

    def events(self) -> list[tuple[int, bytes]]:
        """Return (CLOCK_MONOTONIC in ns, bytes) of each read since `clear`."""
        received = []
        for line in self.log.read_text().splitlines(keepends=True):
            if line.endswith("\n") and line.startswith("["):
                at, data = json.loads(line)
                received.append((at, bytes.fromhex(data)))
        return received[self._start :]

    def text(self) -> str:
        """Return what came since `clear`; Return is a line break."""
        return b"".join(data for _, data in self.events()).decode("utf-8", "replace").replace("\r", "\n")

    def clear(self) -> None:
        """Forget what came so far."""
        self._start += len(self.events())

    def wait_text(self, expected, timeout_s: float = 15.0) -> str:
        """Wait for exactly this text, or for a predicate to hold for it; return what is there."""
        holds = expected if callable(expected) else lambda text: text == expected
        end = time.monotonic() + timeout_s
        while not holds(text := self.text()):
            if time.monotonic() > end:
                raise AssertionError(f"the terminal has {len(text)} characters: {text[:300]!r}")
            time.sleep(0.005)
        return text

    def stop(self) -> None:
        """Make the terminal emulator hang."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)


class _Desktop:
    """A desktop that a script of `scripts/headless` starts and stops."""

    script: Path
    folder_name: str

    def __init__(self, folder: Path | None = None, **options: str) -> None:
        self._wanted = [str(folder)] if folder else []  # else a fresh one
        self._options = options  # variables of the script
        self.folder = ""
        self.variables: dict[str, str] = {}

    def __enter__(self):
        printed = self._script("start", *self._wanted)
        self.folder = printed.pop(self.folder_name)
        self.variables = self._session(printed)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._script("stop", self.folder)

    def terminal(self, banner: str = "") -> Sink:
        """Open a terminal; it has the focus when this returns."""
        printed = self._script("terminal", self.folder, banner)
        return Sink(Path(printed["V2M_SINK"]), int(printed["V2M_SINK_PID"]))

    @property
    def server_pid(self) -> int:
        """The compositor or X server."""
        return int(Path(self.folder, "pids").read_text().split()[0])

    def screenshot(self, path: Path) -> None:
        """Save a picture."""
        self._script("screenshot", self.folder, str(path))

    def run(self, *command: str, stdin: bytes = b"", timeout_s: float = 20.0) -> str:
        """Run a command in the desktop; return what it prints."""
        done = subprocess.run(
            [self.script, "run", self.folder, *command], input=stdin, capture_output=True, timeout=timeout_s
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def _session(self, printed: dict[str, str]) -> dict[str, str]:
        raise NotImplementedError

    def _script(self, *arguments: str) -> dict[str, str]:
        # Long-lived children inherit standard error, so it goes to a file and not to a pipe.
        done = subprocess.run(
            [self.script, *arguments],
            env={**os.environ, **self._options},
            stdout=subprocess.PIPE,
            timeout=40,
        )
        assert done.returncode == 0, f"{self.script.name} {arguments[0]} failed"
        return dict(word.split("=", 1) for word in shlex.split(done.stdout.decode()))


class SwayDesktop(_Desktop):
    """A headless sway with a keyboard; `xwayland=True` for X11 windows in it."""

    script = HEADLESS / "sway.sh"
    folder_name = "V2M_SWAY_DIR"

    def __init__(self, folder: Path | None = None, *, xwayland: bool = False) -> None:
        super().__init__(folder, V2M_XWAYLAND="enable" if xwayland else "disable")
        self.user = ""

    def _session(self, printed: dict[str, str]) -> dict[str, str]:
        self.user = printed.pop("V2M_SWAY_USER")
        return printed

    def press(self, code: int, modifiers: int = 0) -> None:
        """Press a key of the hardware keyboard (evdev code); these modifiers are held from then on."""
        self._key(f"press {code} {modifiers}")

    def release(self, code: int, modifiers: int = 0) -> None:
        """Let go of it."""
        self._key(f"release {code} {modifiers}")

    def _key(self, line: str) -> None:
        answers = Path(self.folder, "keyboard.log")
        before = answers.read_text().count("ok\n")
        Path(self.folder, "keys").write_text(line + "\n")
        end = time.monotonic() + 5
        while answers.read_text().count("ok\n") == before:
            assert time.monotonic() < end, "the hardware keyboard does not answer"
            time.sleep(0.005)


class XDesktop(_Desktop):
    """An X server with a window manager."""

    script = HEADLESS / "xvfb.sh"
    folder_name = "V2M_X_DIR"

    def _session(self, printed: dict[str, str]) -> dict[str, str]:
        return printed
