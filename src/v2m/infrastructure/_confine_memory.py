"""What other programs of this user may see of this process's memory: nothing, unless the desktop must look.

A process that is not dumpable leaves no core, cannot be attached to, and its `/proc/PID/mem` opens for root only.
Portals identify a program by its `/proc/PID/root`, which is closed then too, and refuse it.
"""

import contextlib
import resource

from v2m.infrastructure._confine_calls import SET_DUMPABLE, prctl


def close_memory() -> None:
    """Close it, and leave no core dump whatever the limits were. Never raises."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        prctl(SET_DUMPABLE, 0)


def open_memory_for_portals() -> None:
    """Let this user's programs look from now on, as a portal needs before it is first called. Cores stay off."""
    with contextlib.suppress(OSError):
        prctl(SET_DUMPABLE, 1)
