"""The sound server, its session manager and the microphone go away and come back while somebody speaks."""

import random
import time
from collections.abc import Callable
from pathlib import Path

from support.audio import write_wav
from support.daemon import alive, wait_until
from support.fault_accounts import settle
from support.faults import Account, Spoken, Subject, signal_pcm, subject
from support.pipewire import PipewireSession
from v2m.domain.audio import SAMPLE_RATE_HZ

SOUND = ("PIPEWIRE_RUNTIME_DIR", "PULSE_SERVER")
BEFORE_S, AFTER_S = 0.5, 0.4  # of speech, at least; the fault comes up to 0.3 s later
SECOND_VOICE = 200  # its first step, so that no word is said twice

Fault = Callable[[PipewireSession], None]


def pipewire_killed(rounds: int, chance: random.Random) -> Account:
    """SIGKILL of PipeWire, started again at once."""

    def fault(sound: PipewireSession) -> None:
        sound.kill("pipewire")
        sound.up()

    return _through("PipeWire killed and restarted", fault, rounds, chance)


def manager_killed(rounds: int, chance: random.Random) -> Account:
    """SIGKILL of WirePlumber, which stays away."""
    return _through("WirePlumber killed", lambda sound: sound.kill("wireplumber"), rounds, chance)


def unplugged(rounds: int, chance: random.Random) -> Account:
    """The microphone is pulled out: another takes over."""
    return _through("microphone unplugged", lambda sound: sound.unplug(), rounds, chance, plug=True)


def replugged(rounds: int, chance: random.Random) -> Account:
    """The microphone is pulled out and put back."""

    def fault(sound: PipewireSession) -> None:
        sound.unplug()
        sound.plug()

    return _through("microphone unplugged and replugged", fault, rounds, chance, plug=True)


def default_changed(rounds: int, chance: random.Random) -> Account:
    """Another microphone becomes the default."""
    return _through("default source changed", lambda sound: sound.set_default("v2m_mic2"), rounds, chance)


def _through(name: str, fault: Fault, rounds: int, chance: random.Random, *, plug: bool = False) -> Account:
    account = Account(name)
    for _ in range(rounds):
        with PipewireSession(V2M_PW_MIC2="1") as sound:
            if plug:
                sound.plug()
            environment = {key: sound.env[key] for key in SOUND}
            with subject(**environment, V2M_AUDIO__BACKEND="pipewire") as patient:
                first, second = patient.home.folder / "first.wav", patient.home.folder / "second.wav"
                write_wav(first, pcm=signal_pcm())
                write_wav(second, pcm=signal_pcm(SECOND_VOICE))
                speak_through(patient, sound, fault, (first, second), chance, account)
    return account


def speak_through(
    patient: Subject,
    sound: PipewireSession,
    fault: Fault,
    voices: tuple[Path, Path],
    chance: random.Random,
    account: Account,
) -> None:
    """Speak, let the fault happen, wait until audio comes again, speak on, release, settle."""
    spoken = Spoken(typed_before=len(patient.typed))
    with sound.feeding(voices[0], "v2m_usb" if sound.node("v2m_usb") else "v2m_mic"):
        answer = patient.home.ask("START_RECORDING")
        assert answer["status"] == "success", answer
        spoken.dictation = answer["data"]["dictation"]
        time.sleep(BEFORE_S + chance.uniform(0, 0.3))
        spoken.fault_ns = time.monotonic_ns()
        patient.look(spoken)
        lost = spoken.lost
        fault(sound)
    done_ns = time.monotonic_ns()
    flows_again(patient, spoken.dictation)
    account.recovery_s.append(max(0.0, (time.monotonic_ns() - done_ns) / 1e9))
    with sound.feeding(voices[1], _heard(sound), managed=_is_managed(sound)):
        time.sleep(AFTER_S)
        spoken.stop_ns = time.monotonic_ns()
        assert patient.home.ask("STOP_RECORDING")["status"] == "success"
    account.text_s.append((time.monotonic_ns() - spoken.stop_ns) / 1e9)
    patient.look(spoken)
    spoken.lost = lost
    settle(patient, spoken, account)


def flows_again(patient: Subject, dictation: int) -> None:
    """Return once a tenth of a second of new audio has come."""
    before = patient.spool(dictation)[1]
    wait_until(lambda: patient.spool(dictation)[1] >= before + SAMPLE_RATE_HZ // 10, 15, "new audio")


def _heard(sound: PipewireSession) -> str:
    """Return the microphone that is recorded now."""
    return str(wait_until(lambda: sound.sources_of("v2m"), what="a microphone")[0])


def _is_managed(sound: PipewireSession) -> bool:
    """Whether the session manager lives."""
    return alive(sound.pid("wireplumber"))
