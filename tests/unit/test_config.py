"""Settings: which layer wins, what is refused and with which sentence, where secrets may stand."""

import contextlib
import os
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import v2m.config
from v2m.config import Settings, describe, load_settings, local_dotenv
from v2m.domain.errors import ConfigError

pytestmark = pytest.mark.unit

SECRET = "sk-very-secret-0123456789"


class Home:
    """An empty home with a working directory of its own."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "home" / ".config" / "v2m"
        self.file = self.folder / "config.toml"
        self.dotenv = self.folder / ".env"
        self.local_dotenv = root / "cwd" / ".env"

    def toml(self, text: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file.write_text(text)
        return self.file

    def env_file(self, text: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.dotenv.write_text(text)
        return self.dotenv


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in os.environ:
        if name.startswith(("V2M_", "XDG_")) or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return Home(tmp_path)


def refusal(**arguments: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        load_settings(**arguments)
    message = str(refused.value)
    assert "\n" not in message
    assert "pydantic" not in message
    assert message.endswith((".", "?"))
    return message


# --- defaults and layers ----------------------------------------------------------------------------


def test_an_empty_home_has_the_defaults_of_the_package(home: Home) -> None:
    settings = load_settings()
    packaged = tomllib.loads(Path(v2m.config.__file__).with_name("config.toml").read_text())
    assert settings.audio.model_dump() == packaged["audio"]
    assert settings.output.method == "auto"
    assert settings.history.keep_audio == timedelta(hours=1)
    assert (settings.history.keep_audio_s, settings.history.keep_audio_trouble_s) == (3600.0, 604_800.0)
    assert settings.gemini_api_key is None
    assert set(settings.sources.values()) == {"default"}
    assert not home.folder.exists()


def test_the_packaged_file_is_the_only_place_of_defaults(home: Home) -> None:
    def leaves(model: Any) -> Any:
        for name, field in model.model_fields.items():
            if hasattr(field.annotation, "model_fields"):
                yield from leaves(field.annotation)
            else:
                yield name, field

    with_default = [name for name, field in leaves(Settings) if not field.is_required()]
    assert with_default == []


def test_every_setting_stands_in_the_packaged_file_and_the_other_way_round(home: Home) -> None:
    packaged = tomllib.loads(Path(v2m.config.__file__).with_name("config.toml").read_text())

    def keys(table: dict[str, Any], above: str = "") -> Any:
        for name, value in table.items():
            yield from keys(value, f"{above}{name}.") if isinstance(value, dict) else [f"{above}{name}"]

    documented = {doc.key for doc in describe() if doc.type != "secret"}
    assert documented == set(keys(packaged))


def test_each_layer_beats_the_one_below_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def now() -> tuple[int, str]:
        settings = load_settings()
        return settings.transcription.threads, settings.sources["transcription.threads"]

    home.toml("[transcription]\nthreads = 2\n")
    assert now() == (2, str(home.file))
    home.local_dotenv.write_text("V2M_TRANSCRIPTION__THREADS=3\n")
    assert now() == (3, str(home.local_dotenv))
    home.env_file("V2M_TRANSCRIPTION__THREADS=4\n")
    assert now() == (4, str(home.dotenv))
    monkeypatch.setenv("V2M_TRANSCRIPTION__THREADS", "5")
    assert now() == (5, "environment")
    for arguments in ({"transcription.threads": 6}, {"transcription": {"threads": "6"}}):
        settings = load_settings(arguments)
        assert settings.transcription.threads == 6
        assert settings.sources["transcription.threads"] == "arguments"


def test_xdg_config_home_is_followed_and_a_relative_one_is_ignored(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "else where" / "v2m"
    elsewhere.mkdir(parents=True)
    (elsewhere / "config.toml").write_text("[audio]\ntail_ms = 7\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(elsewhere.parent))
    assert load_settings().audio.tail_ms == 7
    home.toml("[audio]\ntail_ms = 8\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert load_settings().audio.tail_ms == 8


def test_another_file_can_be_named_and_must_exist(home: Home, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    home.toml("[audio]\ntail_ms = 8\n")
    assert f"{other} cannot be read" in refusal(config_file=other)
    other.write_text("[audio]\ntail_ms = 9\n")
    assert load_settings(config_file=other).audio.tail_ms == 9


def test_an_argument_that_was_not_given_changes_nothing(home: Home) -> None:
    assert load_settings({"audio.device": None}).sources["audio.device"] == "default"


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("V2M_OUTPUT__METHOD", "wtype, clipboard", "method", ("wtype", "clipboard")),
        ("V2M_OUTPUT__METHOD", "clipboard", "method", ("clipboard",)),
        ("V2M_OUTPUT__METHOD", "auto", "method", "auto"),
        ("V2M_OUTPUT__TRAILING_SPACE", "true", "trailing_space", True),
        ("V2M_TRANSCRIPTION__SCRIPT", "one text, with a comma", "script", ("one text, with a comma",)),
        ("V2M_TRANSCRIPTION__SCRIPT", '["one", "two"]', "script", ("one", "two")),
        ("V2M_TRANSCRIPTION__FALLBACK", "moonshine, openai", "fallback", ("moonshine", "openai")),
        ("V2M_TRANSCRIPTION__LANGUAGES", '["en", "de-CH"]', "languages", ("en", "de-CH")),
        ("V2M_TRANSCRIPTION__WHISPER__TEMPERATURE", "0, 0.5", "temperature", (0.0, 0.5)),
        ("V2M_TRANSCRIPTION__WHISPER__TEMPERATURE", "[0.1]", "temperature", (0.1,)),
        ("V2M_CLOUD__API_KEY_CMD", '["pass", "show", "groq"]', "api_key_cmd", ("pass", "show", "groq")),
        ("V2M_AUDIO__RESAMPLE_QUALITY", "10", "resample_quality", 10),
        ("V2M_AUDIO__DEVICE", "", "device", ""),
        ("V2M_AUDIO__WAV_PATH", "~/a b.wav", "wav_path", "{home}/a b.wav"),
        ("V2M_TRANSCRIPTION__VAD__THRESHOLD", "0.7", "threshold", 0.7),
        ("V2M_HISTORY__KEEP_AUDIO", "0", "keep_audio", timedelta(0)),
    ],
)
def test_texts_of_variables_become_values(
    home: Home, monkeypatch: pytest.MonkeyPatch, variable: str, text: str, key: str, value: object
) -> None:
    monkeypatch.setenv(variable, text)
    found: Any = load_settings()
    for part in variable.removeprefix("V2M_").lower().split("__"):
        found = getattr(found, part)
    expected = value.format(home=os.environ["HOME"]) if isinstance(value, str) else value
    assert (key, found) == (key, expected)


def test_lists_and_inline_tables_of_toml_become_values(home: Home) -> None:
    home.toml('output.method = ["paste", "clipboard"]\n[transcription]\nvad = { threshold = 1 }\nscript = ["a"]\n')
    settings = load_settings()
    assert settings.output.method == ("paste", "clipboard")
    assert (settings.transcription.vad.threshold, settings.transcription.vad.min_silence_ms) == (1.0, 600)
    assert settings.transcription.script == ("a",)


def test_one_number_is_a_list_of_one(home: Home) -> None:
    home.toml("[transcription.whisper]\ntemperature = 0\n")
    assert load_settings().transcription.whisper.temperature == (0.0,)


def test_profile_slots_are_tables_by_number(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.toml('[profile.2]\nlanguage = "de"\n')
    monkeypatch.setenv("V2M_PROFILE__9__LANGUAGE", "es")
    assert load_settings().profile.languages() == {2: "de", 9: "es"}


def test_empty_tables_and_a_byte_order_mark_are_harmless(home: Home) -> None:
    home.toml("\ufeff[audio]\n[transcription]\n[transcription.vad]\n")
    assert load_settings().audio.backend == "auto"


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90s", 90), ("15m", 900), ("1h", 3600), ("7d", 604_800), (" 2h ", 7200)]
)
def test_durations(home: Home, text: str, seconds: int) -> None:
    home.toml(f'[history]\nkeep_audio = "{text}"\n')
    assert load_settings().history.keep_audio_s == seconds


def test_files_lie_where_the_paths_say(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "home" / ".local" / "state" / "v2m"
    assert (load_settings().paths.state(), load_settings().paths.spool()) == (state, state / "spool")
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    assert load_settings().paths.spool() == Path("/s/v2m/spool")
    paths = load_settings({"paths.state_dir": "/x"}).paths
    assert (paths.state(), paths.spool()) == (Path("/x"), Path("/x/spool"))
    assert load_settings({"paths.spool_dir": "~/s"}).paths.spool() == tmp_path / "home" / "s"


def test_settings_do_not_change(home: Home) -> None:
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.audio = settings.audio
    with pytest.raises(ValueError, match="frozen"):
        settings.audio.tail_ms = 3


# --- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("[audio]\n\nbakend = 'wav'\n", 3, "there is no setting audio.bakend; did you mean audio.backend?"),
        ("[audoi]\nbackend = 'wav'\n", 2, "there is no setting audoi.backend; did you mean audio.backend?"),
        ("[audio]\nvad.threshold = 1\n", 2, "there is no setting audio.vad.threshold; did you mean transcription.vad"),
        ("threads = 1\n", 1, "there is no setting threads; did you mean transcription.threads?"),
        ("zzz = 1\n", 1, "there is no setting zzz."),
        ("[zzz]\n", 1, "there is no setting zzz."),
        ("# a\naudio = 3\n", 2, "audio is a table: write [audio] and its keys below."),
        ("[audio.backend]\nx = 1\n", 2, "there is no setting audio.backend.x; did you mean audio.backend?"),
        ("[audio]\nbackend = 'pipewyre'\n", 2, "must be auto, pipewire, portaudio, parec or wav, not 'pipewyre'; did"),
        ("[audio]\ntail_ms = 301\n", 2, "audio.tail_ms must be a whole number from 0 to 300, not 301."),
        ("[audio]\ntail_ms = '3'\n", 2, "audio.tail_ms must be a whole number from 0 to 300, not '3'."),
        ("[audio]\ntail_ms = 1.5\n", 2, "audio.tail_ms must be a whole number from 0 to 300, not 1.5."),
        ("[audio]\ntail_ms = true\n", 2, "audio.tail_ms must be a whole number from 0 to 300, not True."),
        ("[audio]\nresample_quality = 5\n", 2, "audio.resample_quality must be 4, 7 or 10, not 5."),
        ("[audio]\nwav_path = 'a.wav'\n", 2, "audio.wav_path must be an absolute path, or empty, not 'a.wav'."),
        ("[audio]\ndevice = 3\n", 2, "audio.device must be a text, not 3."),
        ("[notifications]\nsounds = 'yes'\n", 2, "notifications.sounds must be true or false, not 'yes'."),
        ("[notifications]\nexpire_time_ms = 499\n", 2, "must be a whole number from 500 to 30000, not 499."),
        ("[history]\nkeep_audio = '1 hour'\n", 2, "history.keep_audio must be a duration such as 90s, 15m, 1h or 7d"),
        ("[history]\nkeep_audio = 3600\n", 2, "history.keep_audio must be a duration such as 90s, 15m, 1h or 7d, or 0"),
        ("[history]\nretention_days = 0\n", 2, "history.retention_days must be a whole number from 1 to 36500, not 0."),
        ("[transcription.vad]\nthreshold = nan\n", 2, "threshold must be a number from 0 to 1, not nan."),
        ("[transcription.vad]\nrelease_threshold = 0.6\n", 2, "must not be above transcription.vad.threshold"),
        ("[transcription]\nlanguage = 'English'\n", 2, "must be auto or a language tag such as en or pt-BR, not 'Eng"),
        (
            "[transcription]\nlanguages = ['English']\n",
            2,
            "must be a list of language tags such as en or pt-BR, not ['",
        ),
        ("[transcription]\nfallback = ['wisper']\n", 2, "not ['wisper']; did you mean whisper?"),
        ("[transcription.whisper]\ntemperature = []\n", 2, "must be a number from 0 to 1, or a list of such, not []."),
        ("[transcription.whisper]\ntemperature = [2]\n", 2, "must be a number from 0 to 1, or a list of such, not [2]"),
        ("[transcription.openai]\nbase_url = 'ftp://x'\n", 2, "must be an address such as https://api.example.com/v1"),
        ("[transcription.openai]\nbase_url = 'https://u:p@x'\n", 2, "must be an address such as https://api.exa"),
        ("[transcription.openai]\nmodel = ''\npreset = 'custom'\n", 3, "needs transcription.openai.base_url"),
        ("[vocabulary]\nwords = ['= git hub']\n", 2, "names no word; write a word"),
        ("[audio]\npreroll_ms = 200\n", 2, "audio.preroll_ms needs audio.policy armed"),
        ("[profile.10]\nlanguage = 'de'\n", 2, "there is no setting profile.10.language; did you mean profile.1.lang"),
        ("[profile.1]\nlanguage = 'German'\n", 2, "must be auto, a language tag such as en or pt-BR, or empty"),
        ("[output]\nmethod = ['wtyp', 'paste']\n", 2, "not ['wtyp', 'paste']; did you mean wtype?"),
        ("[output]\nmethod = []\n", 2, "output.method must be auto, or a list of input-method,"),
        ("[output]\nmethod = ['auto']\n", 2, "output.method must be auto, or a list of input-method,"),
        ("[daemon]\nlog_level = 'INFO'\n", 2, "daemon.log_level must be debug, info, warning or error, not 'INFO'"),
        ("[transcription.whisper]\naudio_device_index = 1\n", 2, "no longer used: its successor is audio.device"),
        ("[gemini]\napi_key = 'x'\n", 2, "gemini.api_key is no longer used: its successor is GEMINI_API_KEY"),
        ("gemini_api_key = 'x'\n", 1, "gemini_api_key looks like a secret"),
        ("GROQ_API_KEY = 'x'\n", 1, "GROQ_API_KEY looks like a secret"),
        ("[llm.openai]\napi_key = 'x'\n", 2, "llm.openai.api_key looks like a secret"),
        ("[audio]\ndevice = '${MIC}'\n", 2, "audio.device holds a literal ${…}, which nothing replaces."),
        ("[audio\n", 1, ""),
        ("[audio]\ndevice = \n", 2, "Invalid value"),
        ("[audio]\ndevice = ''\ndevice = ''\n", 3, "Cannot overwrite a value"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(home: Home, text: str, line: int, sentence: str) -> None:
    path = home.toml(text)
    message = refusal()
    assert message.startswith(f"{path}, line {line}")
    assert sentence in message


def test_an_unknown_key_comes_with_those_there_are(home: Home) -> None:
    home.toml("[notifications]\nvolume = 3\n")
    with pytest.raises(ConfigError) as refused:
        load_settings()
    assert refused.value.hint == "[notifications] takes enabled, expire_time_ms, auto_dismiss, sounds."


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("V2M_AUDIO__BAKEND", "wav", "there is no setting V2M_AUDIO__BAKEND; did you mean V2M_AUDIO__BACKEND?"),
        ("V2M_AUDIO_BACKEND", "wav", "there is no setting V2M_AUDIO_BACKEND; did you mean V2M_AUDIO__BACKEND?"),
        ("V2M_SOKET", "/x", "there is no setting V2M_SOKET; did you mean V2M_SOCKET?"),
        ("V2M_ZZZ", "1", "there is no setting V2M_ZZZ"),
        ("V2M_AUDIO", "{}", "there is no setting V2M_AUDIO"),
        ("V2M_AUDIO__TAIL_MS", "many", "environment variable V2M_AUDIO__TAIL_MS: audio.tail_ms must be a whole"),
        ("V2M_AUDIO__TAIL_MS", "", "environment variable V2M_AUDIO__TAIL_MS: audio.tail_ms must be a whole"),
        ("V2M_AUDIO__RESAMPLE_QUALITY", "best", "audio.resample_quality must be 4, 7 or 10, not 'best'."),
        ("V2M_OUTPUT__METHOD", "wtyp", "did you mean wtype?"),
        ("V2M_OUTPUT__METHOD", "", "output.method must be auto, or a list"),
        ("V2M_OUTPUT__TRAILING_SPACE", "maybe", "must be true or false, not 'maybe'."),
        ("V2M_TRANSCRIPTION__SCRIPT", "[broken", "transcription.script must be one text, or a JSON list of texts"),
        ("V2M_TRANSCRIPTION__SCRIPT", "[1]", "transcription.script must be a list of texts"),
        ("V2M_TRANSCRIPTION__WHISPER__AUDIO_DEVICE_INDEX", "0", "its successor is audio.device"),
    ],
)
def test_a_mistake_in_a_variable_is_named(
    home: Home, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert sentence in refusal()


@pytest.mark.parametrize("name", ["V2M_SOCKET", "V2M_NO_NATIVE", "V2M_NO_CAPTURE", "V2M_SPEECH_DIR", "V2M_PW_DIR"])
def test_variables_that_are_no_settings_pass(home: Home, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    load_settings()


def test_a_mistake_in_a_dotenv_file_is_named_with_its_line(home: Home) -> None:
    path = home.env_file("# keys\nOTHER=1\nexport V2M_AUDIO__TAIL_MS=many\n")
    assert refusal().startswith(f"{path}, line 3: audio.tail_ms must be")
    home.env_file("V2M_AUDIO__TAYL_MS=1\n")
    assert refusal() == f"{path}: there is no setting V2M_AUDIO__TAYL_MS; did you mean V2M_AUDIO__TAIL_MS?"


def test_keys_of_other_programs_pass_in_a_dotenv_file(home: Home) -> None:
    home.local_dotenv.write_text("DATABASE_URL=x\nBROKEN\nAUDIO__TAIL_MS=nonsense\nOPENAI_API_KEY=y\n")
    assert load_settings().audio.tail_ms == 300


# --- .env of the working directory ------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "V2M_CLOUD__API_KEY_CMD=id",
        "V2M_CLOUD__API_KEY_FILE=/dev/null",
        "V2M_TRANSCRIPTION__OPENAI__BASE_URL=https://example.com",
        "V2M_TRANSCRIPTION__OPENAI__PRESET=groq",
        "V2M_TRANSCRIPTION__BACKEND=openai",
        "V2M_TRANSCRIPTION__FALLBACK=openai",
        "V2M_TRANSCRIPTION__WHISPER__MODEL=./model",
        "V2M_PATHS__STATE_DIR=/tmp",
        "V2M_OUTPUT__FILE=/tmp/words",
        'V2M_POLICY=[{"submit": true}]',
    ],
)
def test_a_file_of_the_working_directory_names_no_command_path_address_or_engine(home: Home, line: str) -> None:
    home.local_dotenv.write_text(f"#\n{line}\n")
    assert refusal() == (
        f"{home.local_dotenv}, line 2: {_key_of(line)} cannot be set by a file of the working directory."
    )
    home.env_file(f"{line}\n")
    home.local_dotenv.unlink()
    assert load_settings().sources[_key_of(line)] == str(home.dotenv)


def _key_of(line: str) -> str:
    return line.partition("=")[0].removeprefix("V2M_").lower().replace("__", ".")


def test_nothing_is_taken_from_one_that_others_could_have_written(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    home.local_dotenv.write_text(f"V2M_AUDIO__TAIL_MS=7\nGROQ_API_KEY={SECRET}\n")
    assert load_settings().audio.tail_ms == 7
    assert local_dotenv() == (home.local_dotenv, "")
    for mode in (0o664, 0o646):
        home.local_dotenv.chmod(mode)
        settings = load_settings()
        assert (settings.audio.tail_ms, settings.groq_api_key) == (300, None)
        assert local_dotenv() == (home.local_dotenv, "others may write to it")
        assert f"{home.local_dotenv} is not heeded: others may write to it" in caplog.text
    home.local_dotenv.chmod(0o644)
    with monkeypatch.context() as patch:  # as if another user had put it there
        patch.setattr(os, "getuid", lambda: home.local_dotenv.stat().st_uid + 1)
        settings = load_settings()
        assert (settings.audio.tail_ms, settings.groq_api_key) == (300, None)
    caplog.clear()
    home.local_dotenv.write_text("DATABASE_URL=x\n")
    home.local_dotenv.chmod(0o666)
    assert load_settings().audio.tail_ms == 300
    assert (local_dotenv(), caplog.text) == (None, ""), "it is another program's"


def test_one_that_cannot_be_read_as_a_file_is_none(home: Home) -> None:
    os.mkfifo(home.local_dotenv)
    assert load_settings().audio.tail_ms == 300


def test_a_mistake_in_an_argument_is_named(home: Home) -> None:
    assert refusal(arguments={"audio.bakend": "wav"}) == "There is no setting audio.bakend; did you mean audio.backend?"
    assert refusal(arguments={"audio.backend": 3}).startswith("argument audio.backend: audio.backend must be auto,")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00"], ids=["not UTF-8", "NUL"])
def test_a_file_that_is_no_text_is_named(home: Home, content: bytes) -> None:
    home.toml("")
    home.file.write_bytes(content)
    assert refusal().startswith(str(home.file))


def test_a_dotenv_file_that_is_no_text_is_named(home: Home) -> None:
    home.env_file("")
    home.dotenv.write_bytes(b"A=\xff\n")
    assert refusal() == f"{home.dotenv} is not UTF-8 text."


def test_a_folder_in_place_of_the_file_is_named(home: Home) -> None:
    home.file.mkdir(parents=True)
    assert refusal() == f"{home.file} cannot be read: Is a directory."


def test_a_working_directory_that_is_gone_is_harmless(home: Home, tmp_path: Path) -> None:
    (tmp_path / "cwd").rmdir()
    load_settings()


# --- secrets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["GEMINI_API_KEY", "V2M_GEMINI_API_KEY"])
@pytest.mark.parametrize("place", ["environment", "home", "working directory"])
def test_a_key_takes_effect_from_environment_and_dotenv(
    home: Home, monkeypatch: pytest.MonkeyPatch, name: str, place: str
) -> None:
    if place == "environment":
        monkeypatch.setenv(name, SECRET)
    elif place == "home":
        home.env_file(f"{name}='{SECRET}'\n")
    else:
        home.local_dotenv.write_text(f"{name}={SECRET}\n")
    settings = load_settings()
    assert settings.gemini_api_key is not None
    assert settings.gemini_api_key.get_secret_value() == SECRET
    assert settings.groq_api_key is None


def test_an_empty_key_is_none(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "")
    monkeypatch.setenv("V2M_GROQ_API_KEY", " ")
    assert load_settings().groq_api_key is None
    home.env_file(f"GROQ_API_KEY={SECRET}\n")
    found = load_settings().groq_api_key
    assert found is not None
    assert found.get_secret_value() == SECRET


def test_a_literal_placeholder_is_not_taken_for_a_key(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "${GEMINI_API_KEY}")
    assert "gemini_api_key holds a literal ${…}" in refusal()


def test_keys_are_masked_wherever_settings_are_shown(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", SECRET)
    settings = load_settings()
    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert SECRET not in shown
    assert SECRET not in str(settings.sources)


@pytest.mark.parametrize(
    "text", ["gemini_api_key = '{}'", "[gemini]\napi_key = '{}'", "[x]\ntoken = '{}'", "[groq_api_key]\na = '{}'"]
)
def test_a_refused_secret_is_not_repeated(home: Home, text: str) -> None:
    home.toml(text.format(SECRET))
    with pytest.raises(ConfigError) as refused:
        load_settings()
    assert SECRET not in f"{refused.value}{refused.value.hint}{refused.value.__cause__}{refused.value.__context__}"


# --- documentation ----------------------------------------------------------------------------------


def test_every_setting_has_one_sentence_and_says_what_it_may_be(home: Home) -> None:
    for doc in describe():
        assert re.fullmatch(r"[A-Z][^\n]*\.", doc.doc), doc
        assert doc.allowed
        assert doc.type
        assert doc.variable == "V2M_" + doc.key.upper().replace(".", "__")
        assert (doc.default == "") == (doc.type == "secret")


def test_every_default_can_be_written_as_it_is_documented(home: Home) -> None:
    for doc in describe():
        if doc.default:
            home.toml(f"{doc.key} = {doc.default}\n")
            assert load_settings().sources[doc.key] == str(home.file)


@given(text=st.text(max_size=200))
def test_no_text_crashes_the_reader(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "config.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with contextlib.suppress(ConfigError):
        load_settings(config_file=path)
