"""`support.orders_world` as a state machine of hypothesis, and runs of many orders with it."""

import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from support.orders import Makers
from support.orders_account import quiet
from support.orders_ports import BreachError
from support.orders_world import STEPS, World

SQLITE_SHARE = 16  # one order in so many has the history in a file: 10 times slower
STEPS_AT_MOST = 16
# Without these an order would be mostly refusals: what is to be found lies between dictations that go on.
AS_OFTEN = {"dictate": 4, "dictate_by_key": 4, "say": 3, "flow": 4, "spin": 3, "speak": 2, "key": 2}
# One rule that draws once, not a rule for each: hypothesis takes its time for every draw.
EVENTS = st.sampled_from(
    [(name, amount) for name in STEPS for amount in range(8) for _ in range(AS_OFTEN.get(name, 1))]
)
MEMORY = Path("/dev/shm")


@dataclass
class Tally:
    """What was run."""

    orders: int = 0
    events: Counter = field(default_factory=Counter)
    slowest_s: float = 0.0
    words: int = 0
    typed: int = 0
    lives: int = 0


def orders_of(tally: Tally, refused: list[str], makers: Makers | None = None) -> type[RuleBasedStateMachine]:
    """Return a machine in which anything may happen at any time, and which counts what did.

    `refused` gets what the history refused because the table of phases forbids it.
    """

    class Orders(RuleBasedStateMachine):
        world: World | None = None

        @initialize(share=st.integers(1, SQLITE_SHARE))
        def begin(self, share):
            refused.clear()
            self.began_s = time.perf_counter()
            self.folder = Path(tempfile.mkdtemp(prefix="v2m-orders-", dir=MEMORY if MEMORY.is_dir() else None))
            self.world = World(self.folder, sqlite=share == SQLITE_SHARE, makers=makers)

        def teardown(self):
            if self.world is None:
                return
            try:
                self.world.finish()
                self.allowed()
            finally:
                self.world.close()
                shutil.rmtree(self.folder)
                tally.orders += 1
                tally.slowest_s = max(tally.slowest_s, time.perf_counter() - self.began_s)
                tally.words += self.world.words
                tally.typed += sum(self.world.desk.typed.values())
                tally.lives += self.world.lives

        @rule(event=EVENTS)
        def happens(self, event):
            name, amount = event
            tally.events[name] += 1
            self.world.step(name, amount)
            self.allowed()

        def allowed(self):
            if refused:
                raise BreachError(f"the history refused a step: {refused.pop()}")

    return Orders


def run_orders(count: int, number: int, tally: Tally, makers: Makers | None = None, *, shrink: bool = True) -> None:
    """Run so many orders of that seed. Raises BreachError with the shortest order that breaks a promise."""
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    how = settings(
        max_examples=count,
        stateful_step_count=STEPS_AT_MOST,
        deadline=None,
        database=None,
        phases=phases,
        verbosity=Verbosity.normal,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    with quiet() as refused:
        run_state_machine_as_test(seed(number)(orders_of(tally, refused, makers)), settings=how)
