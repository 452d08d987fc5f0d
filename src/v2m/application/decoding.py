"""Waiting for an engine, with a last deadline that grows with the audio."""

import asyncio
from typing import Final

from v2m.domain.audio import SAMPLE_RATE_HZ
from v2m.domain.errors import EngineError
from v2m.domain.ports import Utterance
from v2m.domain.transcript import Transcript

# The last resort: engines have a shorter patience of their own, which begins anew with each sign of work. Slower than
# a tenth of real time nobody dictates; ten minutes are for a large model that a slow disk still loads.
LOADING_S: Final = 600.0
SLOWEST_RATE: Final = 10.0  # seconds of work per second of audio


def longest_decode_s(recorded_s: float) -> float:
    """Return after which time a recording of that length is given up and its audio kept."""
    return LOADING_S + SLOWEST_RATE * recorded_s


async def decoded(utterance: Utterance, samples: int, *, dictation: int) -> Transcript:
    """Return what the engine heard up to `samples`.

    Raises:
        EngineError: its own, or it never answered.
    """
    patience_s = longest_decode_s(samples / SAMPLE_RATE_HZ)
    try:
        async with asyncio.timeout(patience_s):
            return await utterance.finish(samples)
    except TimeoutError as error:
        problem = f"The speech engine has not answered for {patience_s:.0f} s and was given up."
        raise EngineError(problem, hint=f"v2m retry {dictation}") from error
