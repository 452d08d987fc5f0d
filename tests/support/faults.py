"""Faults with accounts: a daemon that dictates under them, and what became of every word and sample.

The microphone plays a test signal whose stretches of 40 ms are numbered, the engine answers with the numbers that it
heard, the keys go to a file: so a word that is missing or doubled, and a sample that is missing, are counted.
"""

import math
import re
import signal
import struct
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from support.audio import write_wav
from support.daemon import Home, listens, new_home, wait_until
from v2m.domain import audio
from v2m.infrastructure.engines.scripted import STEP_LEVEL, STEP_SAMPLES

STEPS = 400  # 16 s; nobody dictates as long here
TOLERATED_S = 0.2  # audio younger than that may be lost with the daemon
TYPIST = Path(__file__).with_name("slow_typist.py")
VARIABLES = {
    "V2M_TRANSCRIPTION__BACKEND": "scripted",
    "V2M_TRANSCRIPTION__SCRIPT": '["{steps}"]',
    "V2M_TRANSCRIPTION__SCRIPT_DELAY_S": "0.15",
    "V2M_AUDIO__BACKEND": "wav",
}
NO_SPOOL = (0, 0, b"")


def signal_pcm(first: int = 1) -> bytes:
    """Return the test signal from this step on, S16LE 16 kHz."""
    return b"".join(array("h", [number * STEP_LEVEL]).tobytes() * STEP_SAMPLES for number in range(first, STEPS + 1))


def words(text: str) -> list[str]:
    return re.findall(r"s\d+", text.lower())


@dataclass(slots=True)
class Account:
    """What one kind of fault did, over all its rounds."""

    fault: str
    injected: int = 0
    dictations: int = 0
    rowless: int = 0
    words: int = 0
    words_lost: int = 0
    words_doubled: int = 0
    samples_lost: int = 0
    recovery_s: list[float] = field(default_factory=list)  # fault → START is obeyed
    text_s: list[float] = field(default_factory=list)  # fault or STOP, whichever is later → the text is there
    note: str = ""
    breaches: list[str] = field(default_factory=list)  # each loss, for whoever looks for its cause


@dataclass(slots=True)
class Spoken:
    """One dictation as its speaker knows it; times are CLOCK_MONOTONIC."""

    dictation: int = 0  # 0: START was not answered
    started_ns: int = 0  # START was answered
    stop_ns: int = 0  # STOP was sent; 0: not
    fault_ns: int = 0
    died: bool = False  # with the fault: nobody hears what comes after it
    typed_before: int = 0  # characters in the file of keys
    first_ns: int = 0  # of its audio
    samples: int = 0  # in its spool
    lost: int = 0  # samples older than 200 ms before the fault that are not in it
    heard: bytes = b""


class EndedError(Exception):
    """The daemon ended while it started; what it wrote."""


class Subject:
    """A daemon that is started again when it has died, as systemd does; stands in a home of its own."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.argv = [sys.executable, str(TYPIST), str(home.folder)]
        self.process: subprocess.Popen[bytes] | None = None
        self.signal = signal_pcm()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def root(self) -> Path:
        """The file system as it sees it: it may have disks of its own."""
        assert self.process is not None
        return Path(f"/proc/{self.pid}/root") if self.process.poll() is None else Path("/")

    @property
    def log(self) -> str:
        return (self.home.folder / "toakd.log").read_text()

    def worker(self) -> int:
        """Return the pid of the speech process."""

        def find() -> int | None:
            for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
                with suppress(OSError):
                    if b"v2m.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                        return int(child)
            return None

        return int(wait_until(find, what="the worker"))

    def start(self) -> None:
        """Start it, without waiting for anything."""
        with (self.home.folder / "toakd.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.argv, env=self.home.variables, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def kill(self) -> int:
        """Kill it as a crash does; return when."""
        assert self.process is not None
        when = time.monotonic_ns()
        self.process.kill()
        self.process.wait()
        return when

    def obeys(self) -> None:
        """Return once START is obeyed; what that records is thrown away."""
        wait_until(lambda: listens(self.home.socket), 30, "the socket")
        answer = self.home.ask("START_RECORDING")
        assert answer["status"] == "success", answer
        self.home.ask("ABORT_RECORDING", dictation=answer["data"]["dictation"])

    def __enter__(self) -> Self:
        self.start()
        wait_until(lambda: listens(self.home.socket) or not self.lives, 30, "the socket")
        try:
            self.home.wait_state("idle", 60)
        except (OSError, EOFError) as error:
            raise EndedError(self.log) from error
        return self

    @property
    def lives(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.poll() is None

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    # --- what a speaker does ---

    def say(self, seconds: float, spoken: Spoken, *, wait: bool = False) -> dict[str, Any]:
        """START, speak, STOP; `spoken` is filled in as far as the daemon lives. Returns STOP's answer."""
        spoken.typed_before = len(self.typed)
        with suppress(OSError, EOFError):
            answer = self.home.ask("START_RECORDING")
            if answer["status"] != "success":
                assert answer["error"]["code"] == "storage_failed", (answer, self.log)
                return answer  # it is said that there is no room at all
            spoken.started_ns = time.monotonic_ns()
            spoken.dictation = answer["data"]["dictation"]
            time.sleep(seconds)
            spoken.stop_ns = time.monotonic_ns()
            return self.home.ask("STOP_RECORDING", wait=wait)
        return {}

    @property
    def typed(self) -> str:
        """Everything that was typed."""
        keys = self.home.folder / "keys"
        return keys.read_text() if keys.exists() else ""

    # --- what is on the disk ---

    def look(self, spoken: Spoken) -> None:
        """Note what the spool of a dictation holds now, and what is missing of what had been played."""
        first_ns, samples, pcm = self.spool(spoken.dictation)
        if not first_ns:
            return
        spoken.first_ns, spoken.samples, spoken.heard = first_ns, samples, pcm
        end_ns = min(spoken.fault_ns or spoken.stop_ns, spoken.stop_ns or spoken.fault_ns)
        played = math.floor((end_ns - first_ns) / 1e9 * audio.SAMPLE_RATE_HZ)
        spoken.lost = max(0, played - round(TOLERATED_S * audio.SAMPLE_RATE_HZ) - samples)

    def spool(self, dictation: int) -> tuple[int, int, bytes]:
        """Return when the first sample of a dictation came, how many are in its file, and these."""
        folder = self.root / str(self.home.state / "v2m" / "spool").lstrip("/")
        for path in sorted(folder.glob("dictation-*"), reverse=True):
            with suppress(OSError, struct.error), path.open("rb") as file:
                header = file.read(audio.SPOOL_HEADER_BYTES)
                (owner,) = struct.unpack_from("=Q", header, audio.OFFSET_DICTATION)
                if owner == dictation:
                    (head,) = struct.unpack_from("=Q", header, audio.OFFSET_HEAD)
                    (first_ns,) = struct.unpack_from("=q", header, audio.OFFSET_FIRST_NS)
                    return first_ns, head, file.read(head * audio.SAMPLE_BYTES)
        return NO_SPOOL

    # --- what became of it ---

    def rest(self, dictation: int, *, wait: bool, timeout_s: float = 30.0) -> dict[str, Any] | None:
        """Return the row of a dictation, once it is at rest if that is to be waited for; None when there is none."""
        final = {"delivered", "uncertain", "held", "failed", "aborted", "discarded", "suppressed"}

        def row() -> dict[str, Any]:
            listed = self.home.ask("LIST_HISTORY", limit=1000)["data"].get("entries", [])  # none: it cannot be read
            return next((entry for entry in listed if entry["dictation"] == dictation), {})

        def at_rest() -> list[dict[str, Any]]:
            entry = row()
            return [entry] if not (wait and entry) or entry["phase"] in final else []

        found = wait_until(at_rest, timeout_s, f"the end of dictation {dictation}")[0]
        return found or None

    def words_kept(self, row: dict[str, Any], typed: str) -> list[str]:
        """Return the words of a dictation that its user has, or gets by what v2m offers."""
        if row["phase"] == "delivered" or words(typed) == words(row["text"]) != []:
            return words(typed)
        if row["phase"] in ("held", "uncertain") and row["text"]:
            return words(row["text"])
        if not row["audio"]:
            return []
        wait_until(lambda: self.home.ask("GET_STATUS")["data"]["engine"]["state"] == "ready", 60, "the engine")
        answer = self.home.ask("RETRY_DICTATION", dictation=row["dictation"], deliver="none")
        return words(answer["data"].get("transcription", ""))


@contextmanager
def subject(
    command: Callable[[Home, list[str]], list[str]] = lambda home, argv: argv, **variables: str
) -> Iterator[Subject]:
    """Start a daemon that hears the test signal, in a new home; ends it. `command` makes another of its command."""
    with new_home(**{**VARIABLES, **variables}) as home:
        patient = Subject(prepared(home))
        patient.argv = command(home, patient.argv)
        with patient:
            if home.variables["V2M_AUDIO__BACKEND"] != "wav":
                patient.signal = b""
            yield patient


def prepared(home: Home) -> Home:
    """Have the microphone of a home play the test signal."""
    if home.variables["V2M_AUDIO__BACKEND"] == "wav":
        home.variables["V2M_AUDIO__WAV_PATH"] = str(write_wav(home.folder / "steps.wav", pcm=signal_pcm()))
    return home
