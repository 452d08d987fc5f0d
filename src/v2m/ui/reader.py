"""Who reads what we print: a verb that goes on for ever ends with them, also while there is nothing to print."""

import os
import select
import sys
import threading

from v2m.ui.cli import PIPE_CLOSED


def end_with_reader() -> None:
    """Have the process end, as by SIGPIPE, as soon as nobody can read its output any more."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)  # nothing but what poll(2) always tells: the other end is closed

    def wait() -> None:
        output.poll()
        os._exit(PIPE_CLOSED)  # what is blocked in a wait for events cannot be woken; what is buffered has no reader

    threading.Thread(target=wait, name="reader", daemon=True).start()
