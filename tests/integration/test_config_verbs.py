"""`v2m config`: with a daemon and without one, the same checks; each value with its source."""

import json
import os
import pty
import stat
import sys

import pytest

from support.daemon import new_home, running_daemon, wait_until
from support.settings import SettingsFile

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

FILE = '# mine\n[audio]\nbackend = "wav"  # a file\n\n[transcription]\nbackend = "scripted"\nthreads = 2\n'


@pytest.fixture(scope="module")
def home():
    with new_home(V2M_AUDIO__TAIL_MS="5") as private:
        yield private


@pytest.fixture(params=["alone", "with a daemon"], scope="module")
def place(request, home):
    found = SettingsFile(home)
    found.write(FILE)
    if request.param == "alone":
        yield found
    else:
        with running_daemon(home, "--set", "daemon.max_connections=32") as found.daemon:
            yield found


@pytest.fixture
def settings(place):
    """The file as above, whatever a test before did to it."""
    place.write(FILE)
    if hasattr(place, "daemon"):
        place.home.ask("RELOAD_CONFIG")
    return place


@pytest.fixture(scope="module")
def own_home():
    with new_home() as private:
        yield SettingsFile(private)


@pytest.fixture
def alone(own_home):
    """A file that no daemon reads."""
    own_home.write(FILE)
    return own_home


def v2m(settings, *words, **kwargs):
    return settings.home.v2m("config", *words, **kwargs)


def has_daemon(settings):
    return hasattr(settings, "daemon")


# --- what is shown -----------------------------------------------------------------------------------------


def test_get_prints_the_value_and_says_where_it_comes_from(settings):
    done = v2m(settings, "get", "transcription.threads")
    assert (done.returncode, done.stdout) == (0, "2\n")
    assert f"from {settings.path}, line 7" in done.stderr
    done = v2m(settings, "get", "audio.tail_ms")
    assert (done.stdout, "environment variable V2M_AUDIO__TAIL_MS" in done.stderr) == ("5\n", True)
    done = v2m(settings, "get", "daemon.max_connections")
    expected = ("32\n", "argument daemon.max_connections") if has_daemon(settings) else ("64\n", "the default")
    assert (done.stdout, expected[1] in done.stderr) == (expected[0], True)
    entry = json.loads(v2m(settings, "get", "history.keep_audio", "--json").stdout)["data"]
    assert (entry["value"], entry["source"], entry["type"]) == ("1h", "default", "duration")


def test_get_of_a_table_and_of_nothing(settings):
    done = v2m(settings, "get", "history")
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "history.enabled",
        "history.retention_days",
        "history.keep_audio",
        "history.keep_audio_trouble",
    ]
    done = v2m(settings, "get", "history.keep_adio")
    assert (done.returncode, done.stdout) == (78, "")
    assert "did you mean history.keep_audio?" in done.stderr


def test_list_shows_everything_or_what_was_changed(settings):
    everything = v2m(settings, "list").stdout.splitlines()
    changed = v2m(settings, "list", "--changed").stdout.splitlines()
    assert len(everything) > 80
    assert {"audio.backend", "audio.tail_ms", "transcription.threads"} <= {line.split()[0] for line in changed}
    assert len(changed) < 15
    found = json.loads(v2m(settings, "list", "--json").stdout)["data"]
    assert len(found["settings"]) == len(everything)
    assert all({"key", "value", "source", "place", "writable", "live"} <= entry.keys() for entry in found["settings"])


def test_path(settings):
    assert v2m(settings, "path").stdout == f"{settings.path}\n"
    assert json.loads(v2m(settings, "path", "--json").stdout)["data"] == {"file": str(settings.path)}


# --- what is changed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "word", "line"),
    [
        ("transcription.threads", "3", "threads = 3"),
        ("output.file", "/tmp/said.txt", 'file = "/tmp/said.txt"'),  # not over the socket
    ],
)
def test_set_writes_the_line_and_keeps_the_rest(settings, key, word, line):
    done = v2m(settings, "set", key, word)
    assert done.returncode == 0, done.stderr
    text = settings.path.read_text()
    assert line in text
    assert "# mine" in text
    assert 'backend = "wav"  # a file' in text
    assert stat.S_IMODE(settings.path.stat().st_mode) == 0o600
    assert settings.path.with_name("config.toml.previous").read_text() == FILE
    if has_daemon(settings):
        assert f"Holds now: {key}" in done.stderr
        assert not settings.of(key)["pending"]
    assert v2m(settings, "set", key, "--default").returncode == 0
    assert line not in settings.path.read_text()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["transcription.threads", "two"], 78, "a whole number from 1 to 64, not 'two'"),
        (["transcription.thread", "2"], 78, "did you mean transcription.threads?"),
        (["output.file", "relative"], 78, "an absolute path"),
        (["transcription.threads"], 64, "Give a VALUE"),
    ],
)
def test_set_refuses_what_would_be_wrong_and_writes_nothing(settings, words, status, said):
    done = v2m(settings, "set", *words)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert settings.path.read_text() == FILE


def test_set_says_who_has_its_way_and_what_needs_a_restart(settings):
    done = v2m(settings, "set", "audio.tail_ms", "7")
    assert "audio.tail_ms has no effect: environment variable V2M_AUDIO__TAIL_MS has its way." in done.stderr
    if has_daemon(settings):
        done = v2m(settings, "set", "history.enabled", "false")
        assert "Hold after v2m daemon restart: history.enabled" in done.stderr
        assert "holds after v2m daemon restart" in v2m(settings, "get", "history.enabled").stderr


def test_check_names_line_and_column_and_what_is_meant(alone, tmp_path):
    done = v2m(alone, "check")
    assert (done.returncode, done.stdout) == (0, "The settings are right.\n")
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('[audio]\npolcy = "armed"\n')
    done = v2m(alone, "check", wrong)
    assert done.returncode == 78
    assert "did you mean audio.policy?" in done.stderr
    assert '2 | polcy = "armed"\n  |         ^ line 2, column 9' in done.stderr
    data = json.loads(v2m(alone, "check", wrong, "--json").stdout)["data"]
    assert (data["ok"], data["file"], data["line"], data["column"]) == (False, str(wrong), 2, 9)


def test_reload(settings):
    done = v2m(settings, "reload")
    assert done.returncode == (0 if has_daemon(settings) else 69)


# --- the editor --------------------------------------------------------------------------------------------


def editor(folder, *texts):
    """Return an editor that writes these texts, one each time it is called."""
    for number, text in enumerate(texts):
        (folder / f"text{number}").write_text(text)
    script = folder / "editor"
    script.write_text(
        f'#!/bin/sh\nn=$(cat "{folder}/n" 2>/dev/null || echo 0)\necho $((n + 1)) > "{folder}/n"\n'
        f'[ "$1" = -w ] || exit 3\ncp "{folder}/text$n" "$2"\n'
    )
    script.chmod(0o755)
    return f"'{script}' -w"


def edited(settings, command, **kwargs):
    return v2m(settings, "edit", env={**settings.home.variables, "EDITOR": command}, **kwargs)


def test_edit_saves_what_is_right(settings, tmp_path):
    done = edited(settings, editor(tmp_path, FILE.replace("threads = 2", "threads = 4")))
    assert done.returncode == 0, done.stderr
    assert "threads = 4" in settings.path.read_text()
    assert settings.path.with_name("config.toml.previous").read_text() == FILE
    if has_daemon(settings):
        assert settings.of("transcription.threads")["value"] == 4


def test_edit_saves_nothing_that_is_wrong_where_nobody_can_be_asked(alone, tmp_path):
    done = edited(alone, editor(tmp_path, FILE + "x = 1\n"), stdin=-3)
    assert done.returncode == 78
    assert "there is no setting transcription.x" in done.stderr
    assert alone.path.read_text() == FILE
    assert not [path for path in alone.path.parent.iterdir() if path.name.startswith(".config")]


def test_edit_offers_to_edit_again_or_to_go_back(alone, tmp_path):
    command = editor(tmp_path, FILE + "x = 1\n", FILE + "y = 1\n", FILE.replace("threads = 2", "threads = 5"))
    for answers, threads in [("y\ny\n", "5"), ("y\nn\n", "2")]:
        alone.write(FILE)
        (tmp_path / "n").unlink(missing_ok=True)
        assert on_a_terminal(alone, command, answers) == (0 if threads == "5" else 78)
        assert f"threads = {threads}" in alone.path.read_text()


def busy_editor(folder):
    """Return an editor beside which somebody else changes the file."""
    script = folder / "busy"
    script.write_text(
        f'#!/bin/sh\n"{sys.executable}" -m v2m.main config set audio.tail_ms 77\necho "# edited" >> "$1"\n'
    )
    script.chmod(0o755)
    return f"'{script}'"


def test_edit_does_not_undo_what_was_set_meanwhile_and_keeps_the_edited_text(alone, tmp_path):
    done = edited(alone, busy_editor(tmp_path), stdin=-3)
    assert (done.returncode, "was changed meanwhile" in done.stderr) == (75, True)
    assert "tail_ms = 77" in alone.path.read_text()
    (kept,) = alone.path.parent.glob("config.toml.edited-*")
    assert f"Your text is in {kept}." in done.stderr
    assert kept.read_text() == FILE + "# edited\n"
    kept.unlink()


def test_edit_asks_before_it_undoes_what_was_set_meanwhile(alone, tmp_path):
    for answer, text in [("y\n", FILE + "# edited\n"), ("n\n", FILE.replace("[audio]\n", "[audio]\ntail_ms = 77\n"))]:
        alone.write(FILE)
        on_a_terminal(alone, busy_editor(tmp_path), answer, question="Overwrite it")
        assert sorted(alone.path.read_text()) == sorted(text)
        kept = list(alone.path.parent.glob("config.toml.edited-*"))
        assert len(kept) == (answer == "n\n")
    kept[0].unlink()


def on_a_terminal(settings, command, answers, question="Edit again?"):
    """Run `v2m config edit` where somebody can be asked; return the exit status."""
    pid, terminal = pty.fork()
    if not pid:
        environment = {**settings.home.variables, "EDITOR": command}
        os.execve(sys.executable, [sys.executable, "-m", "v2m.main", "config", "edit"], environment)
    said = ""
    for answer in answers.splitlines(keepends=True):
        asked = said.count(question)
        while said.count(question) == asked:
            said += os.read(terminal, 4096).decode()
        os.write(terminal, answer.encode())
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:
        pass
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status)


def test_edit_without_a_change_and_without_an_editor(alone, tmp_path):
    assert "Nothing was changed." in edited(alone, editor(tmp_path, FILE)).stderr
    done = edited(alone, str(tmp_path / "missing"))
    assert (done.returncode, "cannot be started" in done.stderr) == (64, True)
    assert alone.path.read_text() == FILE


def test_edit_starts_nothing_that_would_draw_where_there_is_no_terminal(alone, tmp_path):
    vi = tmp_path / "vi"
    vi.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    vi.chmod(0o755)
    variables = alone.home.variables
    done = v2m(alone, "edit", env={**variables, "PATH": f"{tmp_path}:{variables['PATH']}"}, stdin=-3)
    assert (done.returncode, done.stdout, "EDITOR" in done.stderr) == (64, "", True)
    assert not (tmp_path / "started").exists()
    assert [path.name for path in alone.path.parent.iterdir() if path.name.startswith(".")] == []


def test_a_first_file_is_made_without_a_daemon():
    with new_home() as home:
        settings = SettingsFile(home)
        assert v2m(settings, "set", "audio.min_recording_ms", "123").returncode == 0
        assert settings.path.read_text() == "[audio]\nmin_recording_ms = 123\n"
        assert stat.S_IMODE(settings.path.stat().st_mode) == 0o600
        assert not settings.path.with_name("config.toml.previous").exists()


def test_a_daemon_with_a_file_of_its_own_is_the_one_that_is_changed(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text(FILE)
    with new_home() as home, running_daemon(home, "--config", own):
        settings = SettingsFile(home)
        assert v2m(settings, "path").stdout == f"{own}\n"
        assert v2m(settings, "set", "output.file", "/tmp/x").returncode == 0
        assert 'file = "/tmp/x"' in own.read_text()
        assert not settings.path.exists()
        wait_until(lambda: settings.of("output.file")["value"] == "/tmp/x", what="the daemon")
