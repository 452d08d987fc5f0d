"""Socket, capture and engine replaced one at a time by the shipped fakes, the other two real."""

import asyncio
import re
import time
from pathlib import Path

import pytest

from support.audio import write_wav
from support.container import ask, private_home, run
from v2m.domain.errors import CaptureError, CaptureReason, NoSpeechError
from v2m.infrastructure.capture.wav_file import WavFileMicrophone
from v2m.infrastructure.desktop.memory import MemoryNotifier
from v2m.infrastructure.engines.scripted import ScriptedTranscriber
from v2m.infrastructure.history.memory import MemoryHistory
from v2m.infrastructure.output.memory import MemoryOutput

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture
def settings(tmp_path, monkeypatch):
    return private_home(tmp_path, monkeypatch)


async def one_dictation(container, output, notifier):
    await ask(container, "START_RECORDING")
    while container.dictations.recording.spool.head < 16000 * 3:
        await asyncio.sleep(0.02)
    answer = await ask(container, "STOP_RECORDING")
    return answer, output, notifier


def words(text):
    return set(re.findall(r"[a-z]+", text.lower()))


def test_a_scripted_engine_needs_no_other_change(settings):
    engine = ScriptedTranscriber(["hello"])
    answer, output, _ = run(settings[0], one_dictation, transcriber=engine)
    assert answer["transcription"] == "hello"
    assert output.texts == ["hello"]
    assert (engine.opened, engine.finished) == (1, 1)


def test_a_wav_microphone_needs_no_other_change(settings):
    arguments, clip = settings
    microphone = WavFileMicrophone(Path(arguments["audio.wav_path"]))
    answer, output, _ = run({}, one_dictation, microphone=microphone)
    assert len(words(answer["transcription"]) & words(clip.text)) >= 0.6 * len(words(clip.text))
    assert output.texts == [answer["transcription"]]


def test_without_the_socket_the_rest_is_real(settings):
    arguments, clip = settings
    answer, output, _ = run(arguments, one_dictation, history=MemoryHistory())
    assert len(words(answer["transcription"]) & words(clip.text)) >= 0.6 * len(words(clip.text))
    assert output.texts == [answer["transcription"]]


class LateMicrophone(WavFileMicrophone):
    """One whose first sample comes late, as a Bluetooth headset's does."""

    name = "late"

    async def open(self, spool):
        recording = await super().open(spool)
        heard = recording.first_sample

        async def later():
            await heard()
            await asyncio.sleep(0.3)
            self.heard_at = time.monotonic()

        recording.first_sample = later
        return recording


def test_the_sign_comes_after_the_microphone_and_never_before(settings):
    arguments, _ = settings
    microphone = LateMicrophone(Path(arguments["audio.wav_path"]))
    shown_at = []

    class Watching(MemoryNotifier):
        async def show(self, title, body="", **how):
            shown_at.append((time.monotonic(), title))
            await super().show(title, body, **how)

    async def scenario(container, output, notifier):
        await ask(container, "START_RECORDING")
        assert shown_at == []
        while not shown_at:
            await asyncio.sleep(0.01)
        await ask(container, "ABORT_RECORDING")

    run(arguments, scenario, microphone=microphone, transcriber=ScriptedTranscriber(["x"]), notifier=Watching())
    assert shown_at[0][1] == "Recording"
    assert shown_at[0][0] >= microphone.heard_at


class DeafMicrophone(WavFileMicrophone):
    """One that cannot be opened."""

    name = "deaf"

    async def open(self, spool):
        raise CaptureError("No microphone was found.", reason=CaptureReason.NO_DEVICE, hint="v2m devices")


def test_a_failed_start_is_told_and_leaves_nothing_open(settings):
    arguments, _ = settings
    engine = ScriptedTranscriber(["x"])

    async def scenario(container, output, notifier):
        answered = asyncio.Event()
        container.hotkey.press("start", time.monotonic_ns(), lambda error: answered.set())
        await answered.wait()
        while not notifier.shown:
            await asyncio.sleep(0.01)
        return container.dictations.state.value, notifier.shown[-1]

    state, shown = run(
        arguments, scenario, microphone=DeafMicrophone(Path(arguments["audio.wav_path"])), transcriber=engine
    )
    assert state == "idle"
    assert "No microphone" in shown.title
    assert engine.opened == 0


def test_nothing_heard_and_not_typed_are_always_told(settings):
    async def scenario(container, output, notifier):
        await one_dictation(container, output, notifier)
        while not any("Not typed" in note.title for note in notifier.shown):
            await asyncio.sleep(0.01)
        return output.texts

    broken = MemoryOutput(fail_after=0)
    assert run(settings[0], scenario, transcriber=ScriptedTranscriber(["hello"]), outputs=[broken]) == []


@pytest.mark.parametrize("counts", [True, False])
def test_what_went_out_half_is_resumed_exactly_or_uncertain_and_never_typed_again(settings, counts):
    half, other, clipboard = MemoryOutput(fail_after=2, counts=counts), MemoryOutput(), MemoryOutput()

    async def scenario(container, output, notifier):
        answer, _, _ = await one_dictation(container, output, notifier)
        row = (await ask(container, "LIST_HISTORY"))["entries"][0]
        assert row["attempts"] == answer["delivered"]["attempts"]
        return answer["delivered"], [(part["offered"], part["characters"]) for part in row["attempts"]]

    ports = {"transcriber": ScriptedTranscriber(["hello"]), "outputs": [half, other], "clipboard": clipboard}
    delivered, parts = run(settings[0], scenario, **ports)
    if counts:
        assert (delivered["certainty"], other.texts, clipboard.texts) == ("sent", ["llo"], [])
        assert (delivered["characters"], parts) == (5, [(5, 2), (3, 3)])
    else:
        assert (delivered["certainty"], other.texts, clipboard.texts) == ("uncertain", [], ["hello"])
        assert (delivered["characters"], parts) == (0, [(5, None)])


def test_an_output_that_typed_nothing_gives_way_to_the_next(settings):
    broken, other = MemoryOutput(fail_after=0), MemoryOutput()

    async def scenario(container, output, notifier):
        return (await one_dictation(container, output, notifier))[0]["delivered"]

    delivered = run(settings[0], scenario, transcriber=ScriptedTranscriber(["hello"]), outputs=[broken, other])
    assert delivered["certainty"] == "sent"
    assert other.texts == ["hello"]


@pytest.mark.parametrize("limit", ["lost_release_silence_s", "max_recording_s"])
def test_a_recording_that_nobody_ends_ends_by_itself_and_is_held(settings, limit):
    arguments = {**settings[0], f"audio.{limit}": 1}

    async def scenario(container, output, notifier):
        await ask(container, "START_RECORDING")
        while container.dictations.recording or container.dictations.queue:
            await asyncio.sleep(0.02)
        row = (await ask(container, "LIST_HISTORY"))["entries"][0]
        return row, output.texts

    row, texts = run(arguments, scenario, transcriber=ScriptedTranscriber(["still here"]))
    assert (row["phase"], row["text"]) == ("held", "still here")
    assert texts == []


def test_a_muted_microphone_is_named_and_told(settings, tmp_path):
    silent = write_wav(tmp_path / "silent.wav", pcm=bytes(64_000))
    notices = []

    async def scenario(container, output, notifier):
        await ask(container, "START_RECORDING")
        while container.dictations.recording.spool.head < 16000:
            await asyncio.sleep(0.02)
        with pytest.raises(NoSpeechError, match="muted"):
            await ask(container, "STOP_RECORDING")
        while "Nothing heard" not in [note.title for note in notifier.shown]:
            await asyncio.sleep(0.01)
        notices.extend(notifier.shown)
        return (await ask(container, "LIST_HISTORY"))["entries"][0]

    arguments = {**settings[0], "audio.wav_path": str(silent)}
    row = run(arguments, scenario, transcriber=ScriptedTranscriber([]))
    assert row["phase"] == "suppressed"
    assert row["reason"] == "peak −90 dB from silent.wav — muted?"
    assert row["audio"] is True
    assert notices[-1].body == row["reason"]
