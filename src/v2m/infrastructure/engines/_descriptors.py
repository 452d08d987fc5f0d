"""Descriptors of recordings that several engines read."""

import os


def reopened(fd: int) -> int:
    """Return a descriptor of the same file with a position of its own, which a duplicate would share."""
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
