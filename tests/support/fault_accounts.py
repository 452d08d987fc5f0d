"""What became of each word and sample of a dictation under a fault."""

import math
import time
from typing import Any

from support.faults import STEPS, TOLERATED_S, Account, Spoken, Subject, words
from v2m.domain.audio import SAMPLE_RATE_HZ
from v2m.infrastructure.engines.scripted import STEP_SAMPLES, steps_of


def recovered(patient: Subject, account: Account) -> None:
    """Enter how long START takes to be obeyed from now on."""
    began_ns = time.monotonic_ns()
    patient.obeys()
    account.recovery_s.append((time.monotonic_ns() - began_ns) / 1e9)


def settle(subject: Subject, spoken: Spoken, account: Account, *, durable: bool = True) -> dict[str, Any] | None:
    """Enter one dictation into the account; return its row. Not `durable`: no disk could take a row."""
    account.injected += 1
    if not spoken.dictation:
        return None
    account.dictations += 1
    row = subject.rest(spoken.dictation, wait=durable)
    if row is None and durable:
        account.rowless += 1
        account.breaches.append(f"dictation {spoken.dictation} has no row")
    typed = subject.typed[spoken.typed_before :]
    kept = subject.words_kept(row, typed) if row and (durable or not typed) else words(typed)
    expected = expected_words(subject, spoken)
    lost = [word for word in expected if word not in kept]
    whole = words(typed) if row is None or typed.endswith(row["text"]) else words(typed)[:-1]  # the last may be cut
    doubled = len(whole) - len(set(whole))
    account.words += len(expected)
    account.words_lost += len(lost)
    account.words_doubled += doubled
    account.samples_lost += spoken.lost + altered(subject, spoken)
    if lost or doubled or spoken.lost or altered(subject, spoken):
        account.breaches.append(
            f"dictation {spoken.dictation}: {row and (row['phase'], row['reason'], row['duration_s'])}, lost {lost},"
            f" doubled {doubled}, samples {spoken.lost} + {altered(subject, spoken)} of {spoken.samples}"
        )
    return row


def expected_words(subject: Subject, spoken: Spoken) -> list[str]:
    """Return the words that are in the audio, and those that were played long enough before the fault or the STOP."""
    if subject.signal and spoken.samples:
        steps = (spoken.samples + spoken.lost + STEP_SAMPLES // 2) // STEP_SAMPLES
        return [f"s{number}" for number in range(1, min(STEPS, steps) + 1)]
    if spoken.heard:
        return words(steps_of(spoken.heard))
    end_ns = min(spoken.stop_ns, spoken.fault_ns if spoken.died else spoken.stop_ns)
    seconds = (end_ns - spoken.started_ns) / 1e9 - TOLERATED_S  # it was in memory: what the clock says
    return [f"s{number}" for number in range(1, math.floor(seconds * SAMPLE_RATE_HZ / STEP_SAMPLES) + 1)]


def altered(subject: Subject, spoken: Spoken) -> int:
    """Return how many samples of the spool are not those that were played, in their order."""
    if not subject.signal or spoken.heard == subject.signal[: len(spoken.heard)]:
        return 0
    pairs = zip(memoryview(spoken.heard).cast("h"), memoryview(subject.signal).cast("h"), strict=False)
    return sum(heard != played for heard, played in pairs)
