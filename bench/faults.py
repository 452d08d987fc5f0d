"""Every fault of docs/faults.md injected into a dictating daemon, with an account of every word and sample.

A full run writes docs/faults.json, of which `scripts/generate` makes the table.
"""

import json
import os
import platform
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench._rows import Row
from bench.daemon import quantile
from support import fault_disks, fault_kills, fault_rest, fault_sound
from support.faults import Account

FULL = 200  # SIGKILLs of each process
MOST_RECOVERY_S = 2.0
KINDS: dict[Callable[[int, random.Random], Account], int] = {  # and how often, in a full run
    fault_kills.daemon_killed: FULL,
    fault_kills.daemon_killed_at_pipewire: 20,
    fault_kills.worker_killed: FULL,
    fault_kills.worker_stopped: 10,
    fault_kills.worker_out_of_memory: 20,
    fault_sound.pipewire_killed: 10,
    fault_sound.manager_killed: 10,
    fault_sound.unplugged: 10,
    fault_sound.replugged: 10,
    fault_sound.default_changed: 10,
    fault_disks.disk_full: 20,
    fault_disks.read_only: 5,
    fault_disks.nth_write_fails: 84,
    fault_disks.descriptors_exhausted: 20,
    fault_rest.clock_jumps: 20,
    fault_rest.asleep: 10,
    fault_rest.twenty_daemons: 5,
    fault_rest.at_the_sockets_place: 12,
    fault_rest.compositor_killed: 10,
}
ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "docs/faults.json"
SHOWN_BREACHES = 5


def measure(rounds: int = FULL) -> list[Row]:
    """Inject every fault, SIGKILL `rounds` times and the others in proportion; 200 take a quarter of an hour."""
    accounts, commit = [], _commit()  # before the report itself makes the checkout differ
    for kind, full in KINDS.items():
        seed = random.SystemRandom().randrange(1 << 32)
        account = _inject(kind, max(1, round(full * rounds / FULL)), seed)
        if rounds >= FULL:
            write_down(account, seed, commit)
        accounts.append(account)
    return [row for account in accounts for row in _rows(account)]


def write_down(account: Account, seed: int, commit: str) -> None:
    """Enter what a full run of one kind found, in place of what an earlier one did."""
    report = json.loads(REPORT.read_text(encoding="utf-8")) if REPORT.exists() else {"faults": []}
    report |= {"command": "scripts/bench faults", "machine": _machine()}
    found = {one["fault"]: one for one in report["faults"]}
    found[account.fault] = _figures(account) | {
        "commit": commit,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "seed": seed,
    }
    report["faults"] = list(found.values())
    REPORT.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _inject(kind: Callable[[int, random.Random], Account], rounds: int, seed: int) -> Account:
    """Play a kind to its end; what it breached goes to standard error."""
    account = kind(rounds, random.Random(f"{seed} {kind.__name__}"))
    print(f"{account.fault}: {account.injected}, {len(account.breaches)} breaches", file=sys.stderr, flush=True)
    for breach in account.breaches[:SHOWN_BREACHES]:
        print(f"  {breach[:500]}", file=sys.stderr, flush=True)
    return account


def _rows(account: Account) -> list[Row]:
    note = f"{account.injected} times, {account.dictations} dictations"
    rows = [
        Row(f"{account.fault}: dictations without a row", account.rowless, "", 0, note),
        Row(f"{account.fault}: words lost", account.words_lost, "", 0, f"of {account.words}"),
        Row(f"{account.fault}: words doubled", account.words_doubled, "", 0),
        Row(f"{account.fault}: samples lost", account.samples_lost, "", 0, account.note),
        Row(f"{account.fault}: breaches", len(account.breaches), "", 0),
    ]
    if account.recovery_s:
        note = f"p50 {quantile(account.recovery_s, 0.5):.2f}, p95 {quantile(account.recovery_s, 0.95):.2f}"
        rows.append(
            Row(f"{account.fault}: time to recovery, worst", max(account.recovery_s), "s", MOST_RECOVERY_S, note)
        )
    return rows


def _figures(account: Account) -> dict[str, Any]:
    """Return an account as it is written down; times in seconds."""
    spread = {
        name: [round(quantile(times, rank), 3) for rank in (0.5, 0.95, 1.0)] if times else None
        for name, times in (("recovery_s", account.recovery_s), ("text_s", account.text_s))
    }
    return {
        "fault": account.fault,
        "injected": account.injected,
        "dictations": account.dictations,
        "without_row": account.rowless,
        "words": account.words,
        "words_lost": account.words_lost,
        "words_doubled": account.words_doubled,
        "samples_lost": account.samples_lost,
        "breaches": len(account.breaches),
        **spread,  # p50, p95, worst
        "note": account.note,
    }


def _machine() -> str:
    return f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"


def _commit() -> str:
    """Return the commit that this is, with a mark where the files differ from it."""
    argv = ["git", "--no-optional-locks", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"
