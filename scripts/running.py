"""Starts a daemon for the scripts, and knows it from another one that may be running already."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from v2m.client import Client, ClientError


@contextmanager
def running_daemon(log: IO[bytes] | None = None) -> Iterator[Client]:
    """Yield a client of a `toakd` of our own, and end that afterwards; its messages go to `log`, or are seen.

    Exits with the daemon's status when that ends before it is ready, as it does beside another daemon.
    """
    process = subprocess.Popen(["toakd"], stdout=log, stderr=log)
    try:
        with Client() as client:
            _await_ours(process, client)
            yield client
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait()


def _await_ours(process: subprocess.Popen[bytes], client: Client) -> None:
    """Return once our daemon is idle, however long its model takes to load."""
    while process.poll() is None:
        with suppress(ClientError):
            status = client.call("GET_STATUS")
            if status["pid"] == process.pid and client.call("PING")["state"] == "idle":
                return
        time.sleep(0.05)
    sys.exit(process.returncode)
