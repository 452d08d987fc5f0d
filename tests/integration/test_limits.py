"""Nothing lasts for ever: the longest recording is warned of, and what hangs is given up. docs/dictation-states.md."""

import asyncio
import re
from pathlib import Path

import pytest

from support.container import ask, private_home, run
from support.daemon import ROOT
from support.orders import LONGEST_WORDS
from support.orders_account import quiet
from support.orders_ports import WORD_S
from support.orders_world import World
from v2m import daemon
from v2m.application import aim, decoding, deliver, ledger, second_thoughts, survey
from v2m.domain.dictation import DaemonState, Phase
from v2m.infrastructure.engines.scripted import ScriptedTranscriber

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

PAGE = ROOT / "docs" / "dictation-states.md"


@pytest.mark.parametrize("warn_before_s", [1, 0, 7])
def test_the_longest_recording_is_warned_of_and_transcribed(tmp_path, monkeypatch, warn_before_s):
    settings, _ = private_home(tmp_path, monkeypatch)
    frames = []

    async def scenario(container, output, notifier):
        async def listen(events):
            frames.extend([frame async for frame in events])

        with container.events.subscribe(frozenset({"limit_approached"})) as events:
            async with asyncio.TaskGroup() as group:
                group.create_task(listen(events))
                dictation = (await ask(container, "START_RECORDING"))["dictation"]
                while container.dictations.recording or container.dictations.queue:
                    await asyncio.sleep(0.02)
                events.close()
        entry = (await ask(container, "LIST_HISTORY"))["entries"][0]
        return dictation, entry, [note.body for note in notifier.shown]

    arguments = {**settings, "audio.max_recording_s": 2, "audio.warn_before_s": warn_before_s}
    dictation, entry, said = run(arguments, scenario, transcriber=ScriptedTranscriber(["what was said"]))
    assert (entry["phase"], entry["text"]) == ("held", "what was said")
    assert entry["duration_s"] >= 2
    warned = warn_before_s == 1  # never, or longer than the whole recording
    assert ("It ends by itself in 1 s." in said) == warned
    assert [frame["data"]["dictation"] for frame in frames] == [dictation] * warned
    assert all(0 < frame["data"]["left_s"] <= 1 for frame in frames)


@pytest.fixture
def world(tmp_path):
    with quiet():
        world = World(tmp_path)
        yield world
        world.close()


def only_row(world):
    (row,) = world._rows()
    return row


def test_an_engine_that_never_answers_holds_nothing_up_and_keeps_the_audio(world):
    world.fail_engine(7)
    world.dictate(3)
    world.dictate(2)
    limit_s = decoding.longest_decode_s(1)
    assert world.loop.until(lambda: world.life.dictations.queue == 0, limit_s)
    second, first = world._rows()
    assert (first.phase, first.error, second.phase) == (Phase.FAILED, "engine_failed", Phase.DELIVERED)
    assert world.disk.words(first.spool)
    world.finish()


def test_an_output_that_never_answers_is_given_up_as_uncertain(world):
    world.fail_output(3)
    world.dictate(3)
    began_s = world.loop.time()
    assert world.loop.until(lambda: world.life.dictations.queue == 0, 2 * deliver.patience_s(100))
    row = only_row(world)
    assert world.loop.time() - began_s >= deliver.patience_s(len(row.text)) - 1
    assert (row.phase, "given up" in row.reason) == (Phase.UNCERTAIN, True)
    world.finish()


def test_a_recording_that_is_forgotten_ends_at_its_limit_and_its_text_is_kept(world):
    world.start(0)
    world.loop.advance(0.05)
    world.speak_long(0)
    world.speak(1)
    assert world.loop.until(lambda: world.life.dictations.recording is None, 5)
    world.settle(0)
    assert only_row(world).phase is Phase.HELD
    assert only_row(world).duration_s >= LONGEST_WORDS * WORD_S


@pytest.mark.parametrize("longer", [1.0, 60.0, 7200.0])
def test_what_is_allowed_grows_with_what_was_said(longer):
    assert decoding.longest_decode_s(longer) > decoding.longest_decode_s(longer / 2) > longer / 2
    assert deliver.patience_s(int(15 * longer)) > deliver.patience_s(int(7 * longer))


def test_the_page_names_every_state_and_the_figures_that_hold():
    page = PAGE.read_text()
    table = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE))
    assert set(table) >= {state.value for state in DaemonState}
    for state, figure in (
        ("transcribing", f"{decoding.LOADING_S:.0f} s + {decoding.SLOWEST_RATE:.0f} × the recording"),
        ("delivering", f"{deliver.patience_s(0):.0f} s + {deliver.patience_s(1) - deliver.patience_s(0):.2f} s"),
        ("draining", f"{daemon.DRAIN_S:.0f} s"),
    ):
        assert figure in table[state], state
    for figure in (aim.ANSWER_S, survey.PROBE_S, second_thoughts.PATIENCE_S, ledger.AGAIN_S, deliver.COPY_S):
        assert f"{figure:g} s" in page
    for phase in Phase:
        assert re.search(rf"\b{phase.value}\b", page.split("```")[1]), phase
    assert all((Path(ROOT) / path).exists() for path in re.findall(r"`(tests/[\w/.]+)", page))
