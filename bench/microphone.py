"""The whole daemon, a virtual microphone and real voices: wrong words, and key-up → text as people live it.

The recordings are played in real time into a private PipeWire session; `rounds` is how many are played at
most. The word error rate is of an easy set: it guards against damage, it is no claim about dictation.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from bench._rows import Row
from support.audio import write_wav
from support.daemon import new_home, running_daemon, wait_until
from support.pipewire import PipewireSession
from support.speech import Clip, clips, word_error_rate

MOST_WORD_ERRORS_PERCENT = 4.5
MOST_KEY_UP_P95_MS = 300
LET_GO_S = 0.2  # a speaker lets go a moment after the last word
SOUND = ("PIPEWIRE_RUNTIME_DIR", "PULSE_SERVER", "DBUS_SESSION_BUS_ADDRESS")
ROUNDS = 100


def measure(rounds: int = ROUNDS) -> list[Row]:
    """Dictate every recording of the speech set but the long one."""
    chosen = [clip for clip in clips() if clip.kind != "long"][:rounds]
    pairs: list[tuple[str, str]] = []
    spurious, silent, waits_ms = 0, 0, []
    with PipewireSession() as sound, TemporaryDirectory() as folder:
        variables = {name: sound.env[name] for name in SOUND}
        with new_home(V2M_AUDIO__BACKEND="pipewire", **variables) as home, running_daemon(home):
            wait_until(lambda: home.ask("GET_STATUS")["data"]["engine"]["state"] == "ready", what="the engine")
            for clip in chosen:
                text, wait_ms = _dictate(home, sound, write_wav(Path(folder) / "clip.wav", pcm=clip.pcm), clip)
                if clip.kind == "speech":
                    pairs.append((clip.text, text))
                    waits_ms.append(wait_ms)
                else:
                    silent += 1
                    spurious += bool(text)
    waits_ms.sort()
    note = f"{len(pairs)} utterances, released {LET_GO_S} s after the last word"
    return [
        Row("wrong words through the microphone", 100 * word_error_rate(pairs), "%", MOST_WORD_ERRORS_PERCENT, note),
        Row("sounds without speech that gave text", spurious, "", 0, f"of {silent}"),
        Row("key-up → text, live dictations, median", waits_ms[len(waits_ms) // 2], "ms", note=note),
        Row("key-up → text, live dictations, p95", waits_ms[int(0.95 * (len(waits_ms) - 1))], "ms", MOST_KEY_UP_P95_MS),
    ]


def _dictate(home, sound, wav: Path, clip: Clip) -> tuple[str, float]:
    """Hold the key while a recording plays; return its text and the milliseconds from STOP to it."""
    home.ask("START_RECORDING")
    wait_until(lambda: sound.sources_of("v2m"), what="the link to the microphone")
    sound.feed(wav)
    time.sleep(LET_GO_S)
    answer = home.ask("STOP_RECORDING", deliver="none")
    if answer["status"] != "success":
        assert answer["error"]["code"] == "no_speech", (clip.id, answer)
        return "", 0.0
    return answer["data"]["transcription"], answer["data"]["stages"]["transcribed"]
