"""When an output may wait for a key of the user without end."""

import asyncio
from contextlib import AsyncExitStack
from types import SimpleNamespace

import pytest

from v2m.core.di.ears import Ears
from v2m.domain.dictation import Wishes
from v2m.infrastructure.desktop.memory import MemoryNotifier

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("opened", "held"),
    [
        (None, False),
        (Wishes(), True),
        (Wishes(language="de", profile=2), True),
        (Wishes(toggled=True), False),
        (Wishes(until_silence_s=2.0), False),
    ],
)
def test_only_a_hotkey_that_is_held_for_a_recording_of_ours_is_waited_for(opened, held):
    async def main():
        async with AsyncExitStack() as stack:
            ears = Ears(MemoryNotifier(), stack)
            assert not ears.dictating()
            ears.recording = lambda: opened and SimpleNamespace(wishes=opened)
            return ears.dictating()

    assert asyncio.run(main()) is held
