"""Clocks that jump, machines that sleep, daemons in a crowd, things at the socket's place, desktops that end."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from support.daemon import BIN, Home, descendants, new_home, running_daemon, wait_until
from support.desktop import SwayDesktop
from support.fault_accounts import recovered, settle
from support.fault_kills import at
from support.faults import Account, Spoken, Subject, prepared, subject, words

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
ALREADY_RUNNING, UNSAFE = 75, 77  # exit statuses
SPEAKS_S = (0.4, 0.7)
CLEARLY_S = 1.0  # wrong: the tail is 0.3 s, a busy machine late by some more, a jump of the clock of days


# --- time ---


def clock_jumps(rounds: int, chance: random.Random) -> Account:
    """The wall clock jumps by 400 days, to and fro, while somebody speaks; lengths and order stay right."""
    account = Account("wall clock ±400 days", note="libfaketime")
    with subject(faked_clock) as patient:
        for _ in range(rounds):
            speaks_s, spoken = chance.uniform(*SPEAKS_S), Spoken()
            with at(chance.uniform(0, speaks_s + 0.2), partial(jump, patient, spoken, chance.choice((400, -400, 0)))):
                patient.say(speaks_s, spoken, wait=True)
            patient.look(spoken)
            row = settle(patient, spoken, account)
            longer_s = (row["duration_s"] if row else 0.0) - (spoken.stop_ns - spoken.first_ns) / 1e9
            if abs(longer_s) > CLEARLY_S:
                account.breaches.append(f"dictation {spoken.dictation} is said to last {row and row['duration_s']} s")
    return account


def faked_clock(home: Home, argv: list[str]) -> list[str]:
    """Return a command whose wall clock `jump` sets."""
    assert FAKETIME.exists(), "scripts/setup installs faketime"
    (home.folder / "clock").write_text("+0")
    faked = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(home.folder / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    return ["env", *(f"{name}={value}" for name, value in faked.items()), *argv]


def jump(patient: Subject, spoken: Spoken, days: int) -> None:
    """Set the wall clock of a daemon that `clock_jumps` started."""
    spoken.fault_ns = time.monotonic_ns()
    clock = patient.home.folder / "clock"
    clock.with_suffix(".new").write_text(f"{days:+d}d" if days else "+0")
    clock.with_suffix(".new").rename(clock)


def asleep(rounds: int, chance: random.Random) -> Account:
    """All of v2m stands still for a second, as in a suspended machine."""
    account = Account("everything stopped for 1 s (as in suspend)")
    with subject() as patient:
        for _ in range(rounds):
            speaks_s, spoken = chance.uniform(*SPEAKS_S), Spoken()
            with at(chance.uniform(0, speaks_s + 0.2), partial(_sleep, patient, spoken)):
                patient.say(speaks_s, spoken, wait=True)
            recovered(patient, account)
            patient.look(spoken)
            settle(patient, spoken, account)
    return account


def _sleep(patient: Subject, spoken: Spoken) -> None:
    everybody = [patient.pid, *descendants(patient.pid)]
    spoken.fault_ns = time.monotonic_ns()
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(1)
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)


# --- the socket ---


def twenty_daemons(rounds: int, chance: random.Random) -> Account:
    """Twenty daemons are started while one records: it goes on, each of them is told its pid."""
    account = Account("20 daemons at once")
    with subject() as patient:
        for _ in range(rounds):
            spoken = Spoken()
            with at(chance.uniform(0, 0.4), partial(crowd, patient, spoken, account)):
                patient.say(0.5, spoken, wait=True)
            recovered(patient, account)
            patient.look(spoken)
            settle(patient, spoken, account)
    return account


def crowd(patient: Subject, spoken: Spoken, account: Account, size: int = 20) -> None:
    """Start so many daemons beside one that runs; each must end with the status that says so."""
    spoken.fault_ns = time.monotonic_ns()
    losers = [
        subprocess.Popen([BIN / "toakd"], env=patient.home.variables, stderr=subprocess.PIPE, text=True)
        for _ in range(size)
    ]
    for loser in losers:
        told = loser.communicate(timeout=60)[1]
        if loser.returncode != ALREADY_RUNNING or str(patient.pid) not in told:
            account.breaches.append(f"status {loser.returncode}: {told}")


def stale(path: Path) -> None:
    """Leave what a killed daemon leaves."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


def foreign(path: Path) -> None:
    """Have a socket of somebody else's there."""
    stale(path)
    os.chown(path, 65534, 65534)


def linked(path: Path) -> None:
    """Have a link to something precious there."""
    path.with_name("precious").write_text("precious")
    path.symlink_to(path.with_name("precious"))


def at_the_sockets_place(rounds: int, chance: random.Random) -> Account:
    """A stale socket is replaced; a foreign one and a link are refused and left alone, and START works without them."""
    account = Account("stale, foreign and linked sockets")
    makers: tuple[Callable[[Path], None], ...] = (stale, foreign, linked) if os.getuid() == 0 else (stale, linked)
    for _ in range(rounds):
        with subject() as patient:
            spoken = Spoken()
            spoken.fault_ns = patient.kill()
            patient.home.socket.unlink()
            maker = chance.choice(makers)
            maker(patient.home.socket)
            if maker is not stale:
                refuse(patient, account)
            patient.start()
            recovered(patient, account)
            patient.say(chance.uniform(*SPEAKS_S), spoken, wait=True)
            patient.look(spoken)
            settle(patient, spoken, account)
    return account


def refuse(patient: Subject, account: Account) -> None:
    """Have a daemon refused by what stands at its socket's place, which stays; take that away."""
    path, before = patient.home.socket, patient.home.socket.lstat()
    done = patient.home.run(BIN / "toakd")
    if done.returncode != UNSAFE or path.lstat().st_ino != before.st_ino:
        account.breaches.append(f"{done.returncode}: {done.stderr}")
    path.unlink()


# --- the desktop ---

LONG = " ".join(f"s{number}" for number in range(1, 400))


def compositor_killed(rounds: int, chance: random.Random) -> Account:
    """The compositor is killed while it is typed into: its text is held or uncertain; the next one gets the next."""
    account = Account("compositor killed while typing")
    with new_home(**_typing()) as home, running_daemon(prepared(home)):
        for _ in range(rounds):
            row = die_while_typing(home, chance.uniform(0.0, 0.25))
            account.injected += 1
            account.dictations += 1
            account.words += 2 * len(words(LONG))
            settle_row(row, account)
            with SwayDesktop() as desktop:
                began_ns = time.monotonic_ns()
                sink = desktop.terminal()
                dictate(home, desktop.variables)
                account.recovery_s.append((time.monotonic_ns() - began_ns) / 1e9)
                typed = sink.wait_text(lambda text: len(words(text)) >= len(words(LONG)))
                account.words_lost += len(set(words(LONG)) - set(words(typed)))
                account.words_doubled += len(words(typed)) - len(set(words(typed)))
    return account


def _typing() -> dict[str, str]:
    return {
        "V2M_TRANSCRIPTION__BACKEND": "scripted",
        "V2M_TRANSCRIPTION__SCRIPT": f'["{LONG}"]',
        "V2M_AUDIO__BACKEND": "wav",
        "V2M_OUTPUT__METHOD": '["virtual-keyboard"]',
    }


def dictate(home: Home, variables: dict[str, str]) -> dict:
    """Dictate into a desktop; return the row at its rest."""
    answer = home.ask("START_RECORDING", env=variables)
    assert answer["status"] == "success", answer
    time.sleep(0.3)
    home.ask("STOP_RECORDING")
    return next(row for row in home.history() if row["dictation"] == answer["data"]["dictation"])


def die_while_typing(home: Home, after_s: float) -> dict:
    """Kill a compositor so long after the first key has arrived; return the row at its rest."""
    with SwayDesktop() as desktop:
        sink = desktop.terminal()
        killed = []

        def kill() -> None:
            with suppress(TimeoutError):
                wait_until(sink.text, 20, "the first key")
            time.sleep(after_s)
            os.kill(desktop.server_pid, signal.SIGKILL)
            killed.append(True)

        with at(0, kill):
            row = dictate(home, desktop.variables)
        row["typed"] = sink.text()
        return row


def settle_row(row: dict, account: Account) -> None:
    """Enter a dictation whose desktop has gone: the whole text is kept, and nobody says that it was typed."""
    account.words_lost += len(set(words(LONG)) - set(words(row["text"])))
    typed = words(row["typed"])[:-1]
    account.words_doubled += len(typed) - len(set(typed))
    whole = len(words(row["typed"])) >= len(words(LONG))
    if row["phase"] not in ("uncertain", "held") and not whole:
        account.breaches.append(f"{row['phase']} with {len(row['typed'])} of {len(LONG)} characters: {row['reason']}")
