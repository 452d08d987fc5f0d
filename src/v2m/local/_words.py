"""How much of a spoken text was heard, without a library: enough to tell a working chain from a broken one."""

import re
from collections.abc import Sequence


def share_right(spoken: str, heard: str) -> float:
    """Return 1 minus the wrong words per spoken word, 0…1; case and punctuation do not count."""
    wanted, got = _words(spoken), _words(heard)
    if not wanted:
        return 0.0 if got else 1.0
    return max(0.0, 1 - _distance(wanted, got) / len(wanted))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _distance(wanted: Sequence[str], got: Sequence[str]) -> int:
    """Return the fewest words to replace, leave out or put in (Levenshtein)."""
    row = list(range(len(got) + 1))
    for number, word in enumerate(wanted, 1):
        before, row[0] = row[0], number
        for at, other in enumerate(got, 1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (word != other))
    return row[-1]
