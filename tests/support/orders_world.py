"""What can happen in `support.orders`, one method each."""

import asyncio

from support.orders import LONGEST_WORDS, SILENT_WORDS
from support.orders_account import Account
from v2m.application import commands as c
from v2m.domain.delivery import Deliver, Window
from v2m.domain.dictation import FINAL, DaemonState, Wishes
from v2m.domain.errors import CaptureReason

OUTPUT_FAULTS = ("breaks", "unknown", "uncertain", "hangs", "bug", "breaks", "breaks", "unknown")
ENGINE_FAULTS = ("error", "death", "hangs", "error", "death", "hangs", "error", "never answers")
REASONS = tuple(CaptureReason)


class World(Account):
    """One order of events; `step` lets one happen, `finish` ends it and settles the account."""

    def step(self, name: str, amount: int) -> None:
        """Let one thing happen. Raises BreachError."""
        getattr(self, name)(amount)
        self._look()

    # --- asked for ---

    def start(self, amount: int) -> None:
        """START_RECORDING."""
        self._ask(self.life.dictations.start({}, Wishes(toggled=amount > 5)))

    def stop(self, amount: int) -> None:
        """STOP_RECORDING; the text goes to the window, mostly."""
        where = {6: Deliver.COPY, 7: Deliver.NONE}.get(amount, Deliver.TYPE)
        self._ask(self._stop(where))

    async def _stop(self, where: Deliver) -> None:
        ticket = await self.life.dictations.stop({}, where)
        if ticket is not None:
            await asyncio.shield(ticket.outcome)

    def toggle(self, amount: int) -> None:
        """TOGGLE_RECORDING."""
        self._ask(self.life.dictations.toggle({}, Deliver.TYPE, Wishes(toggled=True)))

    def abort(self, amount: int) -> None:
        """ABORT_RECORDING."""
        self._ask(self.life.dictations.abort())

    def key(self, amount: int) -> None:
        """A control byte."""
        self._press(("start", "stop", "toggle", "abort", "start", "stop", "start", "stop")[amount])

    def tap(self, amount: int) -> None:
        """Two bytes right after each other, which may overtake each other."""
        for action in ("stop", "start") if amount % 2 else ("start", "stop"):
            self._press(action)

    def hold(self, amount: int) -> None:
        """START, as a key that repeats sends it."""
        for _ in range(1 + amount):
            self._press("start")
            self.loop.advance(0.05)

    def pause(self, amount: int) -> None:
        """PAUSE_DAEMON."""
        self._ask(self.life.dictations.pause(on=True))

    def resume(self, amount: int) -> None:
        """RESUME_DAEMON."""
        self._ask(self.life.dictations.pause(on=False))

    def retry(self, amount: int) -> None:
        """RETRY_DICTATION."""
        rows = [row for row in self._rows() if row.spool and row.phase in FINAL]
        if rows:
            row = rows[amount % len(rows)]
            for word in self.disk.words(row.spool):
                self._want(word)
            self._retried.add(row.dictation)
            self._ask(self.life.handlers.retry(c.RetryDictation(dictation=row.dictation)))

    def again(self, amount: int) -> None:
        """DELIVER_AGAIN."""
        rows = [row for row in self._rows() if row.text and row.phase in FINAL]
        if rows:
            row = rows[amount % len(rows)]
            self.desk.asked.update(row.text)
            self._ask(self.life.handlers.deliver_again(c.DeliverAgain(dictation=row.dictation)))

    def undo(self, amount: int) -> None:
        """UNDO_DELIVERY."""
        self.desk.eraser_fault = amount if amount > 5 else None
        self._ask(self.life.handlers.undo(c.UndoDelivery()))

    def choose(self, amount: int) -> None:
        """The notification that offers what a crash left is clicked on, by its first choice: type it."""
        rows = {row.dictation: row for row in self._rows()}
        for choose in list(self.life.notifier.choices.values())[:1]:
            ((dictation, _),) = choose.args
            if dictation in rows:
                self.desk.asked.update(rows[dictation].text)
            choose()

    # --- said, and done by the desktop ---

    def say(self, amount: int) -> None:
        """A dictation begins, and something is said."""
        self.start(amount)
        self.loop.advance(0.03)
        self.speak(1 + amount)

    def dictate(self, amount: int) -> None:
        """A whole dictation, as it should be; its text is on its way."""
        self.say(amount)
        self.loop.advance(0.1)
        self.stop(0)
        self.loop.advance(0.01)

    def dictate_by_key(self, amount: int) -> None:
        """The same, by control bytes."""
        self.loop.advance(1.2)  # else it is a repeat
        self._press("start")
        self.loop.advance(0.03)
        self.speak(1 + amount)
        self._press("stop")
        self.loop.advance(0.01)

    def speak(self, amount: int) -> None:
        """Some words arrive at the microphone."""
        self._hear(1 + 2 * amount, speech=True)

    def be_silent(self, amount: int) -> None:
        """Nobody speaks, for up to longer than is allowed."""
        self._hear(SILENT_WORDS * amount // 6, speech=False)

    def speak_long(self, amount: int) -> None:
        """The longest recording is over."""
        self._hear(LONGEST_WORDS, speech=True)

    def move_window(self, amount: int) -> None:
        """Another window gets the focus, or the first one again."""
        self.desk.window = Window(f"w:{amount % 2}", "editor", pid=1)

    # --- faults ---

    def lose_device(self, amount: int) -> None:
        """The microphone is unplugged; it may not even close."""
        if (recording := self.life.microphone.recording) is not None:
            recording.lose()
            self.desk.close_fails = amount > 4

    def refuse_microphone(self, amount: int) -> None:
        """The next START finds none."""
        self.desk.refusals.append(REASONS[amount % len(REASONS)])

    def fail_engine(self, amount: int) -> None:
        """The engine fails, dies twice or hangs with the next recordings."""
        self.desk.engine_faults.append(ENGINE_FAULTS[amount])

    def slow_engine(self, amount: int) -> None:
        """The engine takes its time from now on."""
        self.desk.engine_s = 0.4 * amount

    def fail_output(self, amount: int) -> None:
        """The next output that types breaks."""
        self.desk.output_faults.append((OUTPUT_FAULTS[amount], amount * 3 % 7))

    def break_clipboard(self, amount: int) -> None:
        """The clipboard does not work, or works again."""
        self.desk.clipboard_broken = amount < 3

    def fill_disk(self, amount: int) -> None:
        """Nothing can be written any more."""
        self.desk.disk_full = True

    def free_disk(self, amount: int) -> None:
        """There is room again."""
        self.desk.disk_full = False

    def slow_disk(self, amount: int) -> None:
        """The disk takes its time from now on."""
        self.loop.disk_s = 0.02 * amount

    # --- time ---

    def serve(self, amount: int) -> None:
        """The thread of the spools gets its turn."""
        self.life.spools.serve()

    def spin(self, amount: int) -> None:
        """The loop goes round a few times."""
        self.loop.spin(1 + amount)

    def flow(self, amount: int) -> None:
        """A moment passes."""
        self.loop.advance(0.003 * 2**amount)

    def settle(self, amount: int) -> None:
        """Everything that was begun comes to its end."""
        self._rest()

    # --- ends of a life ---

    def crash(self, amount: int) -> None:
        """SIGKILL: only the disk is left."""
        self._look()
        self.loop.forget_work()
        aside = self._folder / "aside"
        self.disk.copy(aside)
        self._excused |= self._fragile
        self.life.end()
        self._cease()
        self.disk.put_back(aside)
        self._begin()

    def crash_while_typing(self, amount: int) -> None:
        """SIGKILL between two keys."""
        self.dictate(amount)
        self.loop.until(lambda: self.life.dictations.state is DaemonState.DELIVERING, 0.5, 0.002)
        self.loop.advance(self.desk.key_s * amount)
        self.crash(amount)

    def shut_down(self, amount: int) -> None:
        """SHUTDOWN or SIGTERM, then a new start."""
        self._end(finish=amount < 6)
        self._begin()

    def finish(self) -> None:
        """Heal everything, end this life and account for every word in the next."""
        self.desk.disk_full = self.desk.clipboard_broken = False
        self.loop.disk_s = 0.0
        self.settle(0)
        self._end(finish=True)
        self._begin()
        self._rest()
        self._end(finish=True)


STEPS = tuple(name for name in vars(World) if not name.startswith("_") and name not in ("step", "finish", "close"))
