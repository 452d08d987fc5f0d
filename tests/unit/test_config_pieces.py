"""What a settings file becomes when it is changed, what words mean, who may change what, where a fault is."""

import re
import tomllib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2m._settings_change import is_live, is_writable, names_a_folder
from v2m._settings_view import plain, value_of, values_of
from v2m.config import describe, kinds, load_settings, packaged_values
from v2m.domain.errors import ConfigError
from v2m.infrastructure.settings.toml_edit import edited
from v2m.local._config_said import excerpt, place

pytestmark = pytest.mark.unit

# --- changing a text ----------------------------------------------------------------------------------------

MINE = """\
# my settings
audio.device = "a"  # the good one

[transcription.vad]  # voices
threshold = 0.4

[output]
method = ["xtest",
          "clipboard"]   # in this order
# the end
"""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"audio.device": "b"}, MINE.replace('"a"', '"b"')),
        ({"audio.device": None}, MINE.replace('audio.device = "a"  # the good one\n', "")),
        ({"transcription.vad.threshold": 0.6}, MINE.replace("0.4", "0.6")),
        ({"output.method": "auto"}, MINE.replace('["xtest",\n          "clipboard"]', '"auto"')),
        ({"history.enabled": None}, MINE),
        ({"transcription.vad.release_threshold": 0.2}, MINE.replace("0.4\n", "0.4\nrelease_threshold = 0.2\n")),
    ],
)
def test_only_what_is_meant_changes(changes, expected):
    assert edited(MINE, changes) == expected


def test_a_table_above_one_that_is_there_doubles_no_comment():
    text = edited(MINE, {"transcription.threads": 2})
    assert text.count("# voices") == 1
    assert tomllib.loads(text)["transcription"] == {"threads": 2, "vad": {"threshold": 0.4}}


@pytest.mark.parametrize("text", ["[audio", "a = 1\na = 2", "audio = 1"])
def test_what_is_no_settings_file_is_refused(text):
    with pytest.raises(ConfigError):
        edited(text, {"audio.device": "x"})


NAMES = st.sampled_from(["audio", "transcription", "vad", "threshold", "device", "1", "x y", "é"])
SCALARS = st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = SCALARS | st.lists(st.text(max_size=5), max_size=3)
COMMENTS = st.sampled_from(["", " # why", "  # [audio]", ' # "x" = 1'])
KEYS = st.sampled_from(
    ["audio.device", "audio.policy", "output.file", "transcription.vad.threshold", "profile.1.language"]
)


@st.composite
def files(draw):
    """A settings file as people write them: tables in any order, dotted keys, inline tables, comments."""
    lines, seen = [], set()
    for key in draw(st.lists(KEYS, unique=True)):
        table, _, name = key.rpartition(".")
        style = draw(st.sampled_from(["table", "dotted", "inline"])) if not seen else "table"
        comment = draw(COMMENTS)
        if style == "table" and table not in seen:
            lines.append(f"\n[{table}]{comment}\n{name} = {draw(st.integers(0, 9))}{draw(COMMENTS)}")
        elif style == "dotted":
            lines.append(f"{key} = {draw(st.integers(0, 9))}{comment}")
        elif style == "inline":
            lines.append(f"{table} = {{{name} = 1}}{comment}")
        seen.add(table)
    text = "\n".join(lines) + draw(st.sampled_from(["", "\n", "\n\n# end"]))
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return ""
    return text


def flatten(table, above=""):
    """Yield what a tree sets; an empty table sets nothing."""
    for name, value in table.items():
        yield from flatten(value, f"{above}{name}.") if isinstance(value, dict) else [(f"{above}{name}", value)]


def put(table, key, value):
    *above, name = key.split(".")
    for step in above:
        table = table.setdefault(step, {}) if value is not None else table.get(step, {})
    if value is None:
        table.pop(name, None)
    else:
        table[name] = value


@given(files(), st.dictionaries(KEYS, VALUES | st.none(), min_size=1))
def test_the_change_is_in_and_nothing_else(text, changes):
    wanted = tomllib.loads(text)
    for key, value in changes.items():
        put(wanted, key, value)
    after = edited(text, changes)
    assert dict(flatten(tomllib.loads(after))) == dict(flatten(wanted))
    kept = [comment for comment in re.findall(r"# (?:why|end)", text) if None not in changes.values()]
    assert all(after.count(comment) >= 1 for comment in kept)


# --- words and values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "word", "value"),
    [
        ("transcription.threads", "3", 3),
        ("transcription.threads", "three", "three"),
        ("transcription.vad.threshold", "1", 1),
        ("notifications.sounds", "true", True),
        ("notifications.sounds", "yes", "yes"),
        ("audio.device", "USB mic #1", "USB mic #1"),
        ("audio.device", "12", "12"),
        ("audio.device", '"12"', "12"),
        ("audio.device", "", ""),
        ("audio.device", "a\nb", "a\nb"),
        ("output.method", "wtype", "wtype"),
        ("output.method", '["wtype", "clipboard"]', ["wtype", "clipboard"]),
        ("output.exclude", "wtype, xdotool", ["wtype", "xdotool"]),
        ("output.exclude", "[]", []),
        ("vocabulary.words", "GitHub", ["GitHub"]),
        ("history.keep_audio", "2h", "2h"),
        ("cloud.api_key_cmd", '["pass", "show"]', ["pass", "show"]),
        ("policy", '[{app = "foot"}]', [{"app": "foot"}]),
        ("policy", "x", "x"),
    ],
)
def test_words_of_the_command_line_mean_values(key, word, value):
    found = value_of(word, kinds()[key])
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (59, "59s"), (60, "1m"), (5400, "90m"), (3600, "1h"), (7 * 86_400, "7d")]
)
def test_durations_are_told_as_they_are_written(value, text):
    assert plain(timedelta(seconds=value)) == text


def test_defaults_are_told_as_they_stand_in_the_package():
    told = {key: plain(value) for key, value in values_of(load_settings()).items()}
    packaged = packaged_values()
    for doc in describe():
        if doc.key != "policy" and load_settings().sources[doc.key] == "default":
            assert told[doc.key] == packaged[doc.key], doc.key


# --- who may change what ------------------------------------------------------------------------------------


def test_no_path_command_address_secret_or_rule_is_writable_and_everything_else_is():
    guarded = {doc.key for doc in describe() if not doc.writable}
    for doc in describe():
        last = doc.key.rpartition(".")[2]
        of_concern = doc.type in ("path", "address", "secret", "list of rules") or (
            doc.type in ("text", "list", "name or list")
            and any(word in last.split("_") for word in ("cmd", "command", "script", "url", "path", "file", "dir"))
        )
        assert (doc.key in guarded) == of_concern, doc.key
    assert {
        "audio.wav_path",
        "transcription.model_dir",
        "transcription.script",
        "transcription.openai.base_url",
        "cloud.api_key_cmd",
        "cloud.api_key_file",
        "cloud.ca_file",
        "output.file",
        "policy",
        "paths.state_dir",
        "paths.spool_dir",
        "gemini_api_key",
        "groq_api_key",
        "openai_api_key",
    } <= guarded
    assert is_writable("transcription.script_delay_s", kinds()["transcription.script_delay_s"])


@pytest.mark.parametrize("value", ["/tmp/m", "~/m", "./m", "../m", "a/b", ".hidden"])
def test_a_model_is_a_name_over_the_socket(value):
    assert names_a_folder("transcription.whisper.model", value)
    assert not names_a_folder("audio.device", value)
    assert not names_a_folder("transcription.whisper.model", "large-v3-turbo")


def test_what_needs_a_restart_is_known():
    restart = {doc.key for doc in describe() if not doc.live}
    assert {"history.enabled", "paths.state_dir", "daemon.max_connections", "output.preview"} <= restart
    assert is_live("transcription.whisper.model")


# --- where a fault is ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "text", "where"),
    [
        ("/a b/c.toml, line 2: x", '[audio]\npolcy = "armed"\n', ("/a b/c.toml", 2, 9)),
        ("/c.toml, line 2, column 10: Invalid value.", "[audio]\ndevice = \n", ("/c.toml", 2, 10)),
        ("/c.toml, line 1: x", "  [[policy]]\n", ("/c.toml", 1, 3)),
        ("/c.toml, line 9: x", "", ("/c.toml", 9, 1)),
        ("environment variable V2M_X: y", "", ("", None, None)),
    ],
)
def test_the_place_of_a_fault(sentence, text, where):
    found = place(sentence, text)
    assert (found.file, found.line, found.column) == where
    assert bool(excerpt(found)) == (found.line is not None)


def test_an_excerpt_cannot_command_the_terminal():
    assert "\x1b" not in excerpt(place("/c.toml, line 1: x", "a = \x1b[2J\n"))
