"""Any order of presses, faults, crashes and restarts: every word ends somewhere, and none is typed twice.

`scripts/bench orders` runs a hundred thousand orders.
"""

import random
from contextlib import suppress

import pytest

from support.orders import Makers
from support.orders_account import quiet
from support.orders_machine import Tally, run_orders
from support.orders_ports import BreachError
from support.orders_world import World
from v2m.application import commands as c
from v2m.application.handover import Handover
from v2m.application.ledger import Ledger
from v2m.application.recorder import Recorder
from v2m.application.recover import Recovery
from v2m.domain.delivery import Certainty, Deliver
from v2m.domain.dictation import Phase
from v2m.domain.errors import HistoryError, StateError, V2mError

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

ORDERS = 1000  # of each seed
FIXED = 20_261_121
WITHIN = 3000  # orders in which a planted bug is found


@pytest.mark.parametrize("number", [FIXED, random.SystemRandom().randrange(2**32)], ids=["fixed", "random"])
def test_no_order_of_events_loses_a_word_or_types_one_twice(number):
    print(f"seed {number}: run_orders({ORDERS}, {number}, Tally())")
    tally = Tally()
    run_orders(ORDERS, number, tally)
    assert tally.orders >= ORDERS
    assert tally.typed > tally.orders  # they are not all refusals
    assert tally.lives > 2 * tally.orders  # nor without an end of a life before the last


# --- what they have found ---

# A history that refused a step was not asked again, so that a row stayed on its way until the next start.
STALE_ROW = [("say", 0), ("fill_disk", 0), ("stop", 0), ("settle", 0), ("free_disk", 0), ("settle", 0)]
# A retry and the recovery gave one row two texts in turn; with a full disk the recovery could not even see the retry.
TWO_TEXTS = [("say", 0), ("crash", 0), ("retry", 0), ("fill_disk", 0), ("dictate", 0)]
TWO_TEXTS_AT_ONCE = [("say", 0), ("slow_engine", 1), ("crash", 0), ("retry", 0), ("flow", 7), ("settle", 0)]
# An engine that never answered held up the recovery, and all that it had still to decode.
NO_ANSWER = [("say", 0), ("fail_engine", 7), ("shut_down", 6), ("settle", 0)]
# What broke while a choice of the notification was obeyed ended the daemon.
BROKEN_CHOICE = [("crash_while_typing", 3), ("settle", 0), ("fail_output", 4), ("choose", 0), ("settle", 0)]


@pytest.mark.parametrize("sqlite", [False, True], ids=["memory", "sqlite"])
@pytest.mark.parametrize("order", [STALE_ROW, TWO_TEXTS, TWO_TEXTS_AT_ONCE, NO_ANSWER, BROKEN_CHOICE])
def test_orders_that_once_broke_a_promise(tmp_path, order, sqlite):
    with quiet() as refused:
        world = World(tmp_path, sqlite=sqlite)
        try:
            for name, amount in order:
                world.step(name, amount)
            world.finish()
        finally:
            world.close()
    assert refused == []


def test_what_is_asked_of_a_daemon_that_has_ended_is_refused(tmp_path):
    with quiet():
        world = World(tmp_path)
        world.dictate(3)
        world.settle(0)
        world.loop.run_until_complete(world.life.drain(finish=True))
        with pytest.raises(StateError, match="ending"):
            world.loop.run_until_complete(world.life.handlers.deliver_again(c.DeliverAgain()))
        world.close()


# --- the orders find what is broken ---


class EagerHandover(Handover):
    """Types an uncertain text once more."""

    async def settle(self, dictation, where, delivery, **changes):
        await super().settle(dictation, where, delivery, **changes)
        if delivery.certainty is Certainty.UNCERTAIN and where is Deliver.TYPE:
            entry = await self._ledger._history.get(dictation)
            once_more = await self.bring(dictation, entry.text, where, await self.aim.take({}, where))
            await super().settle(dictation, where, once_more)


class EagerRecovery(Recovery):
    """Types what a crash interrupted while it was typed."""

    async def run(self):
        for dictation in self._found:
            entry = await self._row(dictation)
            if entry is not None and entry.phase is Phase.UNCERTAIN:
                with suppress(V2mError):
                    await self._again(dictation, entry.text, Deliver.TYPE, {}, language="")
        await super().run()


class GreedyRecorder(Recorder):
    """Throws the audio of the recordings before away, too, when one is thrown away."""

    before = ()

    async def close(self, opened, *, tail=True):
        self.before = (*self.before, opened.spool.path)
        return await super().close(opened, tail=tail)

    async def throw_away(self, opened, phase, reason, *, error=""):
        await super().throw_away(opened, phase, reason, error=error)
        for path in filter(None, self.before):
            path.unlink(missing_ok=True)


class HeedlessLedger(Ledger):
    """Forgets what the history refused."""

    async def move(self, dictation, phase, **changes):
        try:
            await self._history.move(dictation, phase, **changes)
        except (HistoryError, ValueError) as error:
            self._on_trouble(str(error))


BUGS = {
    "types an uncertain text once more": (Makers(handover=EagerHandover), "was typed 2 times"),
    "types once more after a crash": (Makers(recovery=EagerRecovery), "was typed 2 times"),
    "deletes the audio of another recording": (Makers(recorder=GreedyRecorder), "are nowhere"),
    "forgets what could not be written": (Makers(ledger=HeedlessLedger), "at rest, and"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug):
    makers, says = BUGS[bug]
    with pytest.raises(BreachError, match=says):
        run_orders(WITHIN, FIXED, Tally(), makers, shrink=False)
