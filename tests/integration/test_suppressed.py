"""A recording whose text nobody believes: nothing is typed, and everything is kept for whoever wants to look."""

import asyncio
import re
from dataclasses import replace

import pytest

from support.container import ask, private_home, run
from v2m.domain.errors import NoSpeechError
from v2m.infrastructure.engines.scripted import ScriptedTranscriber

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

INVENTED = "Thank you for watching."


@pytest.fixture
def settings(tmp_path, monkeypatch):
    return private_home(tmp_path, monkeypatch)[0]


class Doubtful(ScriptedTranscriber):
    """One that does not believe what it has heard."""

    async def answer(self, samples):
        heard = await super().answer(samples)
        return replace(heard, text="", suppressed=heard.text, passages=())


async def dictation(container):
    await ask(container, "START_RECORDING")
    while container.dictations.recording.spool.head < 16_000:
        await asyncio.sleep(0.01)
    with pytest.raises(NoSpeechError) as told:
        await ask(container, "STOP_RECORDING")
    history = await ask(container, "LIST_HISTORY", limit=1)
    return history["entries"][0], told.value


@pytest.mark.parametrize(
    ("transcriber", "raw", "reason"),
    [
        (Doubtful([INVENTED]), INVENTED, r"only what engines write for noise was heard \(peak −\d+ dB\)"),
        (ScriptedTranscriber([]), "", r"no speech was found \(peak −\d+ dB\)"),
        (ScriptedTranscriber(["\u200b"]), "\u200b", r"no speech was found \(peak −\d+ dB\)"),
    ],
    ids=["invented", "silence", "nothing to type"],
)
def test_the_row_holds_what_was_heard_the_reason_and_the_audio(settings, transcriber, raw, reason):
    async def scenario(container, output, notifier):
        entry, error = await dictation(container)
        return entry, error, output.texts

    entry, error, texts = run(settings, scenario, transcriber=transcriber)
    assert texts == []
    assert (entry["phase"], entry["raw"], entry["text"]) == ("suppressed", raw, "")
    assert re.fullmatch(reason, entry["reason"])
    assert entry["audio"]
    assert error.hint == f"v2m retry {entry['dictation']} --no-vad"
    assert INVENTED not in str(error)


def test_what_was_not_believed_is_no_text_to_deliver_again(settings):
    async def scenario(container, output, notifier):
        entry, _ = await dictation(container)
        assert (await ask(container, "LIST_HISTORY", limit=5, with_text=True))["entries"] == []
        with pytest.raises(Exception, match="has no text") as refused:
            await ask(container, "DELIVER_AGAIN", dictation=entry["dictation"])
        return refused.value.hint, entry["dictation"]

    hint, number = run(settings, scenario, transcriber=Doubtful([INVENTED]))
    assert hint == f"v2m retry {number}"
