"""Real desktops without a screen: a compositor or an X server, and a terminal in it that records what it gets.

with SwayDesktop() as desk:
    sink = desk.terminal()
    ...                      # type, with desk.variables as the session
    sink.wait_text("hello")
    field = desk.target("gtk")  # a field of another toolkit
"""

import importlib.util
import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

TARGETS = Path(__file__).with_name("targets")
HEADLESS = Path(__file__).resolve().parents[2] / "scripts" / "headless"


_numbers = itertools.count()
_PYTHON = "/usr/bin/python3"  # the desktop's user may not reach ours
_NEEDS = {  # target → what its interpreter must be able to do, what to do otherwise
    "gtk": (
        "import gi; gi.require_version('Gtk', '3.0'); from gi.repository import Gtk",
        "apt install python3-gi gir1.2-gtk-3.0",
    ),
    "qt": ("import PySide6.QtWidgets", "pip install -e '.[targets]', in a place that other users can read"),
    "firefox": (
        "import os, shutil; os.listdir('/proc'); assert shutil.which('firefox-esr')",
        "apt install firefox-esr",
    ),
}


class Sink:
    """What one terminal has received."""

    def __init__(self, log: Path, pid: int) -> None:
        self.log = log
        self.pid = pid  # of the application
        self._offset = 0
        self._received: list[tuple[int, bytes]] = []

    def lines(self) -> list:
        """Return the complete lines that the log has got since the last call, decoded."""
        with self.log.open("rb") as log:
            log.seek(self._offset)
            *complete, _ = log.read().split(b"\n")
        self._offset += sum(len(line) + 1 for line in complete)
        return [json.loads(line) for line in complete]

    def events(self) -> list[tuple[int, bytes]]:
        """Return (CLOCK_MONOTONIC in ns, bytes) of each read since `clear`."""
        self._received += [(line[0], bytes.fromhex(line[1])) for line in self.lines() if isinstance(line, list)]
        return self._received

    def text(self) -> str:
        """Return what came since `clear`; Return is a line break."""
        return b"".join(data for _, data in self.events()).decode("utf-8", "replace").replace("\r", "\n")

    def last_ns(self) -> int:
        """Return when the last of it came."""
        return self.events()[-1][0]

    def clear(self) -> None:
        """Forget what came so far."""
        self.events()
        self._received = []

    @property
    def alive(self) -> bool:
        """Whether the application still runs."""
        try:
            return ") Z " not in Path(f"/proc/{self.pid}/stat").read_text()
        except FileNotFoundError:
            return False

    def wait_text(self, expected, timeout_s: float = 15.0) -> str:
        """Wait for exactly this text, or for a predicate to hold for it; return what is there."""
        holds = expected if callable(expected) else lambda text: text == expected
        end = time.monotonic() + timeout_s
        while not holds(text := self.text()):
            if time.monotonic() > end:
                raise AssertionError(f"the application has {len(text)} characters: {text[:300]!r}")
            time.sleep(0.005)
        return text

    def stop(self) -> None:
        """Make the application hang."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)


class Field(Sink):
    """The field of one of the programs in `targets`, and what it holds."""

    def __init__(self, log: Path, pid: int) -> None:
        super().__init__(log, pid)
        self.preedit = ""
        self._text = ""
        self._changed_ns = 0
        self._done = 0
        self._orders = itertools.count(1)

    def text(self) -> str:
        for line in self.lines():
            match line:
                case [at_ns, kept, rest]:
                    self._changed_ns, self._text = at_ns, self._text[:kept] + rest
                case {"preedit": preedit}:
                    self.preedit = preedit
                case {"done": order}:
                    self._done = order
        return self._text

    def last_ns(self) -> int:
        self.text()
        return self._changed_ns

    def set(self, text: str, anchor: int | None = None, cursor: int | None = None) -> None:
        """Replace what the field holds, and select; by default the cursor is at the end."""
        number = next(self._orders)
        at = [len(text) if place is None else place for place in (anchor, cursor)]
        order = {"order": number, "set": text, "anchor": at[0], "cursor": at[1]}
        with open(f"{self.log}.orders", "w") as orders:
            orders.write(json.dumps(order) + "\n")
        self.wait_text(lambda _: self._done == number)
        assert self._text == text

    def clear(self) -> None:
        if self.text():
            self.set("")


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

    def target(self, name: str, *options: str) -> Field:
        """Open one of the programs in `targets` ("gtk", "qt", "firefox"); it has the focus when this returns."""
        programs = Path(self.folder, "targets")
        if not programs.exists():
            shutil.copytree(TARGETS, programs, ignore=shutil.ignore_patterns("__pycache__"))
        log = str(Path(self.folder, f"{name}-{next(_numbers)}.json"))
        setting, as_caller = self._environment(name)
        python = [*setting, _PYTHON]
        printed = self._script(
            "open", self.folder, log, *python, str(programs / f"{name}.py"), log, *options, V2M_AS_CALLER=as_caller
        )
        return Field(Path(printed["V2M_SINK"]), int(printed["V2M_SINK_PID"]))

    def _environment(self, name: str) -> tuple[list[str], str]:
        """Return what sets the target's environment, and whether it runs as our user; skips where it cannot run."""
        qt = importlib.util.find_spec("PySide6")
        packages = str(Path(qt.origin).parents[1]) if qt else ""
        setting = ["env", f"PYTHONPATH={packages}"] if name == "qt" else []
        needed, hint = _NEEDS[name]
        command = [self.script, "run", self.folder, *setting, _PYTHON, "-c", needed]
        for as_caller in ("", "1"):  # of root's desktop: its ordinary user may be kept from /proc
            environment = {**os.environ, "V2M_AS_CALLER": as_caller}
            if subprocess.run(command, capture_output=True, timeout=20, env=environment).returncode == 0:
                return setting, as_caller
        pytest.skip(f"the {name} target cannot run here: {hint}")

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

    def _script(self, *arguments: str, **options: str) -> dict[str, str]:
        # Long-lived children inherit standard error, so it goes to a file and not to a pipe.
        done = subprocess.run(
            [self.script, *arguments],
            env={**os.environ, **self._options, **options},
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

    def use_layout(self, name: str) -> None:
        """Give the hardware keyboard another layout, such as `de` or `us(dvorak)`."""
        self._key(f"layout {name}")

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
