"""Whether an open recording has room, and what the user is told about that."""

import math
from enum import IntEnum

from v2m.infrastructure._spool_writer import MappedSpool


class Room(IntEnum):
    """What there is for a recording; more is worse."""

    ENOUGH = 0
    SHORT = 1  # the disk is full, the reserve is not used up yet
    CONTINUED = 2  # it goes on in memory


def room(spool: MappedSpool, refused: OSError | None) -> Room:
    """Return it from what `maintain` said."""
    if refused is None:
        return Room.ENOUGH
    return Room.CONTINUED if spool.continued else Room.SHORT


def notice(spool: MappedSpool, refused: OSError) -> str:
    """Say in one sentence what is short and for how long the recording can go on."""
    in_file_s, in_all_s = spool.seconds_left()
    minutes = math.floor(in_all_s / 60)
    if spool.path is None:
        return f"There is no more memory ({refused.strerror}): this recording can go on for {minutes} min."
    when = "from now on" if spool.continued else f"in {math.ceil(in_file_s / 60)} min"
    return (
        f"The disk has no more room ({refused.strerror}): {when} this recording is continued in memory, and that part"
        f" is lost if toakd ends. It can go on for {minutes} min."
    )
