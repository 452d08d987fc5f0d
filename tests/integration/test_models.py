"""`v2m models` as a user runs it, without any daemon: listed, imported, compared, mended, removed, suggested."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.certificates import authority
from support.daemon import BIN, Home, new_home
from support.file_server import FileServer, file_server
from support.own_models import (
    FILES,
    ID,
    PAGE,
    POINTER,
    WEIGHTS,
    WHOLE,
    at,
    data_of,
    entry,
    flip,
    installed,
    refusal,
    run,
    sha256,
    standing,
    store_of,
    tar,
    write_list,
)
from v2m.infrastructure.models.catalogue import load_catalogue

pytestmark = pytest.mark.integration


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home(SSL_CERT_FILE=str(authority())) as empty:
        yield empty


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server(at("/own", FILES)) as running:
        yield running


# --- the list ------------------------------------------------------------------------------------------------


def test_the_list_names_what_is_there_and_what_could_be(home: Home) -> None:
    done = run(home, "list", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    models = {model["id"]: model for model in data_of(done)["models"]}
    assert set(models) == set(load_catalogue())
    own = models.pop("moonshine-tiny-en")
    assert (own["installed"], own["verified"], own["embedded"]) == (True, True, True)
    assert not any(model["installed"] or model["verified"] for model in models.values())
    lines = run(home, "list").stdout.splitlines()
    assert len(lines) == len(models) + 1
    assert "comes with v2m" in lines[0]


def test_the_reader_of_the_list_may_go_away(home: Home) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = home.run(BIN / "v2m", "models", "list", capture_output=False, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_without_a_verb_there_is_help(home: Home) -> None:
    done = run(home)
    assert done.returncode == 64
    assert "download" in done.stdout + done.stderr
    assert "models" in home.v2m("--help").stdout


# --- imported ------------------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "from elsewhere"
    folder.mkdir()
    for name, body in FILES.items():
        (folder / name).write_bytes(body)
    return folder


def test_a_folder_is_imported_without_network(home: Home, source: Path, tmp_path: Path) -> None:
    write_list(home, entry("https://models.example/own", FILES))
    (tmp_path / "blob").write_bytes(WEIGHTS)  # as the hub's cache keeps them
    (source / "model.bin").unlink()
    (source / "model.bin").symlink_to(tmp_path / "blob")
    done = run(home, "import", ID, source)
    assert done.returncode == 0, done.stderr
    assert installed(home) == FILES
    assert not (store_of(home) / ID / "model.bin").is_symlink()
    assert standing(home)["verified"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_an_archive_is_imported(home: Home, tmp_path: Path, mode: str) -> None:
    write_list(home, entry("https://models.example/own", FILES))
    archive = tmp_path / "model.tar"
    archive.write_bytes(tar(WHOLE, mode))
    assert run(home, "import", ID, archive).returncode == 0
    assert installed(home) == FILES


@pytest.mark.parametrize(
    ("name", "body", "says"),
    [
        ("model.bin", None, "lacks model.bin"),
        ("model.bin", b"x" + WEIGHTS[1:], "not the published file"),
        ("model.bin", WEIGHTS[:-1], "of another model"),
        ("model.bin", PAGE, "web page"),
        ("config.json", POINTER, "Git LFS"),
    ],
)
def test_a_folder_of_something_else_is_refused(
    home: Home, source: Path, name: str, body: bytes | None, says: str
) -> None:
    write_list(home, entry("https://models.example/own", FILES))
    (source / name).unlink()
    if body is not None:
        (source / name).write_bytes(body)
    status, message = refusal(home, "import", ID, str(source))
    assert status == 78
    assert says in message
    assert not standing(home)["installed"]


@pytest.mark.parametrize("body", [b"", b"no archive", PAGE, tar(WHOLE)[:-200_000]])
def test_a_file_that_is_no_archive_is_refused(home: Home, tmp_path: Path, body: bytes) -> None:
    write_list(home, entry("https://models.example/own", FILES))
    (tmp_path / "file").write_bytes(body)
    assert refusal(home, "import", ID, str(tmp_path / "file"))[0] == 78
    assert refusal(home, "import", ID, str(tmp_path / "missing"))[0] == 78
    assert not standing(home)["installed"]


# --- compared, mended, removed -------------------------------------------------------------------------------


@pytest.fixture
def fetched(home: Home, server: FileServer) -> Path:
    write_list(home, entry(f"{server.url}/own", FILES))
    assert run(home, "download", ID).returncode == 0
    return store_of(home) / ID


def test_a_flipped_byte_is_found_and_only_that_file_is_fetched_again(
    home: Home, server: FileServer, fetched: Path
) -> None:
    assert run(home, "verify").returncode == 0
    flip(fetched / "model.bin")
    assert not standing(home)["verified"]
    assert "v2m models verify" in run(home, "list").stdout
    done = run(home, "verify", "--json")
    assert done.returncode == 78
    assert json.loads(done.stdout)["error"]["hint"] == f"v2m models download {ID}"
    found = {model["id"]: model for model in data_of(done)["models"]}
    assert {file["name"]: file["verdict"] for file in found[ID]["files"]} == {
        "config.json": "ok",
        "model.bin": "damaged",
        "tokens.txt": "ok",
    }
    assert found["moonshine-tiny-en"]["ok"]

    before = len(server.requests)
    assert run(home, "download", ID).returncode == 0
    assert [request.path for request in server.requests[before:]] == ["/own/model.bin"]
    assert installed(home) == FILES
    assert standing(home)["verified"]


def test_a_file_that_was_only_touched_is_whole_again_after_a_comparison(home: Home, fetched: Path) -> None:
    (fetched / "model.bin").touch()
    assert not standing(home)["verified"]
    assert run(home, "verify", ID).returncode == 0
    assert standing(home)["verified"]


def test_a_missing_file_is_found(home: Home, fetched: Path) -> None:
    (fetched / "tokens.txt").unlink()
    assert not standing(home)["installed"]
    done = run(home, "verify", ID)
    assert done.returncode == 78
    assert f"missing  {ID}/tokens.txt" in done.stdout


@pytest.mark.parametrize("verb", ["verify", "remove"])
def test_what_is_not_installed_is_said(home: Home, verb: str) -> None:
    status, message = refusal(home, verb, "whisper-tiny")
    assert status == 78
    assert "not installed" in message


def test_a_model_is_removed(home: Home, fetched: Path) -> None:
    done = run(home, "remove", ID, "--json")
    assert done.returncode == 0
    assert data_of(done)["freed_bytes"] >= sum(map(len, FILES.values()))
    assert not fetched.exists()
    assert not standing(home)["installed"]


def test_removing_never_follows_a_link(home: Home, fetched: Path, source: Path) -> None:
    (fetched / "beside").symlink_to(source)
    assert run(home, "remove", ID).returncode == 0
    fetched.symlink_to(source)
    assert run(home, "remove", ID).returncode == 0
    assert not fetched.is_symlink()
    assert {path.name: path.read_bytes() for path in source.iterdir()} == FILES


@pytest.mark.parametrize("name", ["../models", "..", "/", "whisper-tiny/..", "", "whisper"])
@pytest.mark.parametrize("verb", ["remove", "verify", "download"])
def test_a_name_that_is_none_is_a_mistake(home: Home, verb: str, name: str) -> None:
    assert refusal(home, verb, name)[0] == 64


def test_a_name_without_its_engine_is_understood(home: Home) -> None:
    done = run(home, "download", "large-v3-turbo")
    assert done.returncode == 64
    assert "whisper-large-v3-turbo" in done.stderr


def test_the_model_that_comes_with_v2m_is_neither_fetched_nor_removed(home: Home) -> None:
    done = run(home, "download", "moonshine-tiny-en", "--json")
    assert done.returncode == 0
    assert data_of(done)["embedded"]
    assert refusal(home, "remove", "moonshine-tiny-en")[0] == 75
    assert run(home, "verify", "moonshine-tiny-en").returncode == 0


# --- suggested -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "variables"), [(["--language", "de-AT"], {}), ([], {"LANG": "de_DE.UTF-8"})])
def test_for_german_only_models_that_can_do_it_are_suggested(
    home: Home, words: list[str], variables: dict[str, str]
) -> None:
    done = run(home, "suggest", *words, "--json", **variables)
    assert done.returncode == 0
    found = data_of(done)
    assert found["suggestions"]
    for one in found["suggestions"]:
        assert "de" in one["languages"]
        assert one["commands"][-1] == f"v2m models download {one['id']}"
        assert all(one["reasons"])
    assert any("English only" in remark for remark in found["remarks"])


def test_for_english_the_model_that_comes_with_v2m_is_the_least(home: Home) -> None:
    done = run(home, "suggest", "--language", "en")
    assert done.returncode == 0
    assert "moonshine-tiny-en" in done.stdout.splitlines()[-4]
    assert "English only: it would" not in done.stderr


def test_a_language_that_no_model_can_do_is_said(home: Home) -> None:
    assert refusal(home, "suggest", "--language", "tlh")[0] == 64


# --- the user's own list -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[model]", "models.toml"),
        ("model = 3", "not a [[model]] table"),
        (entry("https://models.example/own", FILES).replace("licence", "license"), "license is no key"),
        (entry("https://models.example/own", FILES).replace('licence = "MIT"', ""), "licence is missing"),
        (
            entry("https://models.example/own", FILES).replace('engine = "whisper"', 'engine = "vosk"'),
            "engine is one of",
        ),
        (entry("https://models.example/own", FILES).replace(ID, "own"), "whisper-own"),
        (entry("https://models.example/own", FILES).replace(ID, "whisper-tiny"), "knows already"),
        (entry("https://models.example/own", {"../model.bin": WEIGHTS}), "files is a list"),
        (entry("file:///etc", FILES), "source cannot be"),
        (entry("https://models.example/own", FILES).replace(sha256(WEIGHTS), "0x00"), "sha256 is not"),
        (entry("https://models.example/own", FILES) * 2, "two models"),
    ],
)
def test_a_mistake_in_the_users_own_list_is_named(home: Home, text: str, says: str) -> None:
    path = write_list(home, text)
    status, message = refusal(home, "list")
    assert status == 78
    assert says in message
    assert str(path) in message
