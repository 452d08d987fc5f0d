"""The speech process has no memory left, or hangs, while somebody speaks: it is replaced, and every word is text."""

import os
import random
import signal
import time

import pytest

from support import fault_kills
from support.audio import write_wav
from support.daemon import alive, new_home, running_daemon, wait_until
from support.faults import Spoken, subject
from support.speech import clips, word_error_rate

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


def test_out_of_memory_at_random_moments():
    account = fault_kills.worker_out_of_memory(2, random.Random())
    assert account.breaches == []
    assert account.note


def test_killed_for_its_memory_while_somebody_speaks_another_process_hears_all_of_it():
    if not fault_kills.has_cgroups():
        pytest.skip("needs a memory cgroup that we may make (version 1, as root)")
    with subject() as patient:
        worker, spoken = patient.worker(), Spoken()
        with fault_kills.at(0.2, lambda: fault_kills.no_page(worker)):
            answer = patient.say(0.6, spoken, wait=True)
        assert answer["status"] == "success", answer
        wait_until(lambda: not alive(worker), what="the death of the speech process")
        assert patient.worker() != worker
        assert len(answer["data"]["transcription"].split()) >= 12


def test_refused_further_memory_the_embedded_engine_gives_way_to_a_process_that_has_some(tmp_path):
    clip = next(clip for clip in clips() if clip.kind == "speech" and len(clip.pcm) > 2 * 16000 * 2)
    wav = write_wav(tmp_path / "voice.wav", pcm=clip.pcm)
    with new_home(V2M_AUDIO__BACKEND="wav", V2M_AUDIO__WAV_PATH=str(wav)) as home, running_daemon(home) as daemon:
        worker = daemon.worker_pid()
        home.ask("START_RECORDING")
        fault_kills.no_address(worker)
        wait_until(
            lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > len(clip.pcm) / 32000, what="the last word"
        )
        answer = home.ask("STOP_RECORDING", deliver="none")
        assert answer["status"] == "success", answer
        assert word_error_rate([(clip.text, answer["data"]["transcription"])]) <= 0.3


def test_a_speech_process_that_is_stopped_is_replaced():
    with subject() as patient:
        worker, spoken = patient.worker(), Spoken()
        with fault_kills.at(0.1, lambda: os.kill(worker, signal.SIGSTOP)):
            began = time.monotonic()
            answer = patient.say(0.4, spoken, wait=True)
        assert answer["status"] == "success", answer
        assert time.monotonic() - began > 5  # it is given a chance
        assert patient.worker() != worker
