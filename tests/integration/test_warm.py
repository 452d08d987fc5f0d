"""A daemon that stays warm: the model is loaded once, and what is said while it loads becomes text all the same."""

import os
import signal
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support.audio import write_wav
from support.daemon import connect, frame, new_home, read_frame, running_daemon, wait_until
from support.speech import RATE, silence, wheel_clips, word_error_rate

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

DICTATIONS = 200
SPOKEN = 25  # each so manieth is spoken to its end; the others end as soon as they have begun


@contextmanager
def speaker(folder, clip):
    """An empty home whose microphone hears a recording, then silence."""
    wav = write_wav(folder / "voice.wav", pcm=clip.pcm + silence(1))
    variables = {"V2M_AUDIO__BACKEND": "wav", "V2M_AUDIO__WAV_PATH": str(wav), "V2M_AUDIO__MIN_RECORDING_MS": "0"}
    with new_home(**variables) as home:
        yield home


def engine(home):
    return home.ask("GET_STATUS")["data"]["engine"]


def spoken_to_the_end(home, clip):
    seconds = len(clip.pcm) / 2 / RATE + 0.1
    wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > seconds, what="the end of the clip")


def resident_kib(pid):
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])


def test_200_dictations_load_nothing_and_take_no_more_memory(tmp_path):
    clip = wheel_clips()[1]
    texts, sizes = [], []
    with speaker(tmp_path, clip) as home, running_daemon(home) as daemon, connect(home.socket) as peer:
        wait_until(lambda: engine(home)["state"] == "ready", what="the model")
        worker = daemon.worker_pid()
        for number in range(1, DICTATIONS + 1):
            peer.sendall(frame({"cmd": "START_RECORDING"}))
            assert read_frame(peer)["status"] == "success"
            if number % SPOKEN == 0:
                spoken_to_the_end(home, clip)
            peer.sendall(frame({"cmd": "STOP_RECORDING", "data": {"deliver": "none"}}))
            answer = read_frame(peer)
            if number % SPOKEN == 0:
                texts.append(answer["data"]["transcription"])
            else:
                assert answer["error"]["code"] == "no_speech"
            if number in (DICTATIONS // 4, DICTATIONS):
                sizes.append((resident_kib(worker), resident_kib(daemon.pid)))
        assert (engine(home)["loads"], engine(home)["state"]) == (1, "ready")
        assert daemon.worker_pid() == worker
    assert len(texts) == DICTATIONS // SPOKEN
    assert {text.lower().strip(" .!") for text in texts} == {"no matter"}
    (early, early_daemon), (late, late_daemon) = sizes
    assert late < early * 1.05
    assert late_daemon < early_daemon * 1.05


def test_warming_is_seen_start_is_accepted_and_its_text_follows(tmp_path):
    clip = wheel_clips()[0]
    with speaker(tmp_path, clip) as home, running_daemon(home, ready=False) as daemon:
        worker = daemon.worker_pid()
        os.kill(worker, signal.SIGSTOP)  # a model that takes its time
        try:
            assert (home.state_now(), engine(home)["state"], engine(home)["loads"]) == ("warming", "warming", 0)
            assert home.ask("START_RECORDING")["data"]["state"] == "recording"
            spoken_to_the_end(home, clip)
            with connect(home.socket) as peer:
                peer.sendall(frame({"cmd": "STOP_RECORDING", "data": {"deliver": "none"}}))
                home.wait_state("transcribing")
                assert engine(home)["state"] == "warming"
                os.kill(worker, signal.SIGCONT)
                text = read_frame(peer)["data"]["transcription"]
        finally:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGCONT)
        assert word_error_rate([(clip.text, text)]) == 0
        assert (home.state_now(), engine(home)["state"], engine(home)["loads"]) == ("idle", "ready", 1)
