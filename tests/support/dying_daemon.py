"""`toakd` that ends itself with SIGKILL right after a named step; the product has no such place.

python dying_daemon.py STEP …: `spool`, `row`, `closed`, a phase of the history, or `keys:K` (K characters are typed).
"""

import os
import signal
import sys

STEP, KEYS = [*sys.argv[1].split(":"), "0"][:2]


def done(step: str) -> None:
    if step == STEP:
        os.kill(os.getpid(), signal.SIGKILL)


def dying() -> None:
    """Put adapters in the place of the real ones that do all these do, and then perhaps die."""
    from v2m.infrastructure import _spool
    from v2m.infrastructure.history import sqlite
    from v2m.infrastructure.output import file

    class Spool(_spool.MappedSpool):
        def close(self) -> None:
            super().close()
            done("closed")

    class Spools(_spool.SpoolDirectory):
        def take(self, dictation, *, private=False):
            spool = super().take(dictation, private=private)
            done("spool")
            return spool

    class Rows(sqlite.SqliteHistory):
        async def begin(self, entry):
            await super().begin(entry)
            done("row")

        async def move(self, dictation, phase, **changes):
            await super().move(dictation, phase, **changes)
            done(phase.value)

    class Keys(file.FileOutput):
        async def deliver(self, text, to):
            if STEP == "keys":
                with open(self._path, "a") as keys:
                    keys.write(text[: int(KEYS)])
                done("keys")
            return await super().deliver(text, to)

    _spool.MappedSpool, _spool.SpoolDirectory = Spool, Spools
    sqlite.SqliteHistory, file.FileOutput = Rows, Keys


if __name__ == "__main__":
    dying()
    from v2m.main import toakd

    sys.exit(toakd(sys.argv[2:]))
