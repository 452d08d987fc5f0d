"""Random orders of presses, faults, crashes and restarts against a model: words lost, words typed twice."""

import os
import time
import traceback
from concurrent.futures import ProcessPoolExecutor

from bench._rows import Row
from support.orders_machine import Tally, run_orders

ORDERS = 100_000
CHUNK = 250  # orders of one seed; hypothesis remembers all of a run


def measure(rounds: int = ORDERS) -> list[Row]:
    """Run so many orders on all cores; takes ten minutes on two."""
    began_s = time.perf_counter()
    numbers = range(-(-rounds // CHUNK))
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        found = list(processes.map(_chunk, numbers))
    tallies = [tally for tally, _ in found]
    breaches = [breach for _, breach in found if breach]
    print("\n".join(breaches))
    orders = sum(tally.orders for tally in tallies)
    events = sum(tally.events.total() for tally in tallies)
    seconds = time.perf_counter() - began_s
    words, typed = sum(tally.words for tally in tallies), sum(tally.typed for tally in tallies)
    lives = sum(tally.lives for tally in tallies)
    return [
        Row("random orders of events: not run, of those asked for", max(0, rounds - orders), "", 0),
        Row("random orders of events", orders, "", note=f"{events} events, {lives} lives, {words} words"),
        Row("orders in which a word was lost or doubled, or a request unanswered", len(breaches), "", 0),
        Row("characters typed in them", typed, ""),
        Row("slowest order", max(tally.slowest_s for tally in tallies) * 1000, "ms"),
        Row("orders a second, all cores", orders / seconds, "/s"),
    ]


def _chunk(number: int) -> tuple[Tally, str]:
    """Run the orders of a seed; return what was run and the breach, if there was one."""
    tally = Tally()
    try:
        run_orders(CHUNK, number, tally)
    except Exception:
        return tally, f"seed {number}:\n{traceback.format_exc()}"
    return tally, ""
