"""Threads that hang in a disk or a display: the daemon ends without them."""

import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

log = logging.getLogger(__name__)

THREADS_S: Final = 0.5  # what a thread may take to end that nobody waits for any more


def leave_hanging_threads(status: int) -> None:
    """End the process at once if a thread has not come to its end: Python would wait for it, for ever if need be."""
    if any(thread.is_alive() and not thread.daemon for thread in threading.enumerate()[1:]):
        log.warning("ending without a thread that hangs")
        logging.shutdown()
        os._exit(status)


class Threads(ThreadPoolExecutor):
    """What `asyncio.to_thread` uses; the end of the daemon gives it a moment, and waits no longer."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as inherited
        """Let no more begin; with `wait`, what runs has a moment to end."""
        del cancel_futures
        super().shutdown(wait=False, cancel_futures=True)
        until = time.monotonic() + THREADS_S
        for thread in self._threads if wait else ():
            thread.join(max(0.0, until - time.monotonic()))
