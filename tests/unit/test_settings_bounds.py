"""What settings refuse without repeating it: keys in the wrong place, texts without end, files that are none."""

import os
import subprocess
import sys

import pytest

from v2m._settings_values import MAX_ENTRIES, MAX_TEXT
from v2m.config import load_settings
from v2m.core.di.settings import SettingsStore
from v2m.domain.errors import ConfigError, StateError, StorageError
from v2m.infrastructure.settings.file import read_text
from v2m.infrastructure.settings.toml_edit import edited
from v2m.utils.files import MAX_BYTES, read_plain

pytestmark = pytest.mark.unit

KEY = "gsk_0123456789"


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The user's settings file; its folder is there."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "v2m/config.toml"
    path.parent.mkdir()
    return path


def refused(text, file):
    """Return all that a refusal of the file says."""
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    return f"{caught.value} {caught.value.hint or ''}"


# --- what is not repeated ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cloud.api_key_cmd", f'"{KEY}"'),
        ("cloud.api_key_cmd", f'["{KEY}\\u0007"]'),
        ("cloud.api_key_file", f'"{KEY}"'),
        ("cloud.ca_file", f'"{KEY}"'),
        ("cloud.upload_while_speaking", f'"{KEY}"'),
        ("transcription.openai.base_url", f'"https://me:{KEY}@corp.example/v1"'),
        ("transcription.openai.base_url", f'"https://corp.example/v1?key={KEY}"'),
        ("transcription.openai.base_url", f'["{KEY}"]'),
        ("transcription.script", f'"{KEY}"'),
        ("vocabulary.words", f'"{KEY}"'),
        ("vocabulary.words", f'["a\\n{KEY}"]'),
        ("vocabulary.words", f'["good", "= {KEY}", "{KEY}"]'),
        ("vocabulary.words", f'["{KEY} {"x" * 250}"]'),
        ("policy", f'"{KEY}"'),
        ("policy", f'[{{title = {{a = "{KEY}"}}, casing = "lower"}}]'),
        ("policy", f'[{{title = "{KEY}\\u0007", casing = "lower"}}]'),
    ],
)
def test_a_refusal_names_the_key_and_never_what_may_be_secret(file, key, value):
    said = refused(f"{key} = {value}\n", file)
    assert f"{file}, line 1: " in said
    assert key.rpartition(".")[2] in said or "title" in said
    assert KEY not in said
    assert "corp.example" not in said


def test_a_change_repeats_as_little(file):
    with pytest.raises(ConfigError) as caught:
        SettingsStore({}).change({"cloud.api_key_cmd": KEY}, guarded=False)
    assert str(caught.value) == "cloud.api_key_cmd must be a list of texts."
    assert not file.exists()


# --- how much ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("audio.device", "x" * (MAX_TEXT + 1)),
        ("transcription.whisper.model", "a\0b"),
        ("transcription.whisper.model", "a\x1b[2J"),
        ("audio.device", "\ud800"),
        ("vocabulary.words", ["a"] * (MAX_ENTRIES + 1)),
        ("vocabulary.words", ["a" * 100] * 1600),
        ("transcription.script", ["\udfff"]),
        ("cloud.api_key_cmd", ["x" * (MAX_TEXT + 1)]),
        ("output.file", "/" + "x" * MAX_TEXT),
    ],
)
def test_what_is_too_much_or_cannot_be_seen_is_refused_by_its_key(file, key, value):
    file.write_text("# mine\n")
    with pytest.raises(ConfigError) as caught:
        SettingsStore({}).change({key: value}, guarded=False)
    assert f"the new value: {key} must be a " in str(caught.value)
    assert len(str(caught.value)) < 300
    assert file.read_text() == "# mine\n"


def test_as_much_as_anybody_needs_is_taken(file):
    words = [f"Wörterbuch {number}" for number in range(MAX_ENTRIES)]
    script = ["two\nlines\t" * 1000]
    changes = {"vocabulary.words": words, "transcription.script": script, "audio.device": "ü" * MAX_TEXT}
    settings = SettingsStore({}).change(changes, guarded=False)
    assert settings.vocabulary.words == tuple(words)
    assert settings.transcription.script == tuple(script)
    assert load_settings().audio.device == "ü" * MAX_TEXT


# --- files that are none -------------------------------------------------------------------------------------

READ = "import sys; from pathlib import Path; from v2m.utils.files import read_plain; read_plain(Path(sys.argv[1]))"


@pytest.mark.parametrize(("kind", "why"), [("fifo", "it is no plain file"), ("zero", "it is no plain file")])
def test_reading_a_pipe_or_a_device_ends_at_once(tmp_path, kind, why):
    path = tmp_path / kind
    os.mkfifo(path) if kind == "fifo" else path.symlink_to("/dev/zero")
    done = subprocess.run([sys.executable, "-c", READ, path], stderr=subprocess.PIPE, text=True, timeout=15)
    assert why in done.stderr


def test_a_file_of_the_greatest_size_is_read_and_no_greater_one(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(MAX_BYTES))
    assert read_plain(path) == bytes(MAX_BYTES)
    path.write_bytes(bytes(MAX_BYTES + 1))
    with pytest.raises(OSError, match="longer than 1048576 bytes"):
        read_plain(path)
    with pytest.raises(StorageError, match="cannot be read: it is longer"):
        read_text(path)


@pytest.mark.parametrize("name", ["config.toml", ".env"])
@pytest.mark.parametrize("kind", ["device", "folder", "giant"])
def test_settings_that_are_no_plain_file_are_refused(file, name, kind):
    path = file.with_name(name)
    match kind:
        case "device":
            path.symlink_to("/dev/null")
        case "folder":
            path.mkdir()
        case "giant":
            path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="cannot be read: "):
        load_settings()


# --- what is written -----------------------------------------------------------------------------------------


def test_a_byte_order_mark_and_line_ends_stay(file):
    text = '\ufeff# mine\r\n[audio]\r\ntail_ms = 1  # short\r\n\r\n[output]\r\nmethod = ["file",\r\n  "xtest"]\r\n'
    file.write_bytes(text.encode())
    changes = {"audio.tail_ms": 2, "history.retention_days": 9, "transcription.vad.threshold": 0.4}
    SettingsStore({}).change(changes, guarded=True)
    written = file.read_bytes().decode()
    assert written.startswith(text.replace("tail_ms = 1", "tail_ms = 2"))
    assert written.count("\n") == written.count("\r\n") > text.count("\n")
    assert load_settings().history.retention_days == 9


def test_only_line_ends_that_are_all_of_windows_become_so():
    assert edited("# a\n# b\r\n", {"audio.tail_ms": 1}) == "# a\n# b\r\n\n[audio]\ntail_ms = 1\n"


def test_a_file_that_was_changed_meanwhile_is_not_replaced(file):
    file.write_text("# another\n")
    with pytest.raises(StateError, match="was changed meanwhile"):
        SettingsStore({}).replace("# mine\n", "# before\n")
    assert file.read_text() == "# another\n"
    SettingsStore({}).replace("# mine\n", "# another\n")
    assert file.read_text() == "# mine\n"
