"""What left the machine is told to the byte; with an engine on this machine it is nothing, and no socket is made."""

import asyncio
import json
import os
import re
import shutil
import sys
from dataclasses import asdict

import pytest

from support.audio import write_wav
from support.cloud import FLAC, KEY, Dictation, sentence, served, through, transcribed, twelve_seconds
from support.container import ask, contained, private_home
from support.daemon import new_home, running_daemon, wait_until
from support.speech import until, wheel_clips
from support.speech_server import answers, closed_port, held, reset, says, serving
from v2m.domain.audio import OFFSET_HEAD, SAMPLE_RATE_HZ
from v2m.domain.dictation import with_sent
from v2m.domain.errors import EngineUnavailableError
from v2m.infrastructure._spool import SpoolDirectory

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return private_home(tmp_path, monkeypatch)[0]


def received(service):
    """Return how many requests with a body a service had, and their bytes."""
    return sum(bool(request.body) for request in service.requests), sum(len(one.body) for one in service.requests)


# --- one request --------------------------------------------------------------------------------------


def tally():
    told = []
    return told, lambda requests, size: told.append((requests, size))


def total(told):
    return tuple(map(sum, zip(*told, strict=True))) if told else (0, 0)


def test_a_request_counts_with_the_bytes_of_its_body_before_any_of_them_leaves():
    async def scene():
        async with served() as (service, speech):
            told, on_body = tally()
            service.script = [held]
            async with asyncio.TaskGroup() as group:
                group.create_task(speech.transcribe(FLAC, prompt="ComfyUI", on_body=on_body))
                await service.holding.wait()
                early = list(told)
                service.go_on.set()
            return early, told, received(service)

    early, told, got = asyncio.run(scene())
    assert early == told == [(1, got[1])]
    assert got[1] > len(FLAC)


def test_failed_and_repeated_requests_count_too():
    async def scene():
        async with served(max_retries=2) as (service, speech):
            told, on_body = tally()
            service.script = [answers(500), reset, answers(401)]
            with pytest.raises(EngineUnavailableError):
                await speech.transcribe(FLAC, on_body=on_body)
            return told, received(service)

    told, got = asyncio.run(scene())
    assert got[0] >= 3
    assert total(told) == got


def test_nothing_is_counted_where_nobody_answers_the_telephone():
    async def scene():
        async with served() as (service, speech):
            told, on_body = tally()
            speech._pool._url = f"https://localhost:{closed_port()}/v1"
            with pytest.raises(EngineUnavailableError):
                await speech.transcribe(FLAC, on_body=on_body)
            return told, received(service)

    assert asyncio.run(scene()) == ([], (0, 0))


def test_an_upload_that_is_cut_off_counts_what_left():
    size = 30_000_000

    async def scene():
        async with served() as (service, speech):
            told, on_body = tally()
            service.script = [held]
            async with asyncio.TaskGroup() as group:
                upload = group.create_task(speech.transcribe(bytes(size), on_body=on_body))
                await service.holding.wait()
                upload.cancel()
            service.go_on.set()
            await until(lambda: service.requests[0].broken_off)
            return total(told), len(service.requests[0].body)

    (requests, told), got = asyncio.run(scene())
    assert requests == 1
    assert got <= told < size / 2, "what left, and what the kernel had taken by then"


# --- one dictation ------------------------------------------------------------------------------------


def test_each_dictation_has_its_own_also_while_somebody_speaks(tmp_path):
    async def scene():
        told = {}
        store = SpoolDirectory(tmp_path / "spool", max_recording_s=60, on_degraded=print)
        store.open()
        async with transcribed() as (service, transcriber):
            transcriber._on_sent = lambda number, sent: told.update({number: with_sent(told.get(number, ()), sent)})
            long = Dictation(transcriber, store, number=7)
            long.say(twelve_seconds(), bytes(2 * 16000 * 2))
            await until(lambda: told.get(7))  # before the key goes up
            await long.stop()
            first = received(service)
            short = Dictation(transcriber, store, number=8)
            short.say(sentence())
            await short.stop()
            both = received(service)
        store.close()
        return told, first, both, service.port

    told, first, both, port = asyncio.run(scene())
    assert {number: [asdict(sent) for sent in one] for number, one in told.items()} == {
        number: [
            {
                "what": "audio",
                "provider": "custom",
                "host": f"localhost:{port}",
                "size_bytes": size,
                "requests": requests,
            }
        ]
        for number, (requests, size) in {7: first, 8: (both[0] - first[0], both[1] - first[1])}.items()
    }


async def record(container, samples=48000):
    await ask(container, "START_RECORDING")
    while container.dictations.recording.spool.head < samples:
        await asyncio.sleep(0.02)


async def sent_of(container):
    await container.receipts.settle()
    rows = (await ask(container, "LIST_HISTORY"))["entries"]
    return {row["phase"]: [(sent["requests"], sent["size_bytes"]) for sent in row["sent"]] for row in rows}


def test_the_row_says_what_the_service_got_when_it_failed_and_after_a_retry(home):
    async def scene():
        async with serving() as service, contained(through(service, home)) as (container, *_):
            service.default = answers(500)
            await record(container)
            with pytest.raises(EngineUnavailableError):
                await ask(container, "STOP_RECORDING")
            failed, at_first = await sent_of(container), received(service)
            service.default = says("Later.")
            await ask(container, "RETRY_DICTATION", dictation=1)
            return failed, at_first, await sent_of(container), received(service)

    failed, at_first, again, both = asyncio.run(scene())
    assert failed == {"failed": [at_first]}
    assert at_first[0] == 3
    assert again == {"delivered": [both]}
    assert both[0] == 4


def test_an_aborted_dictation_tells_what_had_left(home):
    async def scene():
        async with serving() as service, contained(through(service, home)) as (container, *_):
            service.script = [held]
            await record(container)
            await ask(container, "STOP_RECORDING", wait=False)
            await service.holding.wait()
            await ask(container, "ABORT_RECORDING")
            service.go_on.set()
            await until(lambda: service.requests[0].broken_off)
            return await sent_of(container), received(service)

    told, (requests, size) = asyncio.run(scene())
    assert [sent[0] for sent in told["aborted"]] == [requests] == [1]
    assert told["aborted"][0][1] >= size > 0


def test_the_local_floor_sends_nothing_of_its_own(home):
    async def scene():
        async with serving() as service:
            settings = through(service, home, **{"transcription.fallback": ["moonshine"]})
            async with contained(settings) as (container, *_):
                service.default = service.on_probe = reset
                await record(container)
                await ask(container, "STOP_RECORDING")
                return await sent_of(container), received(service)

    told, got = asyncio.run(scene())
    assert told == {"delivered": [got]}


# --- the verb -----------------------------------------------------------------------------------------


def test_the_verb_tells_it_with_the_daemon_and_without(tmp_path):
    async def scene(home):
        async with serving() as service:
            argv = [f"--set={key}={_value(value)}" for key, value in through(service, {}).items()]
            told, got = await asyncio.to_thread(_dictate_and_tell, home, argv, service)
            return told, got, service.port

    with new_home(OPENAI_API_KEY=KEY, V2M_AUDIO__BACKEND="wav") as home:
        write_wav(home.folder / "voice.wav", pcm=sentence())
        (asked, read, said), got, port = asyncio.run(scene(home))
    assert asked == read
    totals = asked["data"]["totals"]
    assert (totals["requests"], totals["size_bytes"]) == got
    assert totals["hosts"] == {f"localhost:{port}": {"provider": "custom", "size_bytes": got[1], "requests": got[0]}}
    assert [row["requests"] for row in asked["data"]["dictations"]] == [1]
    assert f"{got[1]:,}" in said
    assert f"localhost:{port} (custom, audio)" in said


def _value(value):
    return value if isinstance(value, str) else json.dumps(value)


def _dictate_and_tell(home, argv, service):
    with running_daemon(home, *argv):
        _say(home, 2)
        asked = json.loads(home.v2m("privacy", "--json", check=True).stdout)
        said = home.v2m("privacy", check=True).stdout
    read = json.loads(home.v2m("privacy", "--json", check=True).stdout)
    return (asked, read, said), received(service)


def _seconds(spool):
    with spool.open("rb") as file:
        file.seek(OFFSET_HEAD)
        return int.from_bytes(file.read(8), sys.byteorder) / SAMPLE_RATE_HZ


def test_a_moment_from_which_on():
    with new_home(V2M_TRANSCRIPTION__BACKEND="scripted", V2M_AUDIO__BACKEND="wav") as home:
        with running_daemon(home):
            _say(home, 0.5)
        told = {}
        for since in ("1h", "2100-01-01", "2020-01-01"):
            answer = home.v2m("privacy", "--json", "--since", since, check=True).stdout
            told[since] = json.loads(answer)["data"]["totals"]["dictations"]
    assert told == {"1h": 1, "2100-01-01": 0, "2020-01-01": 1}


def test_a_moment_that_is_none_is_bad_usage_and_no_history_is_no_error():
    with new_home() as home:
        for word in ("7x", "yesterday", "", "99999999d"):
            assert home.v2m("privacy", "--since", word).returncode == 64
        done = home.v2m("privacy")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no dictation" in done.stderr


# --- with an engine on this machine -------------------------------------------------------------------

ROUNDS = 20


def test_with_a_local_engine_nothing_leaves_and_no_network_socket_is_made(tmp_path):
    strace, unshare = shutil.which("strace"), shutil.which("unshare")
    if not strace or not unshare:
        pytest.skip("needs strace and util-linux; scripts/setup installs them")
    alone = [unshare, "-n"] if os.getuid() == 0 else [unshare, "-rn"]
    calls = tmp_path / "calls"
    daemon = [sys.executable, "-m", "v2m.main", "--daemon"]
    watched = [*alone, strace, "-D", "-f", "--seccomp-bpf", "-e", "trace=socket", "-o", calls, *daemon]
    with new_home(V2M_AUDIO__BACKEND="wav", V2M_AUDIO__MIN_RECORDING_MS="0") as home:
        write_wav(home.folder / "voice.wav", pcm=wheel_clips()[1].pcm)
        with running_daemon(home, argv=watched) as process:
            texts = [_say(home, 0.6) for _ in range(ROUNDS)]
            told = json.loads(home.v2m("privacy", "--json", check=True).stdout)["data"]
            said = home.v2m("privacy").stderr
            engine = home.ask("GET_STATUS")["data"]["engine"]
    wait_until(lambda: re.search(rf"^{process.pid} +\+\+\+ exited", calls.read_text(), re.MULTILINE), what="strace")
    families = re.findall(r"socket\((AF_\w+)", calls.read_text())
    assert families, "strace saw the daemon's own socket"
    assert not [family for family in families if family not in ("AF_UNIX", "AF_NETLINK")]
    assert engine["name"].startswith("moonshine")
    assert sum(map(bool, texts)) >= ROUNDS / 2, "it listens and decodes"
    assert told["totals"] == {"dictations": ROUNDS, "stayed": ROUNDS, "size_bytes": 0, "requests": 0, "hosts": {}}
    assert f"Of {ROUNDS} dictations nothing left this machine." in said


def _say(home, seconds):
    """Dictate for so long; return the text."""
    home.ask("START_RECORDING")
    spool = home.spools[-1]
    wait_until(lambda: _seconds(spool) >= seconds, what="the microphone")
    return home.ask("STOP_RECORDING")["data"].get("transcription", "")
