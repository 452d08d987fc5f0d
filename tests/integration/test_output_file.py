"""Texts into a file: appended whole, read back, or not at all."""

import asyncio
import os
import stat

import pytest

from support.mounts import fill, on_small_disk
from v2m.config import load_settings
from v2m.core.di.adapters import make_outputs
from v2m.domain.delivery import Certainty, Destination, Session
from v2m.domain.errors import OutputError, OutputReason
from v2m.infrastructure.output.file import FileOutput

pytestmark = pytest.mark.integration

NOWHERE = Destination(Session())


def deliver(path, *texts):
    async def scenario():
        output = FileOutput(str(path))
        deliveries = [await output.deliver(text, NOWHERE) for text in texts]
        await output.aclose()
        await output.aclose()
        return deliveries

    return asyncio.run(scenario())


def probe(path):
    return asyncio.run(FileOutput(str(path)).probe(Session()))


def refusal(path):
    """Return the error, after checking that the probe says no as well."""
    assert not probe(path).usable
    with pytest.raises(OutputError) as caught:
        deliver(path, "words")
    assert (caught.value.reason, caught.value.delivered) == (OutputReason.REFUSED, 0)
    return str(caught.value)


def test_each_text_is_a_line_that_was_read_back(tmp_path):
    path = tmp_path / "notes.txt"
    assert probe(path).usable
    assert not path.exists()
    texts = ["first", "-n $(id) é 你好 😀", "x" * 100_000]
    deliveries = deliver(path, *texts)
    assert path.read_text("utf-8").splitlines() == texts
    assert {delivery.certainty for delivery in deliveries} == {Certainty.CONFIRMED}
    assert [delivery.characters for delivery in deliveries] == [len(text) for text in texts]
    assert deliveries[0].target == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_stands_there_stays_and_so_does_its_mode(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("before\n")
    path.chmod(0o644)
    deliver(path, "after")
    assert path.read_text() == "before\nafter\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_link_is_not_followed(tmp_path):
    target = tmp_path / "target"
    target.write_text("mine\n")
    link = tmp_path / "link"
    link.symlink_to(target)
    refusal(link)
    assert target.read_text() == "mine\n"


def test_a_folder_a_pipe_and_a_socket_are_refused_at_once(tmp_path):
    refusal(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "not a plain file" in refusal(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    refusal(pipe)
    assert os.read(reader, 10) == b""
    os.close(reader)
    refusal("/dev/null")


@pytest.mark.parametrize("path", ["missing/notes.txt", "plain/notes.txt"])
def test_a_folder_that_is_not_there_is_said_so(tmp_path, path):
    (tmp_path / "plain").write_text("")
    refusal(tmp_path / path)


def test_without_a_file_in_the_settings_it_says_which_one():
    assert "output.file" in probe("").reason
    assert "output.file" in refusal("")


def test_a_character_that_cannot_be_written_leaves_the_file_alone(tmp_path):
    with pytest.raises(OutputError) as caught:
        deliver(tmp_path / "notes.txt", "half \ud800")
    assert caught.value.delivered == 0
    assert not (tmp_path / "notes.txt").exists()


def full_disk(folder):
    path = folder / "notes.txt"
    deliver(path, "before")
    filler = fill(folder)
    try:
        deliver(path, "x" * 100_000)
    except OutputError as error:
        print(error.delivered, error)
    print(path.read_text() == "before\n")
    filler.unlink()
    print(deliver(path, "after")[0].certainty.value)


def test_on_a_full_disk_nothing_of_the_text_stays(tmp_path):
    refused, whole, later = on_small_disk(full_disk, tmp_path, size="1m").splitlines()
    assert refused.startswith("0 ")
    assert "No space left" in refused
    assert (whole, later) == ("True", "confirmed")


def read_only_disk(folder):
    import subprocess

    path = folder / "notes.txt"
    deliver(path, "before")
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    print(probe(path).usable, probe(folder / "other.txt").usable)
    for name in ("notes.txt", "other.txt"):
        try:
            deliver(folder / name, "words")
        except OutputError as error:
            print(error.delivered, error)


def test_on_a_read_only_disk_it_says_so(tmp_path):
    probed, *refused = on_small_disk(read_only_disk, tmp_path).splitlines()
    assert probed == "False False"
    assert [line.split()[0] for line in refused] == ["0", "0"]
    assert all("Read-only" in line for line in refused)


def test_the_setting_names_the_file_and_only_a_method_puts_it_into_the_chain(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "notes.txt"
    settings = load_settings({"output.method": ["file"], "output.file": str(path)})
    (output,) = make_outputs(settings, dictating=bool)
    asyncio.run(output.deliver("words", NOWHERE))
    assert path.read_text() == "words\n"
    automatic = make_outputs(load_settings({"output.file": str(path)}), dictating=bool)
    assert "file" not in [output.name for output in automatic]
