"""Files to text by the real daemon, the real engine and the real ffmpeg; what is no file, and what gets stuck."""

import asyncio
import http.server
import json
import os
import re
import signal
import subprocess
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from support.answering import answering, good
from support.audio import write_wav
from support.daemon import BIN, alive, connect, frame, new_home, read_frame, running_daemon, wait_until
from support.media import KINDS, NATIVE, convert, media, speech, stand_in
from support.speech import RATE, silence, until, wheel_clips, word_error_rate
from v2m.application.files import Files
from v2m.application.tongue import Tongue
from v2m.core.events import EventBus
from v2m.core.ipc_protocol import encode_frame, success
from v2m.domain.errors import EngineError, ProtocolError
from v2m.infrastructure.engines.scripted import ScriptedTranscriber
from v2m.infrastructure.media.ffmpeg import FfmpegMedia

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    voice = write_wav(tmp_path_factory.mktemp("voice") / "voice.wav", pcm=wheel_clips()[3].pcm * 20)
    with new_home(V2M_AUDIO__BACKEND="wav", V2M_AUDIO__WAV_PATH=str(voice)) as home, running_daemon(home) as daemon:
        home.daemon = daemon
        yield home


@pytest.fixture(scope="module")
def spoken(home, tmp_path_factory):
    """What the daemon hears in the WAV file."""
    return home.ask("TRANSCRIBE_FILE", file_path=str(media(tmp_path_factory.mktemp("wav"), "wav")))["data"]


@contextmanager
def heard_events(home):
    """Collect every event from now on."""
    events = []

    def listen(peer):
        try:
            while True:
                events.append(read_frame(peer))
        except (EOFError, OSError):
            return

    with closing(connect(home.socket, 200)) as peer:
        peer.sendall(frame({"cmd": "SUBSCRIBE", "data": {}}))
        events.append(read_frame(peer))
        threading.Thread(target=listen, args=(peer,), daemon=True).start()
        yield events


def told(events, name, job):
    return [event["data"] for event in list(events) if event["event"] == name and event["data"].get("job") == job]


def refusal(home, path):
    return home.ask("TRANSCRIBE_FILE", file_path=str(path))["error"]


# --- every kind ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_the_words_of_the_wav(home, spoken, tmp_path, kind):
    path = media(tmp_path, kind)
    (tmp_path / "speech.wav").rename(tmp_path / "original")
    answer = home.ask("TRANSCRIBE_FILE", file_path=str(path if kind != "wav" else tmp_path / "original"))["data"]
    assert word_error_rate([(speech()[1], spoken["transcription"])]) <= 0.1
    assert word_error_rate([(spoken["transcription"], answer["transcription"])]) <= 0.1
    assert answer["duration_s"] == pytest.approx(len(speech()[0]) / 2 / RATE, abs=0.3)
    assert answer["damage"] == ""
    assert " ".join(one["text"] for one in answer["passages"]).split() == answer["transcription"].split()


@pytest.mark.parametrize("suffix", ["mp4", "txt", ""])
def test_it_is_the_content_that_counts_and_not_the_name(home, spoken, tmp_path, suffix):
    path = media(tmp_path, "webm").rename(tmp_path / f"named.{suffix}")
    answer = home.ask("TRANSCRIBE_FILE", file_path=str(path))["data"]
    assert word_error_rate([(spoken["transcription"], answer["transcription"])]) <= 0.1


def test_passages_stand_where_they_were_said(spoken):
    starts = [one["start_s"] for one in spoken["passages"]]
    assert len(starts) >= 3
    assert starts == sorted(starts)
    assert all(one["start_s"] < one["end_s"] <= spoken["duration_s"] for one in spoken["passages"])
    assert starts[0] == pytest.approx(0, abs=0.5)
    assert starts[1] == pytest.approx(3.86 + 1, abs=0.6)


def test_of_several_tracks_the_first_is_heard_in_all_its_channels(home, spoken, tmp_path):
    wav, quiet = media(tmp_path, "wav"), write_wav(tmp_path / "quiet.wav", pcm=silence(16))
    right = ("-filter_complex", "[0:a][1:a]join=inputs=2:channel_layout=stereo[both]", "-map", "[both]", "-map", "1:a")
    convert("-i", wav, "-i", quiet, *right, tmp_path / "tracks.mkv")
    answer = home.ask("TRANSCRIBE_FILE", file_path=str(tmp_path / "tracks.mkv"))["data"]
    assert word_error_rate([(spoken["transcription"], answer["transcription"])]) <= 0.1


# --- without ffmpeg -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare_home():
    """A daemon that finds no ffmpeg."""
    with new_home(V2M_AUDIO__BACKEND="wav", PATH=str(BIN)) as home, running_daemon(home):
        yield home


@pytest.mark.parametrize("kind", NATIVE)
def test_common_sound_files_need_no_ffmpeg(bare_home, tmp_path, kind):
    answer = bare_home.ask("TRANSCRIBE_FILE", file_path=str(media(tmp_path, kind)))["data"]
    assert word_error_rate([(speech()[1], answer["transcription"])]) <= 0.1


@pytest.mark.parametrize("kind", ["m4a", "mkv"])
def test_a_missing_ffmpeg_is_named_with_the_command_that_installs_it(bare_home, tmp_path, kind):
    error = refusal(bare_home, media(tmp_path, kind))
    assert (error["code"], error["hint"]) == ("engine_failed", "apt install ffmpeg")
    assert f"speech.{kind}" in error["message"]
    assert str(tmp_path) not in error["message"]


# --- what is no file ----------------------------------------------------------------------------------


def not_a_file(folder, case):
    path = folder / case
    match case:
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "empty":
            path.touch()
        case "socket":
            return None
        case "device":
            return "/dev/zero"
        case "relative":
            return "speech.wav"
        case "nul":
            return "/a\0b"
    return path


@pytest.mark.parametrize("case", ["missing", "directory", "fifo", "empty", "device", "relative", "nul"])
def test_what_is_no_file_is_refused_in_a_sentence(home, tmp_path, case):
    error = refusal(home, not_a_file(tmp_path, case))
    assert error["code"] == "bad_request"
    assert error["message"].endswith(".")
    assert error["hint"].startswith("Give ")


def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    path = media(tmp_path, "wav")
    os.close(asyncio.run(FfmpegMedia(tmp_path).open(path)))
    path.chmod(0)
    tmp_path.chmod(0o700)
    was = os.geteuid()
    os.seteuid(65534 if was == 0 else was)
    try:
        with pytest.raises(ProtocolError, match="Permission denied"):
            asyncio.run(FfmpegMedia(tmp_path).open(path))
    finally:
        os.seteuid(was)


@pytest.mark.parametrize("content", [b"hello, this is a letter\n" * 100, os.urandom(70_000), bytes(9000)])
def test_what_is_no_sound_is_refused_without_its_path(home, tmp_path, content):
    path = tmp_path / "letter.txt"
    path.write_bytes(content)
    error = refusal(home, path)
    assert error["code"] == "engine_failed"
    assert error["message"].startswith("letter.txt cannot be read: ")
    assert "Invalid data" in error["message"]
    assert str(tmp_path) not in error["message"]
    assert "/proc" not in error["message"]


def test_a_film_without_sound_is_refused(home, tmp_path):
    convert("-f", "lavfi", "-i", "color=c=blue:s=64x64:r=5", "-t", 1, tmp_path / "silent.mp4")
    assert "no sound track" in refusal(home, tmp_path / "silent.mp4")["message"]


@pytest.mark.parametrize(("kind", "seconds"), [("wav", 0), ("wav", 0.01), ("m4a", 0.01), ("mkv", 5), ("wav", 60)])
def test_a_file_in_which_nobody_speaks_says_so(home, tmp_path, kind, seconds):
    assert refusal(home, media(tmp_path, kind, pcm=silence(seconds)))["code"] == "no_speech"


@pytest.mark.parametrize("kind", ["wav", "mp3", "ogg", "flac", "webm", "aac", "avi"])
def test_of_a_file_that_is_cut_off_what_is_there_is_heard(home, tmp_path, kind):
    path = media(tmp_path, kind)
    os.truncate(path, path.stat().st_size * 2 // 3)
    answer = home.ask("TRANSCRIBE_FILE", file_path=str(path))["data"]
    assert answer["transcription"].lower().startswith("it was the best of times")
    assert answer["damage"] == "" or answer["damage"].startswith(f"speech.{kind} is damaged: ")
    if kind in ("flac", "webm"):
        assert answer["damage"]


def test_a_film_whose_index_is_cut_off_is_refused(home, tmp_path):
    path = media(tmp_path, "mp4")
    os.truncate(path, path.stat().st_size // 2)
    assert refusal(home, path)["message"].startswith("speech.mp4 cannot be read: ")


class Counting(http.server.BaseHTTPRequestHandler):
    """Counts who comes."""

    visits = 0

    def do_GET(self):
        type(self).visits += 1
        self.send_error(404)

    def log_message(self, *_):
        pass


PLAYLISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}/a.ts\n#EXT-X-ENDLIST\n",
    "list.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{wav}\n#EXT-X-ENDLIST\n",
    "list.ffconcat": "ffconcat version 1.0\nfile '{wav}'\nfile '{url}/a.wav'\n",
    "list.mpd": '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><BaseURL>{url}/</BaseURL></MPD>\n',
    "list.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_reaches_neither_the_network_nor_other_files(home, tmp_path, name):
    wav = media(tmp_path, "wav")
    Counting.visits = 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (tmp_path / name).write_text(PLAYLISTS[name].format(url=f"http://127.0.0.1:{server.server_port}", wav=wav))
        error = refusal(home, tmp_path / name)
        server.shutdown()
    assert Counting.visits == 0
    assert error["code"] == "engine_failed"
    assert error["message"].startswith(f"{name} cannot be read: ")


def test_a_file_that_says_it_is_too_long_is_refused_before_it_is_read(home, tmp_path):
    script = 'echo "[info]   Duration: 04:00:00.01, start: 0.0" >&2; exec sleep 1000'
    variables = {"PATH": f"{stand_in(tmp_path / 'bin', script)}:{BIN}:/usr/bin:/bin"}
    with new_home(V2M_AUDIO__BACKEND="wav", **variables) as other, running_daemon(other):
        assert refusal(other, letter(tmp_path))["message"] == "letter.bin is longer than 4 hours."


def letter(folder):
    """Return a file that is left to ffmpeg."""
    path = folder / "letter.bin"
    path.write_text("hello")
    return path


def test_a_language_that_the_engine_cannot_do_is_refused(home, tmp_path):
    answer = home.ask("TRANSCRIBE_FILE", file_path=str(media(tmp_path, "wav")), language="de")
    assert answer["error"]["code"] == "bad_request"
    assert "'de'" in answer["error"]["message"]


# --- a decoder that gets stuck ------------------------------------------------------------------------

HANGING = "echo $$ > {0}/pid; sleep 1000 & echo $! >> {0}/pid; wait"


def pids(folder):
    """Return the stand-in's process and its child's, once both are there."""
    path = folder / "pid"
    return wait_until(lambda: path.exists() and len(path.read_text().split()) == 2, what="ffmpeg") and [
        int(pid) for pid in path.read_text().split()
    ]


def gone(found):
    wait_until(lambda: not any(alive(pid) for pid in found), what="the end of ffmpeg")


def use(monkeypatch, folder):
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


async def outcome(folder, path, *, stall_s=0.3):
    async with FfmpegMedia(folder, stall_s=stall_s).convert(path) as source:
        return await source.ended()


def test_a_decoder_that_does_nothing_is_ended_with_its_children(monkeypatch, tmp_path):
    use(monkeypatch, stand_in(tmp_path / "bin", HANGING.format(tmp_path)))
    with pytest.raises(EngineError, match=r"got nothing out of letter.bin for 0.3 s"):
        asyncio.run(outcome(tmp_path, letter(tmp_path)))
    gone(pids(tmp_path))


def test_a_decoder_that_goes_on_may_take_its_time(monkeypatch, tmp_path):
    script = 'for n in 1 2 3 4 5 6 7 8; do echo "out_time_us=$n" >&2; sleep 0.1; done; printf "\\1\\0\\2\\0"'
    use(monkeypatch, stand_in(tmp_path / "bin", script))
    assert asyncio.run(outcome(tmp_path, letter(tmp_path))) == ""


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("kill -SEGV $$", "ffmpeg ended with signal 11"),
        ("exit 3", "ffmpeg ended with status 3"),
        ('echo "[error] it $(printf "\\033[31m") broke." >&2; exit 1', "it  [31m broke"),
        (
            'echo "[error] write: No space left on device" >&2; sleep 1000',
            "no room on the disk for the sound of letter",
        ),
        ("exec 2>&-; sleep 1000", "got nothing out of letter.bin"),
        ('head -c 300000 /dev/zero | tr "\\0" x >&2; echo "[fatal] no" >&2; exit 1', "no"),
    ],
)
def test_a_decoder_that_breaks_is_told(monkeypatch, tmp_path, script, reason):
    use(monkeypatch, stand_in(tmp_path / "bin", script))
    with pytest.raises(EngineError, match=re.escape(f"{reason}")):
        asyncio.run(outcome(tmp_path, letter(tmp_path)))


def test_nothing_is_left_on_the_disk(tmp_path):
    folder = tmp_path / "spool"
    folder.mkdir()
    assert asyncio.run(outcome(folder, media(tmp_path, "mp4"), stall_s=30)) == ""
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(EngineError, match="cannot be converted"):
        asyncio.run(outcome(tmp_path / "none", media(tmp_path, "mp4")))


def test_cancelling_ends_the_decoder(monkeypatch, tmp_path):
    use(monkeypatch, stand_in(tmp_path / "bin", HANGING.format(tmp_path)))

    async def scene():
        async with asyncio.TaskGroup() as group:
            task = group.create_task(outcome(tmp_path, letter(tmp_path), stall_s=1000))
            await until((tmp_path / "pid").exists)
            task.cancel()

    asyncio.run(scene())
    gone(pids(tmp_path))


@pytest.fixture
def stuck(tmp_path):
    """A home whose ffmpeg hangs, its daemon, and a file that is left to ffmpeg."""
    path = f"{stand_in(tmp_path / 'bin', HANGING.format(tmp_path))}:{BIN}:/usr/bin:/bin"
    scripted = {"V2M_TRANSCRIPTION__BACKEND": "scripted", "V2M_AUDIO__BACKEND": "wav"}
    with new_home(**scripted, PATH=path) as home, running_daemon(home) as daemon:
        yield home, daemon, letter(tmp_path)


def test_a_client_that_goes_away_takes_the_decoder_with_it_and_abort_does_not(stuck, tmp_path):
    home, _, path = stuck
    with closing(connect(home.socket)) as client:
        client.sendall(frame({"cmd": "TRANSCRIBE_FILE", "data": {"file_path": str(path)}}))
        found = pids(tmp_path)
        assert home.ask("ABORT_RECORDING")["error"]["code"] == "state_conflict"
        home.toak("--abort")
        assert home.state_now() == "idle"
        assert all(map(alive, found))
    gone(found)
    assert home.state_now() == "idle"


def test_ctrl_c_ends_client_and_decoder(stuck, tmp_path):
    home, _, path = stuck
    command = [BIN / "v2m", "transcribe", path, "--format", "srt"]
    with subprocess.Popen(
        command, env=home.variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as client:
        found = pids(tmp_path)
        client.send_signal(signal.SIGINT)
        assert client.communicate(timeout=60) == ("", "")
    assert client.returncode == 130
    gone(found)


def test_the_daemon_does_not_wait_for_a_file_when_it_ends(stuck, tmp_path):
    home, daemon, path = stuck
    with closing(connect(home.socket)) as client:
        client.sendall(frame({"cmd": "TRANSCRIBE_FILE", "data": {"file_path": str(path)}}))
        found = pids(tmp_path)
        assert daemon.stop() == 0
    gone(found)


# --- while it works -----------------------------------------------------------------------------------


def worker_peak_mib(home):
    status = Path(f"/proc/{home.daemon.worker_pid()}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def test_a_dictation_goes_before_five_minutes_of_a_file_and_the_memory_stays_small(home, tmp_path):
    path = media(tmp_path, "mp4", pcm=speech()[0] * 20)
    with heard_events(home) as events, closing(connect(home.socket, 200)) as client:
        request = {"file_path": str(path), "job": "long"}
        client.sendall(frame({"cmd": "TRANSCRIBE_FILE", "data": request}))
        wait_until(lambda: told(events, "segment", "long"), 60, "a passage")
        dictation = home.ask("START_RECORDING")["data"]["dictation"]
        wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 3, what="3 s of speech")
        answer = home.ask("STOP_RECORDING", deliver="none")["data"]
        assert "best of times" in answer["transcription"].lower()
        text = read_frame(client)["data"]["transcription"]
        wait_until(lambda: told(events, "progress", "long")[-1]["done"] == 1, what="the end")
    assert word_error_rate([(f"{speech()[1]} " * 20, text)]) <= 0.1
    at = {event["data"]["dictation"]: event["seq"] for event in events if event["event"] == "transcribed"}
    ended = next(event["seq"] for event in events if event["event"] == "progress" and event["data"]["done"] == 1)
    assert at[dictation] < ended
    done = [one["done"] for one in told(events, "progress", "long")]
    assert done == sorted(done)
    assert len({round(one, 1) for one in done}) >= 4
    passages = told(events, "segment", "long")
    assert [one["start_s"] for one in passages] == sorted(one["start_s"] for one in passages)
    assert " ".join(one["text"] for one in passages).split() == text.split()
    assert worker_peak_mib(home) < 300


def test_a_speech_process_that_dies_costs_nothing_but_time(home, tmp_path):
    path = media(tmp_path, "mkv", pcm=speech()[0] * 4)
    with heard_events(home) as events, closing(connect(home.socket, 200)) as client:
        client.sendall(frame({"cmd": "TRANSCRIBE_FILE", "data": {"file_path": str(path), "job": "died"}}))
        wait_until(lambda: told(events, "segment", "died"), 60, "a passage")
        os.kill(home.daemon.worker_pid(), signal.SIGKILL)
        text = read_frame(client)["data"]["transcription"]
        wait_until(lambda: told(events, "progress", "died")[-1]["done"] == 1, what="the end")
    assert word_error_rate([(f"{speech()[1]} " * 4, text)]) <= 0.1
    assert " ".join(one["text"] for one in told(events, "segment", "died")).split() == text.split()


def test_several_files_at_once_do_not_mix(home, spoken, tmp_path):
    paths = [media(tmp_path, "mp3", name="one"), media(tmp_path, "m4a", name="two", pcm=wheel_clips()[2].pcm)]
    clients = [connect(home.socket, 100) for _ in paths]
    for client, path in zip(clients, paths, strict=True):
        client.sendall(frame({"cmd": "TRANSCRIBE_FILE", "data": {"file_path": str(path)}}))
    one, two = [read_frame(client)["data"]["transcription"] for client in clients]
    for client in clients:
        client.close()
    assert word_error_rate([(spoken["transcription"], one), (wheel_clips()[2].text, two)]) <= 0.1


# --- the command line ---------------------------------------------------------------------------------


def test_the_text_goes_to_standard_output_and_nothing_else_does(home, spoken, tmp_path):
    done = home.v2m("transcribe", media(tmp_path, "mp4"))
    assert (done.returncode, done.stderr) == (0, "")
    assert word_error_rate([(spoken["transcription"], done.stdout)]) <= 0.1
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("form", ["srt", "vtt", "md", "json", "txt"])
def test_a_document_is_written_as_its_name_ends(home, spoken, tmp_path, form):
    target = tmp_path / f"out.{form}"
    done = home.v2m("transcribe", media(tmp_path, "wav"), "--output", target)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    document = target.read_text()
    beginnings = {
        "srt": "1\n00:00:00,",
        "vtt": "WEBVTT\n\n00:00:00.",
        "md": "# speech.wav\n\n`00:00:00` ",
        "txt": "It ",
    }
    if form == "json":
        assert json.loads(document)["passages"] == spoken["passages"]
    else:
        assert document.startswith(beginnings[form])
    assert "best of times" in document.lower()


def test_several_files_go_to_a_folder_and_one_that_fails_stops_no_other(home, tmp_path):
    paths = [media(tmp_path, "wav"), letter(tmp_path), media(tmp_path, "mp3", name="other")]
    target = tmp_path / "texts"
    target.mkdir()
    done = home.v2m("transcribe", *paths, "--format", "vtt", "--output", target)
    assert done.returncode == 70
    assert "letter.bin cannot be read" in done.stderr
    assert sorted(path.name for path in target.iterdir()) == ["other.vtt", "speech.vtt"]


def test_a_terminal_shows_how_far_it_is_and_is_left_clean(home, tmp_path):
    path = media(tmp_path, "wav", pcm=speech()[0] * 3)
    master, slave = os.openpty()
    done = home.v2m("transcribe", path, capture_output=False, stdout=subprocess.PIPE, stderr=slave)
    os.close(slave)
    shown = os.read(master, 1 << 16).decode()
    os.close(master)
    assert done.returncode == 0
    assert re.search(r"\rspeech\.wav  \[#+-*\] +\d+%  0:00:\d\d", shown)
    assert shown.endswith("\r")
    assert shown.rstrip("\r").rpartition("\r")[2].strip() == ""
    assert "\x1b" not in shown


class Later(list):
    """A stream of events whose later ones come when the job is known."""

    def __init__(self, *events):
        super().__init__(events)
        self.job = threading.Event()

    def __iter__(self):
        yield {"event": "snapshot", "data": {}, "seq": 4}
        self.job.wait(30)
        yield from super().__iter__()


@pytest.mark.parametrize("lost", [False, True])
def test_passages_too_many_for_an_answer_are_taken_from_the_events(lost):
    with answering() as server:
        stream = Later()

        def answer(request):
            passage = {"job": request["data"]["job"], "start_s": 0.0, "end_s": 1.0, "text": "Hello."}
            stream.append({"event": "segment", "data": {**passage, "job": "another"}, "seq": 5})
            stream.append({"event": "segment", "data": passage, "seq": 7 if lost else 6})
            stream.append({"event": "progress", "data": {"job": passage["job"], "done": 1.0}, "seq": 8 if lost else 7})
            stream.job.set()
            return good(transcription="Hello.", duration_s=1.0, passages=None, damage="")

        server.answers.update(SUBSCRIBE=stream, TRANSCRIBE_FILE=answer)
        done = client(server, "transcribe", "a.wav", "--format", "srt")
    if lost:
        assert (done.returncode, done.stdout) == (70, "")
        assert done.stderr.startswith("v2m: Some of the passages did not arrive.")
    else:
        assert (done.returncode, done.stdout) == (0, "1\n00:00:00,000 --> 00:00:01,000\nHello.\n")


def client(server, *words):
    variables = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "V2M_SOCKET": str(server.path)}
    return subprocess.run([BIN / "v2m", *words], env=variables, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("words", "say"),
    [
        ([], "Missing argument"),
        (["a.wav", "b.wav", "--format", "srt"], "cannot be one"),
        (["a.wav", "b.wav", "--output", "new.txt"], "need a folder"),
        (["a.wav", "--output", "/nowhere/a.srt"], "no folder that can be written"),
        (["a.wav", "--output", "a.txt", "--json"], "writes no file"),
        (["a.wav", "--format", "doc"], "doc"),
        ([__file__, "--output", __file__], "overwrite the recording"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused_before_the_work(words, say):
    with answering() as server:
        done = client(server, "transcribe", *words)
        assert server.requests == []
    assert done.returncode == 64
    assert say in done.stdout + done.stderr


@pytest.mark.parametrize(("letters", "fits"), [(1000, True), (600_000, False)])
def test_an_answer_stays_below_the_limit_of_a_frame(tmp_path, letters, fits):
    path = write_wav(tmp_path / "a.wav", seconds=1)

    async def scene():
        transcriber = ScriptedTranscriber(["é" * (letters // 2)])
        tongue, events = Tongue(transcriber, language="auto", profiles={}), EventBus()
        with events.subscribe() as subscription:
            files = Files(transcriber=transcriber, media=FfmpegMedia(tmp_path), tongue=tongue, events=events)
            answer = await files.transcribe(path, language=None)
            subscription.close()
            return answer, [frame async for frame in subscription]

    answer, events = asyncio.run(scene())
    assert len(encode_frame(success({"state": "transcribing", **answer}))) <= 1 << 20
    assert (answer["passages"] is not None) == fits
    assert [(event["event"], event["data"]["job"]) for event in events] == [
        ("segment", "file-1"),
        ("progress", "file-1"),
    ]


def test_as_json_the_whole_answer_is_printed(home, tmp_path):
    done = home.v2m("transcribe", media(tmp_path, "flac"), "--json")
    answer = json.loads(done.stdout)["data"]
    assert answer.keys() >= {"transcription", "duration_s", "passages", "damage", "state"}


def test_what_is_damaged_is_said(home, tmp_path):
    path = media(tmp_path, "webm")
    os.truncate(path, path.stat().st_size * 2 // 3)
    done = home.v2m("transcribe", path)
    assert done.returncode == 0
    assert done.stderr.startswith("v2m: speech.webm is damaged: ")
