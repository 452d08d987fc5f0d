"""SIGKILL, SIGSTOP and starvation of memory, at random moments of a dictation's life."""

import os
import random
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support.audio import write_wav
from support.daemon import alive, wait_until
from support.fault_accounts import settle
from support.faults import Account, Spoken, Subject, signal_pcm, subject
from support.pipewire import PipewireSession

PER_HOME = 20  # dictations; each that a crash has cut keeps a reserve of 10 MB
PER_DAEMON = 2  # deaths of a speech process: one that dies at once again and again is given pauses
AFTER_STOP_S = 0.5  # the text is decoded and typed in less


@contextmanager
def at(seconds: float, fault: Callable[[], None]) -> Iterator[None]:
    """Have a fault happen so long from now, and before the block is left."""
    timer = threading.Timer(seconds, fault)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def moment(chance: random.Random) -> tuple[float, float]:
    """Return how long somebody speaks, and when from START the fault comes; each part of the life gets its share."""
    speaks_s = chance.uniform(0.3, 0.9)
    part = chance.choice(("speaking", "speaking", "release", "after"))
    begin, end = {
        "speaking": (0.0, speaks_s),
        "release": (speaks_s - 0.02, speaks_s + 0.02),
        "after": (speaks_s, speaks_s + AFTER_STOP_S),
    }[part]
    return speaks_s, chance.uniform(begin, end)


# --- the daemon ---


def daemon_killed(rounds: int, chance: random.Random) -> Account:
    """SIGKILL of the daemon, over the whole life of a dictation."""
    account = Account("SIGKILL of the daemon")
    while account.injected < rounds:
        with subject() as patient:
            for _ in range(min(PER_HOME, rounds - account.injected)):
                kill_daemon(patient, chance, account)
    return account


def kill_daemon(patient: Subject, chance: random.Random, account: Account) -> None:
    """Kill once, start again, and settle."""
    speaks_s, when_s = moment(chance)
    spoken = Spoken()

    def fault() -> None:
        spoken.fault_ns, spoken.died = patient.kill(), True

    with at(when_s, fault):
        patient.say(speaks_s, spoken)
    patient.look(spoken)
    patient.start()
    patient.obeys()
    account.recovery_s.append((time.monotonic_ns() - spoken.fault_ns) / 1e9)
    settle(patient, spoken, account)


def daemon_killed_at_pipewire(rounds: int, chance: random.Random) -> Account:
    """The same with PipeWire as the source, which goes on when the daemon dies."""
    account = Account("SIGKILL of the daemon, PipeWire's microphone")
    with PipewireSession() as sound:
        names = ("PIPEWIRE_RUNTIME_DIR", "PULSE_SERVER")
        while account.injected < rounds:
            with subject(**{name: sound.env[name] for name in names}, V2M_AUDIO__BACKEND="pipewire") as patient:
                wav = patient.home.folder / "steps.wav"
                write_wav(wav, pcm=signal_pcm())
                for _ in range(min(PER_HOME, rounds - account.injected)):
                    with sound.feeding(wav):
                        wait_until(lambda: sound.sources_of("v2m_mic"), what="the player")
                        kill_daemon(patient, chance, account)
    return account


# --- the speech process ---


def worker_killed(rounds: int, chance: random.Random) -> Account:
    """SIGKILL of the speech process, over the whole life of a dictation."""
    return _to_worker(
        Account("SIGKILL of the speech process"), rounds, chance, lambda pid: os.kill(pid, signal.SIGKILL)
    )


def worker_stopped(rounds: int, chance: random.Random) -> Account:
    """SIGSTOP of the speech process: it hangs, and is replaced after its patience."""
    return _to_worker(
        Account("SIGSTOP of the speech process"), rounds, chance, lambda pid: os.kill(pid, signal.SIGSTOP)
    )


def _to_worker(account: Account, rounds: int, chance: random.Random, harm: Callable[[int], object]) -> Account:
    while account.injected < rounds:
        with subject() as patient:
            for _ in range(min(PER_DAEMON, rounds - account.injected)):
                harm_worker(patient, chance, account, harm)
    return account


def harm_worker(patient: Subject, chance: random.Random, account: Account, harm: Callable[[int], object]) -> None:
    """Harm the speech process once; the same daemon goes on, and nothing at all is lost."""
    speaks_s, when_s = moment(chance)
    spoken = Spoken()
    worker = patient.worker()

    def fault() -> None:
        spoken.fault_ns = time.monotonic_ns()
        with suppress(ProcessLookupError):
            harm(worker)

    with at(when_s, fault):
        patient.say(speaks_s, spoken)
        stopped_ns = time.monotonic_ns()
    since_ns = max(spoken.fault_ns, stopped_ns)
    patient.obeys()
    account.recovery_s.append((time.monotonic_ns() - since_ns) / 1e9)
    patient.look(spoken)
    row = settle(patient, spoken, account)
    account.text_s.append((time.monotonic_ns() - since_ns) / 1e9)
    if spoken.dictation and row is not None and row["phase"] != "delivered":
        account.breaches.append(f"dictation {spoken.dictation} was {row['phase']}: {row['reason']}")
    with suppress(OSError):
        os.kill(worker, signal.SIGCONT)


MEMORY = Path("/sys/fs/cgroup/memory")


def has_cgroups() -> bool:
    """Whether we may limit the memory of a process by a cgroup of version 1."""
    return (MEMORY / "memory.limit_in_bytes").exists() and os.access(MEMORY, os.W_OK)


def worker_out_of_memory(rounds: int, chance: random.Random) -> Account:
    """The speech process has no memory left: killed by its cgroup where we may make one, else refused by RLIMIT_AS."""
    account = Account("speech process out of memory")
    account.note = "cgroup v1, memory.limit_in_bytes" if has_cgroups() else "RLIMIT_AS"
    return _to_worker(account, rounds, chance, no_page if has_cgroups() else no_address)


def no_page(pid: int) -> None:
    """Put a process where its next page is one too many: the kernel kills it."""
    group = MEMORY / f"v2m-{pid}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text("4096")
    (group / "cgroup.procs").write_text(str(pid))
    threading.Thread(target=_remove_when_gone, args=(group, pid), daemon=True).start()


def _remove_when_gone(group: Path, pid: int) -> None:
    with suppress(TimeoutError, OSError):
        wait_until(lambda: not alive(pid), 60)
        wait_until(lambda: not (group / "cgroup.procs").read_text(), 10)
        group.rmdir()


def no_address(pid: int) -> None:
    """Let a process have no further memory: whatever asks for some is refused."""
    resource.prlimit(pid, resource.RLIMIT_AS, (1 << 20, 1 << 20))
