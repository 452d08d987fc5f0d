"""`v2m doctor`: what it looks at, that it ends, asks before it mends, and gives nothing away."""

import ast
import asyncio
import io
import json
import os
import re
import shlex
import shutil
import signal
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import click
import pytest

from support.daemon import BIN, Home, new_home, running_daemon, wait_until
from support.doctor import QUIET, examine, findings, leave
from v2m.local._checks.bundle import _log
from v2m.local._checks.cures import here
from v2m.local._checks.desktop import IMPORT
from v2m.local._checks.facts import FACT_S
from v2m.local._checks.hotkeys import parse_bindings
from v2m.local._checks.running import CHECKS_S
from v2m.local._checks.scrub import Scrubber
from v2m.local._checks.table import CHECKS
from v2m.main import local_verbs
from v2m.ui.verbs import build_group

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

SOURCES = Path(__file__).resolve().parents[2] / "src" / "v2m" / "local" / "_checks"
VERDICTS = {"ok", "warn", "fail", "skip"}


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home(**QUIET) as empty:
        yield empty
        leave(empty)


# --- the table ---------------------------------------------------------------------------------------------------


def test_there_are_at_least_25_checks_with_an_id_each() -> None:
    ids = [check.id for check in CHECKS]
    assert len(ids) >= 25
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", each) for each in ids)


def offered() -> Iterator[str]:
    """Yield the commands of ours in the checks: texts that begin with one, with 17 for what is filled in."""
    for path in SOURCES.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "17" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            else:
                continue
            if text.startswith("v2m ") and text[-1] not in ".:, ":  # no sentence, no piece
                yield re.split(" (?:>>|&&|;) ", text)[0]


OFFERED = sorted(set(offered()))


@pytest.mark.parametrize("command", OFFERED)
def test_a_command_of_ours_that_a_check_offers_exists(command: str) -> None:
    parser: click.Command | None = build_group(local_verbs())
    words, verb = shlex.split(command)[1:], ""
    while isinstance(parser, click.Group) and words:
        verb, parser, words = parser.resolve_command(click.Context(parser), words)
    assert parser is not None
    parser.make_context(verb, ["sway" if word == "17" and verb == "print" else word for word in words])


def test_commands_are_offered() -> None:
    assert len(OFFERED) > 10


# --- what it tells -----------------------------------------------------------------------------------------------


def test_it_works_without_a_daemon_and_says_so_by_its_exit_status(home: Home) -> None:
    done = home.v2m("doctor", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 70
    assert answer["status"] == "error"
    found = findings(done.stdout)
    assert list(found) == [check.id for check in CHECKS]
    assert {check["verdict"] for check in found.values()} <= VERDICTS
    assert all(check["evidence"] for check in found.values())
    assert all(check["fix"] for check in found.values() if check["verdict"] == "fail")
    assert "daemon" in answer["data"]["failed"]
    assert not any("broke" in check["evidence"] for check in found.values())


def test_with_a_daemon_nothing_fails_that_does_not_have_to(home: Home) -> None:
    with running_daemon(home):
        done = home.v2m("doctor")
        assert (done.returncode, "✗" in done.stdout) == (0, False), done.stdout
        assert "✓ daemon" in done.stdout
        assert "\n  → " in done.stdout or "!" not in done.stdout  # what is not well names a command
        found = examine(home)
        assert not any("broke" in check["evidence"] for check in found.values())


def test_a_check_by_its_name(home: Home) -> None:
    assert list(examine(home, "clock", "history")) == ["history", "clock"]
    done = home.v2m("doctor", "--only", "clocks")
    assert done.returncode == 64
    assert "clock" in done.stderr


def test_a_daemon_that_hangs_is_told_and_holds_nothing_up(home: Home) -> None:
    with running_daemon(home) as daemon:
        os.kill(daemon.pid, signal.SIGSTOP)
        try:
            found = findings(home.v2m("doctor", "--json", timeout=20).stdout)
        finally:
            os.kill(daemon.pid, signal.SIGCONT)
    assert found["daemon"]["verdict"] == "fail"
    assert "did not answer in time" in found["daemon"]["evidence"]
    assert found["clock"]["verdict"] == "ok"
    assert FACT_S + CHECKS_S <= 9.5  # and half a second for Python: 10 s in all


MOONSHINE = {"V2M_TRANSCRIPTION__BACKEND": "moonshine"}
SERVICE = {
    "V2M_TRANSCRIPTION__BACKEND": "openai",
    "V2M_TRANSCRIPTION__OPENAI__PRESET": "custom",
    "V2M_TRANSCRIPTION__OPENAI__BASE_URL": "http://127.0.0.1:9/v1",
}


@pytest.mark.parametrize(
    ("check", "variables", "verdict", "says"),
    [
        ("language", {**MOONSHINE, "V2M_TRANSCRIPTION__LANGUAGE": "de"}, "fail", "cannot do the language 'de'"),
        ("language", {**MOONSHINE, "V2M_TRANSCRIPTION__LANGUAGE": "en"}, "ok", "does en"),
        ("extras", {"V2M_TRANSCRIPTION__FALLBACK": "moonshine"}, "ok", "installed"),
        ("engine", MOONSHINE, "ok", "moonshine-tiny-en loads"),
        ("engine", {**MOONSHINE, "V2M_TRANSCRIPTION__MODEL_DIR": "{broken}"}, "fail", "odel"),
        ("cloud-host", SERVICE, "warn", "127.0.0.1 cannot be reached"),
        ("cloud-key", SERVICE, "ok", "needs none"),
        ("residency", {"V2M_TRANSCRIPTION__RESIDENCY": "idle-unload"}, "warn", "after 15 idle minutes"),
        ("notifications", {"V2M_NOTIFICATIONS__ENABLED": "true"}, "warn", "no notification is shown"),
        ("notifications", {}, "skip", "off"),
        ("display", {}, "warn", "No desktop answers"),
        ("outputs", {}, "skip", "no desktop"),
        ("microphone", {"V2M_AUDIO__WAV_PATH": "/nowhere.wav"}, "fail", "/nowhere.wav is not there"),
        ("sound-server", {"V2M_AUDIO__BACKEND": "auto"}, "fail", "PipeWire"),
        ("service-units", {}, "skip", "systemd"),
        ("confinement", {}, "ok", "speech process"),
    ],
)
def test_what_a_check_says(home: Home, check: str, variables: dict[str, str], verdict: str, says: str) -> None:
    broken = home.folder / "broken"
    broken.mkdir()
    for name in ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin"):
        (broken / name).write_bytes(b"no model")
    found = examine(home, check, **{name: value.format(broken=broken) for name, value in variables.items()})[check]
    assert (found["verdict"], says in found["evidence"]) == (verdict, True), found


def test_nothing_of_systemd_is_offered_where_it_does_not_run(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home.runtime))
    assert here(IMPORT) == "v2m daemon restart"
    bus = f"unix:path={quote(str(home.runtime))}/bus"
    variables = {
        "V2M_AUDIO__BACKEND": "auto",
        "V2M_NOTIFICATIONS__ENABLED": "true",
        "DBUS_SESSION_BUS_ADDRESS": bus,
    }
    found = examine(home, **variables)
    offered = {name: check["fix"] for name, check in found.items() if check["verdict"] in ("warn", "fail")}
    assert {"sound-server", "notifications"} <= offered.keys()
    assert not [fix for fix in offered.values() if "systemctl" in fix]
    if shutil.which("dbus-daemon"):
        started = home.run("sh", "-c", f"{offered['notifications']} --print-pid")
        os.kill(int(started.stdout), signal.SIGTERM)


def test_a_clock_that_went_back(home: Home) -> None:
    if shutil.which("faketime") is None:
        pytest.skip("faketime is missing: apt install faketime")
    clock = {**home.variables, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    done = home.run("faketime", "-f", "-400d", BIN / "v2m", "doctor", "--json", "--only", "clock", env=clock)
    found = findings(done.stdout)["clock"]
    assert (found["verdict"], found["fix"]) == ("warn", "timedatectl set-ntp true"), found


# --- mending -----------------------------------------------------------------------------------------------------


def broken(home: Home) -> Path:
    """Return a folder that is open to others, which can be mended without harm; there is no daemon either."""
    folder = home.state / "v2m"
    folder.mkdir(mode=0o755)
    return folder


def test_fix_mends_what_does_no_harm(home: Home) -> None:
    folder = broken(home)
    done = home.v2m("doctor", "--fix", "--yes", "--json")
    ran = {each["command"]: each["status"] for each in json.loads(done.stdout)["data"]["ran"]}
    assert ran == {f"chmod -R go-rwx '{folder}'": 0, "v2m daemon start": 0}
    assert folder.stat().st_mode & 0o777 == 0o700
    found = findings(done.stdout)
    assert {found["state-dir"]["verdict"], found["daemon"]["verdict"]} == {"ok"}


def test_fix_asks_before_each_command(home: Home) -> None:
    folder = broken(home)
    words = [BIN / "v2m", "doctor", "--fix", "--only", "state-dir"]
    assert "Run chmod" in home.run(*words, input="n\n").stderr
    assert folder.stat().st_mode & 0o777 == 0o755
    assert "Run chmod" in home.run(*words, input="y\n").stderr
    assert folder.stat().st_mode & 0o777 == 0o700


def test_fix_without_anybody_to_ask_runs_nothing(home: Home) -> None:
    folder = broken(home)
    done = home.v2m("doctor", "--fix", input="")
    assert done.returncode != 0
    assert folder.stat().st_mode & 0o777 == 0o755


def test_fix_never_changes_settings_or_kills(home: Home) -> None:
    path = home.folder / "config" / "v2m" / "config.toml"
    path.parent.mkdir()
    path.write_text('[audio]\ndevise = "usb"\n')
    done = home.v2m("doctor", "--fix", "--yes", "--only", "config", "--json")
    assert json.loads(done.stdout)["data"]["ran"] == []
    assert path.read_text() == '[audio]\ndevise = "usb"\n'
    assert "sed" in findings(done.stdout)["config"]["fix"]


@pytest.mark.parametrize(
    "words", [("--yes",), ("--fix", "--json"), ("--loop", "--fix"), ("--loop", "--report", "x.zip"), ("--fixes",)]
)
def test_what_makes_no_sense_is_refused(home: Home, words: tuple[str, ...]) -> None:
    assert home.v2m("doctor", *words).returncode == 64


# --- the bundle --------------------------------------------------------------------------------------------------

SPOKEN = "zanzibar marmalade is my secret plan"
PLANTED = {
    "GROQ_API_KEY": "gsk_plantedgroqkey123",
    "OPENAI_API_KEY": "sk-plantedopenai456",
    "V2M_VOCABULARY__WORDS": "Quetzalcoatl",
    "V2M_CLOUD__API_KEY_CMD": '["sh", "-c", "echo plantedcommand"]',
}
LOG = """\
2026-11-21 20:00:00,000 INFO v2m.daemon: ready
2026-11-21 20:00:01,000 WARNING v2m.application.deliver: wtype said 'zanzibar marmalade' and died
2026-11-21 20:00:02,000 ERROR v2m.engines: refused key gsk_plantedgroqkey123 for zanzibar marmalade
2026-11-21 20:00:03,000 ERROR v2m.daemon: a command failed
Traceback (most recent call last):
  File "/home/somebody/v2m/daemon.py", line 99, in _answer
    text = "zanzibar marmalade"
ValueError: zanzibar
zanzibar marmalade, said somebody else
2026-11-21 20:00:04,000 INFO v2m.engines: Authorization: Bearer plantedbearer
2026-11-21 20:00:05,000 INFO v2m.engines: Quetzalcoatl is favoured
"""
MARKERS = (
    "zanzibar",
    "marmalade",
    "secret plan",
    "planted",
    "quetzalcoatl",
    "plantedcommand",
    "plantedtitle",
    "somebody",
)


def planted(home: Home) -> None:
    """Dictate, and leave keys, words, rules and log lines where a careless bundle would take them from."""
    home.variables.update(PLANTED)
    home.variables["V2M_TRANSCRIPTION__SCRIPT"] = json.dumps([SPOKEN])
    config = home.folder / "config" / "v2m"
    config.mkdir()
    (config / "config.toml").write_text('[[policy]]\ntitle = "*plantedtitle*"\nnewline = "space"\n')
    (config / ".env").write_text("GEMINI_API_KEY=AIzaplantedgemini\n")
    (config / ".env").chmod(0o600)
    with running_daemon(home):
        home.ask("START_RECORDING")
        wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 0.4, what="some words")
        told = home.ask("STOP_RECORDING", wait=True, deliver="none")
        assert told["data"]["transcription"] == SPOKEN
    (home.state / "v2m" / "toakd.log").write_text(LOG)


@pytest.fixture(scope="module")
def careless() -> Iterator[Home]:
    """A home where a careless bundle would find what it may not take."""
    with new_home(**QUIET) as home:
        planted(home)
        yield home


@pytest.mark.parametrize("name", ["report.tar.gz", "report.zip"])
def test_a_bundle_holds_what_helps_and_gives_nothing_away(careless: Home, name: str) -> None:
    target = careless.folder / name
    done = careless.v2m("doctor", "--json", "--report", target)
    assert not [marker for marker in MARKERS if marker in (done.stdout + done.stderr).lower()]
    assert target.stat().st_mode & 0o777 == 0o600
    parts = unpacked(target)
    everything = b"\n".join([target.read_bytes(), *parts.values()]).lower()
    assert not [marker for marker in MARKERS if marker.encode() in everything]
    assert str(careless.folder).encode() not in everything
    told = {name.removesuffix(".json"): json.loads(part) for name, part in parts.items()}
    assert set(told) == {"versions", "checks", "settings", "status", "units", "log"}
    assert told["settings"]["groq_api_key"] == {"value": "set", "source": "environment"}
    assert told["settings"]["vocabulary.words"]["value"] == "set"
    assert told["settings"]["audio.tail_ms"] == {"value": "300", "source": "default"}
    assert len(told["checks"]) == len(CHECKS)
    assert any("v2m.daemon: ready" in line for line in told["log"])
    assert "  daemon.py, line 99, in _answer" in told["log"]
    assert "  ValueError" in told["log"]


def unpacked(bundle: Path) -> dict[str, bytes]:
    if bundle.suffix == ".zip":
        with zipfile.ZipFile(bundle) as archive:
            return {Path(name).name: archive.read(name) for name in archive.namelist()}
    with tarfile.open(fileobj=io.BytesIO(bundle.read_bytes())) as archive:
        files = ((member.name, archive.extractfile(member)) for member in archive)
        return {Path(name).name: file.read() for name, file in files if file is not None}


def test_what_the_daemon_says_of_itself_gives_nothing_away(careless: Home) -> None:
    with running_daemon(careless):
        done = careless.v2m("doctor", "--json", "--report", careless.folder / "live.zip")
    told = json.loads(unpacked(careless.folder / "live.zip")["status.json"])
    assert told["engine"]["name"] == "scripted"
    printed = (done.stdout + done.stderr + json.dumps(told)).lower()
    assert not [marker for marker in MARKERS if marker in printed]


def test_of_a_log_of_any_size_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    log = tmp_path / "v2m" / "toakd.log"
    log.parent.mkdir()
    with log.open("w") as file:
        file.truncate(1 << 40)
        file.seek(0, os.SEEK_END)
        file.write(f"v2m.x: cut\n{LOG}")
    told = asyncio.run(_log(Scrubber()))
    assert told[-1] == "2026-11-21 20:00:05,000 INFO v2m.engines: Quetzalcoatl is favoured"
    assert not [line for line in told if "cut" in line]


def test_a_bundle_that_cannot_be_written_is_told(home: Home) -> None:
    done = home.v2m("doctor", "--only", "clock", "--report", home.folder / "no folder" / "x.zip")
    assert (done.returncode, "Traceback" in done.stderr) == (70, False)
    assert "cannot be written" in done.stderr


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("v2m.deliver: 5 characters went to foot", "v2m.deliver: 5 characters went to foot"),
        ("<6>v2m.deliver: ready [dictation 3]", "<6>v2m.deliver: ready [dictation 3]"),
        ("v2m.x: token=abcd123 is bad", "v2m.x: token=… is bad"),
        ("v2m.x: ghp0123456789abcdefghij", "v2m.x: …"),
        ("v2m.x: she said “hello there”", "v2m.x: she said '…'"),
        ("v2m.x: it was Hello, there!", "v2m.x: it was …, …!"),
        ("v2m.x: yes", "v2m.x: …"),
        ("hello there", ""),
        ("RuntimeError: hello", "  RuntimeError"),
        ("Nov 21 vm toakd[9]:     | a.b.TypeError: hello: there", "  a.b.TypeError"),
        ('vm toakd[9]:   |   File "/home/me/v2m/x.py", line 3, in go', "  x.py, line 3, in go"),
        ("v2m.x: an EngineError it was", "v2m.x: an EngineError it was"),
        ("v2m.x: é-ABCDEFGHIJ0123456789é", "v2m.x: é…é"),
        ("v2m.x: " + "a-" * 24_000 + "b", ""),
        ("v2m.x: " + "so it goes " * 9_000, "v2m.x: " + "so it goes " * 180 + "so it …"),
    ],
)
def test_lines_are_scrubbed(line: str, left: str) -> None:
    assert Scrubber(texts=["oh hello there you", "yes"]).line(line) == left


# --- bindings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("bindsym --no-repeat F9 exec toak --start", ("F9", "start", False)),
        ("  bindsym --release F9 exec /opt/v2m/bin/toak stop", ("F9", "stop", True)),
        ("bindcode --release --locked 75 exec --no-startup-id toak --stop", ("75", "stop", True)),
        ("bindsym $mod+F9 exec 'toak --toggle'", ("$mod+F9", "toggle", False)),
        ("bindsym F8 nop v2m start", ("F8", "start", False)),
        ("# bindsym F9 exec toak --start", None),
        ("bindsym F9 exec mytoak --start", None),
        ("bindsym F9 exec foot", None),
    ],
)
def test_bindings_are_found_in_a_configuration(line: str, found: tuple[str, str, bool] | None) -> None:
    bound = parse_bindings([line])
    assert [(each.key, each.verb, each.on_release) for each in bound] == ([found] if found else [])
