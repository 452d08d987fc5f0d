"""Turns foreign exceptions into ours at an adapter's edge."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from v2m.domain.errors import V2mError


@contextmanager
def translate(ours: Callable[[Exception], V2mError], *foreign: type[Exception]) -> Iterator[None]:
    """Raise `ours(error)` from any of the foreign exceptions; everything else passes through."""
    try:
        yield
    except foreign as error:
        raise ours(error) from error
