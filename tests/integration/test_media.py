"""Other players while the microphone is open, on a real bus."""

import asyncio
import gc
import stat

import pytest

from support.container import ask, contained, private_home
from support.players import Player, playing
from v2m.infrastructure.desktop.media import MprisPlayers

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


def play(scene, tmp_path, *players, pauses=True):
    """Run a scene with players and what quietens them."""

    async def play_it():
        async with asyncio.timeout(30), playing(*players) as address:
            await scene(MprisPlayers(bus_address=lambda: address, pauses=pauses, state=tmp_path))

    asyncio.run(play_it())
    gc.collect()  # here: what a bus leaves must not be tidied up while CPython 3.11 compiles, which then fails


def make(*arguments, **keywords):
    """Return a player made outside of a loop."""
    return Player(*arguments, **keywords)


def test_only_who_plays_is_paused_and_only_who_we_paused_plays_again(tmp_path):
    plays, paused, stopped = make(), make(status="Paused"), make(status="Stopped")

    async def scene(players):
        await players.hush()
        assert [each.status for each in (plays, paused, stopped)] == ["Paused", "Paused", "Stopped"]
        await players.restore()
        assert [each.status for each in (plays, paused, stopped)] == ["Playing", "Paused", "Stopped"]
        assert [each.orders for each in (plays, paused, stopped)] == [["Pause", "Play"], [], []]
        await players.restore()
        assert plays.orders == ["Pause", "Play"]

    play(scene, tmp_path, plays, paused, stopped)


@pytest.mark.parametrize("status", ["Stopped", "Playing"])
def test_what_the_user_did_meanwhile_stays(tmp_path, status):
    player = make()

    async def scene(players):
        await players.hush()
        player.status = status
        await players.restore()
        assert (player.status, player.orders) == (status, ["Pause"])

    play(scene, tmp_path, player)


def test_players_that_refuse_or_are_stuck_hold_up_nobody_else(tmp_path):
    refuses, stuck, good = make(refuses=True), make(stuck=True), make()

    async def scene(players):
        await players.hush()
        assert good.status == "Paused"
        await players.restore()
        assert good.status == "Playing"
        assert refuses.orders == ["Pause"]

    play(scene, tmp_path, refuses, stuck, good)


def test_ducking_halves_the_volume_and_gives_it_back(tmp_path):
    loud, soft, silent = make(volume=0.9), make(volume=0.33), make(volume=0.0)

    async def scene(players):
        await players.hush()
        assert [each.volume for each in (loud, soft, silent)] == [0.45, 0.17, 0.0]
        assert loud.status == "Playing"
        note = tmp_path / "lowered-players.json"
        assert stat.S_IMODE(note.stat().st_mode) == 0o600
        await players.restore()
        assert [each.volume for each in (loud, soft, silent)] == [0.9, 0.33, 0.0]
        assert not note.exists()

    play(scene, tmp_path, loud, soft, silent, pauses=False)


def test_a_volume_that_the_user_changed_meanwhile_stays(tmp_path):
    player = make(volume=0.8)

    async def scene(players):
        await players.hush()
        player.volume = 0.7
        await players.restore()
        assert player.volume == 0.7

    play(scene, tmp_path, player, pauses=False)


def test_a_crash_is_made_good_at_the_next_start(tmp_path):
    player = make(volume=0.8)

    async def scene(players):
        await players.hush()
        assert player.volume == 0.4
        again = MprisPlayers(bus_address=players._bus_address, pauses=False, state=tmp_path)
        await again.restore()
        assert player.volume == 0.8

    play(scene, tmp_path, player, pauses=False)


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"player": "x"}]', "\x00"])
def test_a_damaged_note_is_forgotten(tmp_path, content):
    (tmp_path / "lowered-players.json").write_text(content)
    player = make(volume=0.8)

    async def scene(players):
        await players.restore()
        await players.hush()
        await players.restore()
        assert player.volume == 0.8

    play(scene, tmp_path, player, pauses=False)


def test_without_a_bus_nothing_happens(tmp_path):
    async def scene():
        for address in (None, f"unix:path={tmp_path}/bus", "nonsense"):
            players = MprisPlayers(bus_address=lambda address=address: address, pauses=True, state=tmp_path)
            await players.hush()
            await players.restore()

    asyncio.run(scene())


SCRIPTED = {"transcription.backend": "scripted", "transcription.script": ["hello"]}


@pytest.mark.parametrize("how", ["off", "pause", "duck"])
def test_the_setting_decides_what_a_recording_does(tmp_path, monkeypatch, how):
    settings, _ = private_home(tmp_path, monkeypatch)
    player, stuck = make(), make(stuck=True)

    async def scene():
        async with asyncio.timeout(40), playing(player, stuck) as address:
            monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
            arguments = {**settings, **SCRIPTED, "media.while_recording": how}
            async with contained(arguments) as (container, output, _):
                for round_ in range(1, 3):
                    await ask(container, "START_RECORDING")
                    if how == "off":
                        while container.dictations.recording.spool.head < 16000:
                            await asyncio.sleep(0.02)
                        assert (player.orders, player.volume) == ([], 1.0)
                    elif how == "pause":
                        await player.until(lambda it: it.status == "Paused")
                    else:
                        await player.until(lambda it: it.volume == 0.5)
                    while container.dictations.recording.spool.head < 8000:
                        await asyncio.sleep(0.02)
                    await ask(container, "STOP_RECORDING")
                    await player.until(lambda it: it.status == "Playing" and it.volume == 1.0)
                    assert len(output.texts) == round_
                await ask(container, "START_RECORDING")
                if how == "pause":
                    await player.until(lambda it: it.status == "Paused")
            assert player.status == "Playing"  # the daemon has ended
            assert player.volume == 1.0

    asyncio.run(scene())
    gc.collect()
