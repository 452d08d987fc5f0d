"""Where keys come from, with real files and programs; and that nobody else sees them."""

import asyncio
import os
import traceback
from pathlib import Path

import pytest

from support.daemon import new_home
from support.doctor import QUIET, findings
from v2m.domain.errors import ConfigError
from v2m.infrastructure._secrets import MAX_KEY_BYTES, ApiKey

pytestmark = pytest.mark.integration

KEY = "sk-0123456789abcdef"


def read(**sources):
    return asyncio.run(ApiKey("GROQ_API_KEY", **sources).read())


def failed(**sources) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(**sources)
    told = "".join([*traceback.format_exception(caught.value), caught.value.hint or ""])
    assert KEY not in told
    return caught.value


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a key"
    path.write_text(f"{KEY}\nlogin: me\n")
    path.chmod(0o600)
    return path


def script(tmp_path, body):
    path = tmp_path / "pass"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o700)
    return [str(path), "show", KEY]


def test_the_first_source_that_is_set_counts(tmp_path, file):
    command = script(tmp_path, "echo from-command")
    assert read(value=" from-environment\n", command=command, file=file) == "from-environment"
    assert read(command=command, file=file) == "from-command"
    assert read(file=file) == KEY


def test_a_source_that_fails_is_not_replaced_by_the_next(tmp_path, file):
    assert "status 3" in str(failed(command=script(tmp_path, "exit 3"), file=file))


def test_what_others_can_write_in_the_working_directory_is_not_heeded_and_doctor_says_so(tmp_path):
    (tmp_path / ".env").write_text(f"V2M_AUDIO__TAIL_MS=7\nGROQ_API_KEY={KEY}\n")
    (tmp_path / ".env").chmod(0o646)
    with new_home(**QUIET) as home:

        def looked():
            return findings(home.v2m("doctor", "--json", "--only", "secret-files", cwd=tmp_path).stdout)["secret-files"]

        found = looked()
        assert (found["verdict"], "is not heeded: others may write to it" in found["evidence"]) == ("warn", True)
        tail = home.v2m("config", "get", "audio.tail_ms", cwd=tmp_path)
        assert (tail.stdout.split()[0], KEY in tail.stderr) == ("300", False)
        home.run("sh", "-c", found["fix"], check=True)
        assert looked()["verdict"] == "ok"
        assert home.v2m("config", "get", "audio.tail_ms", cwd=tmp_path).stdout.split()[0] == "7"
        (tmp_path / ".env").chmod(0o644)
        assert "Others may read" in looked()["evidence"], "as there are keys in it"


def test_a_daemon_that_outlives_the_terminal_starts_at_home_wherever_one_is(tmp_path):
    (tmp_path / ".env").write_text("V2M_AUDIO__TAIL_MS=7\n")
    with new_home(**QUIET) as home:
        assert home.v2m("daemon", "start", cwd=tmp_path).returncode == 0
        try:
            data = home.ask("GET_CONFIG", keys=["audio.tail_ms"])["data"]
            pid = home.ask("GET_STATUS")["data"]["pid"]
            assert (data["settings"][0]["value"], os.readlink(f"/proc/{pid}/cwd")) == (300, str(home.folder))
        finally:
            home.v2m("daemon", "stop")


def test_a_missing_key_names_the_variable():
    error = failed()
    assert "GROQ_API_KEY" in str(error)
    assert "GROQ_API_KEY" in (error.hint or "")
    assert read(required=False) == ""


def test_a_program_says_the_key_in_its_first_line(tmp_path):
    assert read(command=script(tmp_path, f"echo; echo '  {KEY}  '; echo login: me; echo noise >&2")) == KEY


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (f"echo {KEY}; echo {KEY} >&2; exit 1", "status 1"),
        ("kill -9 $$", "status -9"),
        ("true", "holds no key"),
        (f"echo '{KEY} {KEY}'", "characters that no key has"),
        (f"printf '{KEY}\\007'", "characters that no key has"),
        (f"printf '{KEY}\\303\\244'", "characters that no key has"),
    ],
)
def test_a_program_that_gives_none_is_named_without_its_arguments_and_output(tmp_path, body, says):
    error = failed(command=script(tmp_path, body))
    assert says in str(error)
    assert "cloud.api_key_cmd" in str(error)


def test_a_program_that_is_not_there():
    error = failed(command=["no-such-program-v2m", KEY])
    assert "cloud.api_key_cmd cannot be used: No such file" in str(error)
    assert "no-such-program-v2m" not in f"{error} {error.hint}", "it may be the key, in the wrong place"
    assert "cannot be used" in str(failed(command=["echo\0"]))


def test_a_program_that_never_stops_talking_is_ended():
    assert "more than 16 MiB" in str(failed(command=["yes", "abcdef"]))


def test_readers_at_the_same_time_ask_once(tmp_path):
    log = tmp_path / "log"
    key = ApiKey("X", command=script(tmp_path, f"echo asked >> {log}; sleep 0.1; echo {KEY}"))

    async def scene():
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(key.read()) for _ in range(5)]
        assert {reader.result() for reader in readers} == {KEY}
        assert key.known == KEY
        key.forget()
        assert key.known == ""
        await key.read()

    asyncio.run(scene())
    assert log.read_text() == "asked\nasked\n"


def test_a_reader_that_gives_up_ends_the_program(tmp_path):
    pid_file = tmp_path / "pid"
    key = ApiKey("X", command=script(tmp_path, f"echo $$ > {pid_file}; sleep 60"))

    async def scene():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await key.read()

    asyncio.run(scene())
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o644])
def test_a_file_that_others_can_reach_is_refused_with_the_cure(file, mode):
    file.chmod(mode)
    error = failed(file=file)
    assert f"mode {mode:04o}" in str(error)
    assert error.hint == f"chmod 600 '{file}'"


def test_a_file_that_is_read_only_is_fine(file):
    file.chmod(0o400)
    assert read(file=file) == KEY


def test_a_file_or_link_of_somebody_else_is_refused(file, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(file)
    assert read(file=link) == KEY
    if os.getuid() != 0:
        assert "belongs to uid 0" in str(failed(file=Path("/etc/passwd")))
        return
    os.lchown(link, 12345, -1)
    assert "link that belongs to uid 12345" in str(failed(file=link))
    os.chown(file, 12345, -1)
    assert "belongs to uid 12345" in str(failed(file=file))


def test_what_is_no_file_of_a_key_is_refused(tmp_path, file):
    assert "cannot be read" in str(failed(file=tmp_path / "missing"))
    assert "no plain file" in str(failed(file=tmp_path))
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    assert "no plain file" in str(failed(file=fifo))
    file.write_text("")
    assert "holds no key" in str(failed(file=file))
    file.write_text("x" * (MAX_KEY_BYTES + 1))
    assert "longer" in str(failed(file=file))
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    assert "cannot be read" in str(failed(file=dangling))


def test_no_repr_shows_a_key(file):
    key = ApiKey("GROQ_API_KEY", value=KEY)
    assert KEY not in f"{key!r}{key}"
    assert key.known == KEY
