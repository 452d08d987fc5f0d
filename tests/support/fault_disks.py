"""Disks that fill up, are read-only, or refuse the n-th write, and descriptors that run out."""

import itertools
import os
import random
import resource
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from support.daemon import Home
from support.fault_accounts import recovered, settle
from support.fault_kills import at
from support.faults import Account, EndedError, Spoken, Subject, subject

MOUNT = 'mount -t tmpfs -o {options} none "$1" && shift && exec "$@"'
SPEAKS_S = (0.3, 0.6)
# What a file is written with: by SQLite, by the spool, by the folder of both.
WRITES = ("pwrite64", "fallocate", "ftruncate", "fdatasync", "fsync", "rename", "mkdir")


def on_disk(options: str) -> Callable[[Home, list[str]], list[str]]:
    """Return what makes of a command one whose state directory is a disk of its own."""

    def command(home: Home, argv: list[str]) -> list[str]:
        return ["unshare", "-m", "sh", "-c", MOUNT.format(options=options), "sh", str(home.state), *argv]

    return command


def disk_full(rounds: int, chance: random.Random) -> Account:
    """The disk of history and audio is filled at a random moment of a dictation, and has room again afterwards."""
    account = Account("disk full")
    with subject(on_disk("size=40m,mode=700")) as patient:
        filler = patient.root / str(patient.home.state).lstrip("/") / "filler"
        for _ in range(rounds):
            speaks_s = chance.uniform(*SPEAKS_S)
            spoken = Spoken()
            with at(chance.uniform(0, speaks_s + 0.3), partial(_fill, filler, spoken)):
                patient.say(speaks_s, spoken, wait=True)
            patient.look(spoken)
            filler.unlink(missing_ok=True)
            recovered(patient, account)  # what could not be written is written with it
            settle(patient, spoken, account)
    return account


def _fill(filler: Path, spoken: Spoken) -> None:
    spoken.fault_ns = time.monotonic_ns()
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(1 << 20)):
            pass
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while file.write(bytes(1 << 10)):
            pass


def read_only(rounds: int, chance: random.Random) -> Account:
    """The disk of history and audio is read-only from the start."""
    account = Account("state directory read-only")
    with subject(on_disk("ro")) as patient:
        for _ in range(rounds):
            spoken = Spoken()
            patient.say(chance.uniform(*SPEAKS_S), spoken, wait=True)
            recovered(patient, account)
            settle(patient, spoken, account, durable=False)
    return account


def nth_write_fails(rounds: int, chance: random.Random) -> Account:
    """From its n-th call on, or once, a system call that writes is refused: each call and n in turn."""
    account = Account("n-th write refused", note="strace -e inject=CALL:error=ENOSPC|EIO|EROFS:when=N[+]")
    plans = [(call, n, more) for n in range(1, 100) for call in WRITES for more in ("", "+")]
    for call, n, more in plans[:rounds]:
        error = chance.choice(("ENOSPC", "EIO", "EROFS"))
        refuse(call, f"{error}:when={n}{more}", account)
    return account


def refuse(call: str, how: str, account: Account) -> None:
    """Have one daemon dictate twice while a system call is refused."""
    assert shutil.which("strace"), "scripts/setup installs strace"
    tracer = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:error={how}"]

    def traced(home: Home, argv: list[str]) -> list[str]:
        database = home.state / "v2m" / "history.db"
        files = [f"{database}{end}" for end in ("", "-wal", "-journal")]  # memory is written with pwrite64 as well
        only = [word for file in files for word in ("-P", file)] if call == "pwrite64" else []
        return [*tracer, *only, *argv]

    before = len(account.breaches)
    try:
        with subject(traced) as patient:
            for _ in range(2):
                spoken = Spoken()
                patient.say(0.3, spoken, wait=True)
                patient.look(spoken)
                settle(patient, spoken, account, durable=False)
            if "Traceback" in patient.log:
                account.breaches.append(patient.log)
    except EndedError as told:  # it may say that it cannot start, not fall
        account.injected += 1
        if "Traceback" in str(told):
            account.breaches.append(str(told))
    account.breaches[before:] = [f"{call} {how}: {breach}" for breach in account.breaches[before:]]


def descriptors_exhausted(rounds: int, chance: random.Random) -> Account:
    """No descriptor is left, at a random moment of a dictation, for a second."""
    account = Account("descriptors exhausted")
    with subject() as patient:
        for _ in range(rounds):
            speaks_s = chance.uniform(*SPEAKS_S)
            spoken = Spoken()
            with at(chance.uniform(0, speaks_s + 0.2), partial(exhaust, patient, spoken, 1.0)):
                patient.say(speaks_s, spoken, wait=True)
            recovered(patient, account)
            patient.look(spoken)
            settle(patient, spoken, account)
    return account


def exhaust(patient: Subject, spoken: Spoken, seconds: float) -> None:
    """Leave a daemon no descriptor more than it has, for so long."""
    spoken.fault_ns = time.monotonic_ns()
    with exhausted(patient):
        threading.Event().wait(seconds)


@contextmanager
def exhausted(patient: Subject, *, spare: int = 0) -> Iterator[None]:
    """Leave a daemon so many descriptors more than it has."""
    before = resource.prlimit(patient.pid, resource.RLIMIT_NOFILE)
    taken = set(map(int, os.listdir(f"/proc/{patient.pid}/fd")))
    free = (number for number in itertools.count() if number not in taken)
    limit = next(itertools.islice(free, spare, None))  # numbers below it that are free are the spare ones
    resource.prlimit(patient.pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(patient.pid, resource.RLIMIT_NOFILE, before)
