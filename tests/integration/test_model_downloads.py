"""`v2m models download` against a real server with TLS that cuts, stalls, lies or is not there."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.certificates import authority
from support.daemon import BIN, Home, new_home, wait_until
from support.file_server import FileServer, file_server
from support.mounts import on_small_disk, resize
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
    start,
    store_of,
    tar,
    write_list,
)
from support.speech_server import HTML, answers, closed_port, endless
from v2m.domain.errors import DownloadError, StorageError
from v2m.infrastructure.models._transfer import FRUITLESS, Transfer
from v2m.infrastructure.models.catalogue import load_catalogue
from v2m.infrastructure.models.store import ModelStore

pytestmark = pytest.mark.integration

CUT = 150_000


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home(SSL_CERT_FILE=str(authority())) as empty:
        yield empty


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server(at("/own", FILES)) as running:
        yield running


# --- fetched -------------------------------------------------------------------------------------------------


def test_a_model_is_fetched_once(home: Home, server: FileServer) -> None:
    write_list(home, entry(f"{server.url}/own", FILES))
    done = run(home, "download", ID)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(store_of(home) / ID)
    assert 'model = "own"' in done.stderr
    assert installed(home) == FILES
    now = standing(home)
    assert (now["installed"], now["verified"], now["pinned"], now["partial_bytes"]) == (True, True, True, 0)
    assert server.sent == sum(map(len, FILES.values()))

    again = run(home, "download", ID, "--json")
    assert data_of(again)["folder"] == str(store_of(home) / ID)
    assert len(server.requests) == len(FILES)


def test_a_terminal_shows_how_far_it_is(home: Home, server: FileServer) -> None:
    write_list(home, entry(f"{server.url}/own", FILES))
    terminal, end = pty.openpty()
    done = home.run(BIN / "v2m", "models", "download", ID, capture_output=False, stdout=subprocess.PIPE, stderr=end)
    os.close(end)
    said = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    assert done.returncode == 0
    assert "downloading model.bin" in said
    assert "100%" in said
    assert done.stdout.strip() == str(store_of(home) / ID)  # nothing else on standard output


def test_a_broken_off_file_is_continued_by_the_same_command(home: Home, server: FileServer) -> None:
    write_list(home, entry(f"{server.url}/own", {"model.bin": WEIGHTS}))
    server.script += [server.cut_after(CUT), server.cut_after(CUT)]
    assert run(home, "download", ID).returncode == 0
    assert server.ranges == [None, f"bytes={CUT}-", f"bytes={2 * CUT}-"]
    assert server.sent == len(WEIGHTS)  # no byte went out twice
    assert installed(home) == {"model.bin": WEIGHTS}


def test_a_refused_rest_is_continued_by_the_next_command(home: Home, server: FileServer) -> None:
    write_list(home, entry(f"{server.url}/own", FILES))
    server.script += [server.whole, server.cut_after(CUT), answers(403)]
    done = run(home, "download", ID, "--json")
    assert done.returncode == 70
    assert json.loads(done.stdout)["error"]["code"] == "download_failed"
    assert "403" in json.loads(done.stdout)["error"]["message"]
    now = standing(home)
    assert not now["installed"]
    assert now["partial_bytes"] >= CUT
    assert "fetched" in run(home, "list").stdout

    assert run(home, "download", ID).returncode == 0
    assert server.ranges == [None, None, f"bytes={CUT}-", f"bytes={CUT}-", None]
    assert server.sent == sum(map(len, FILES.values()))
    assert installed(home) == FILES
    assert not (store_of(home) / f"{ID}.part").exists()


def test_another_version_of_the_file_is_fetched_from_its_beginning(home: Home, server: FileServer) -> None:
    write_list(home, entry(f"{server.url}/own", {"model.bin": WEIGHTS}))
    server.files["/own/model.bin"] = WEIGHTS[::-1]
    server.script += [server.cut_after(CUT), answers(403)]
    run(home, "download", ID)
    server.files["/own/model.bin"] = WEIGHTS
    assert run(home, "download", ID).returncode == 0
    assert installed(home) == {"model.bin": WEIGHTS}


def test_ctrl_c_keeps_what_came(home: Home, server: FileServer) -> None:
    write_list(home, entry(f"{server.url}/own", {"model.bin": WEIGHTS}))
    server.script.append(server.stalled_after(CUT))
    process = start(home, "download", ID)
    assert server.fault.wait(20)
    part = store_of(home) / f"{ID}.part" / "model.bin.part"
    wait_until(lambda: part.exists() and part.stat().st_size > CUT // 2, what="a good deal of it")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "kept" in said
    assert "Traceback" not in said
    kept = part.stat().st_size
    assert run(home, "download", ID).returncode == 0
    assert server.ranges == [None, f"bytes={kept}-"]


def test_two_at_once_do_not_meet(home: Home, server: FileServer) -> None:
    write_list(home, entry(f"{server.url}/own", {"model.bin": WEIGHTS}))
    server.script.append(server.stalled_after(CUT))
    first = start(home, "download", ID)
    assert server.fault.wait(20)
    for words in (("download", ID), ("remove", ID), ("import", ID, str(home.folder))):
        second = run(home, *words, "--json")
        error = json.loads(second.stdout)["error"]
        if words[0] == "import":
            assert error["code"] == "model_missing"  # refused before that: nothing of it is in the folder
        else:
            assert (second.returncode, error["code"]) == (75, "busy")
            assert str(first.pid) in error["message"]
    first.kill()
    first.communicate(timeout=20)
    assert run(home, "download", ID).returncode == 0


def test_memory_does_not_grow_with_the_model(home: Home, server: FileServer) -> None:
    large = WEIGHTS * 160  # 64 MB
    server.files["/own/model.bin"] = large
    write_list(home, entry(f"{server.url}/own", {"model.bin": large}))
    peaks = []
    for words in (["list"], ["download", ID]):
        process = start(home, *words)
        _, status, used = os.wait4(process.pid, 0)
        process.communicate()
        assert status == 0
        peaks.append(used.ru_maxrss)
    assert peaks[1] - peaks[0] < 48_000  # kB: httpx2 with TLS takes some 20 MB


# --- what is no model ----------------------------------------------------------------------------------------


def test_a_damaged_file_is_refused_and_removed(home: Home, server: FileServer) -> None:
    write_list(home, entry(f"{server.url}/own", FILES))
    server.files["/own/model.bin"] = b"x" + WEIGHTS[1:]
    status, message = refusal(home, "download", ID)
    assert status == 78
    assert "model.bin is not the published file" in message
    assert not standing(home)["installed"]
    assert sorted(path.name for path in (store_of(home) / f"{ID}.part").iterdir()) == ["config.json", "tokens.txt"]

    server.files["/own/model.bin"] = WEIGHTS
    assert run(home, "download", ID).returncode == 0
    assert [request.path for request in server.requests[3:]] == ["/own/model.bin"]


@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_is_refused(home: Home, server: FileServer, kind: str, pinned: bool) -> None:
    write_list(home, entry(f"{server.url}/own", {"model.bin": WEIGHTS}, pinned=pinned))
    body = PAGE.ljust(len(WEIGHTS)) if pinned else PAGE
    server.script.append(answers(200, body, kind))
    status, message = refusal(home, "download", ID)
    assert status == 78
    assert "web page" in message
    assert not standing(home)["installed"]


def test_a_login_page_in_place_of_a_pinned_file_is_named_as_such(home: Home, server: FileServer) -> None:
    write_list(home, entry(f"{server.url}/own", FILES))
    server.script.append(HTML)
    status, message = refusal(home, "download", ID)
    assert status == 78
    assert "web page" in message


def test_a_pointer_in_place_of_the_file_is_refused(home: Home, server: FileServer) -> None:
    server.files["/own/model.bin"] = POINTER
    write_list(home, entry(f"{server.url}/own", {"model.bin": WEIGHTS}, pinned=False))
    status, message = refusal(home, "download", ID)
    assert status == 78
    assert "Git LFS" in message


def test_another_length_is_refused_before_the_body(home: Home, server: FileServer) -> None:
    server.files["/own/model.bin"] = WEIGHTS + b"more"
    write_list(home, entry(f"{server.url}/own", {"model.bin": WEIGHTS}))
    status, message = refusal(home, "download", ID)
    assert status == 78
    assert str(len(WEIGHTS) + 4) in message
    assert list((store_of(home) / f"{ID}.part").iterdir()) == []


def test_a_body_without_end_is_cut(home: Home, server: FileServer) -> None:
    server.script.append(endless)
    write_list(home, entry(f"{server.url}/own", {"model.bin": WEIGHTS}))
    status, message = refusal(home, "download", ID)
    assert status == 78
    assert "longer" in message
    part = store_of(home) / f"{ID}.part"
    assert sum(path.stat().st_size for path in part.iterdir()) <= len(WEIGHTS) + 1000


def test_a_file_that_is_not_there_is_said(home: Home, server: FileServer) -> None:
    write_list(home, entry(f"{server.url}/nowhere", FILES))
    status, message = refusal(home, "download", ID)
    assert status == 70
    assert "404" in message


def test_no_network_is_said(home: Home) -> None:
    write_list(home, entry(f"https://localhost:{closed_port()}/own", FILES))
    done = run(home, "download", ID)
    assert done.returncode == 70
    assert "refuses connections" in done.stderr
    assert "v2m models import" in done.stderr


def test_a_server_that_does_not_prove_who_it_is_gets_nothing(home: Home, server: FileServer) -> None:
    write_list(home, entry(f"{server.url}/own", FILES))
    done = run(home, "download", ID, SSL_CERT_FILE="/etc/ssl/certs/ca-certificates.crt")
    assert done.returncode == 70
    assert "prove" in done.stderr
    assert server.requests == []


def test_without_the_http_library_the_command_that_installs_it_is_named(home: Home) -> None:
    stub = home.folder / "stub"
    stub.mkdir()
    (stub / "httpx2.py").write_text("raise ImportError('not here')", encoding="utf-8")
    done = run(home, "download", "whisper-tiny", PYTHONPATH=str(stub))
    assert done.returncode == 70
    assert "pip install 'v2m[models]'" in done.stderr
    assert run(home, "list", PYTHONPATH=str(stub)).returncode == 0


# --- servers that try one's patience: the same, without the command line -------------------------------------


def direct(home: Home, transfer: Transfer) -> Path:
    models = load_catalogue(home.folder / "config" / "v2m" / "models.toml")
    with transfer:
        return ModelStore(store_of(home)).download(models[ID], transfer)


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority()))


@pytest.mark.usefixtures("trusting")
def test_a_busy_server_is_asked_again_but_not_for_ever(home: Home, server: FileServer) -> None:
    write_list(home, entry(f"{server.url}/own", {"model.bin": WEIGHTS}))
    server.script += [answers(503)] * (FRUITLESS - 1)
    assert direct(home, Transfer(pause_s=0)).is_dir()
    (store_of(home) / ID / "model.bin").unlink()
    server.script += [answers(503)] * FRUITLESS
    with pytest.raises(DownloadError, match="503"):
        direct(home, Transfer(pause_s=0))
    assert server.script == []


@pytest.mark.usefixtures("trusting")
def test_a_server_that_falls_silent_is_left(home: Home, server: FileServer) -> None:
    write_list(home, entry(f"{server.url}/own", {"model.bin": WEIGHTS}))
    server.script += [server.stalled_after(CUT), *[server.stalled_after(0)] * FRUITLESS]
    with pytest.raises(DownloadError, match="broke off"):
        direct(home, Transfer(pause_s=0, silence_s=0.3))
    assert (store_of(home) / f"{ID}.part" / "model.bin.part").stat().st_size == CUT
    direct(home, Transfer())
    assert installed(home) == {"model.bin": WEIGHTS}


@pytest.mark.usefixtures("trusting")
def test_a_server_without_ranges_begins_again(home: Home, server: FileServer) -> None:
    write_list(home, entry(f"{server.url}/own", {"model.bin": WEIGHTS}))
    server.script += [server.cut_after(CUT), answers(200, WEIGHTS, "application/octet-stream")]
    direct(home, Transfer(pause_s=0))
    assert installed(home) == {"model.bin": WEIGHTS}


@pytest.mark.usefixtures("trusting")
def test_a_part_that_is_longer_than_the_file_is_thrown_away(home: Home, server: FileServer) -> None:
    write_list(home, entry(f"{server.url}/own", {"model.bin": WEIGHTS}))
    staging = store_of(home) / f"{ID}.part"
    staging.mkdir(parents=True)
    (staging / "model.bin.part").write_bytes(WEIGHTS * 2)
    note = {"url": f"{server.url}/own/model.bin", "validator": server.tag(WEIGHTS)}
    (staging / "model.bin.part.json").write_text(json.dumps(note), encoding="utf-8")
    server.script.append(answers(416))
    direct(home, Transfer(pause_s=0))
    assert server.ranges == [f"bytes={2 * len(WEIGHTS)}-", None]
    assert installed(home) == {"model.bin": WEIGHTS}


# --- from another place --------------------------------------------------------------------------------------


def test_a_mirror_stands_for_every_host(home: Home) -> None:
    write_list(home, entry("https://models.example/whisper", FILES))
    with file_server(at("/mirrored/whisper", FILES)) as mirror:
        assert run(home, "download", ID, "--mirror", f"{mirror.url}/mirrored/").returncode == 0
        run(home, "remove", ID)
        assert run(home, "download", ID, V2M_MODELS_MIRROR=f"{mirror.url}/mirrored").returncode == 0
        assert len(mirror.requests) == 2 * len(FILES)


def test_the_hubs_own_variable_stands_for_the_hub_only(home: Home, server: FileServer) -> None:
    revision = "0" * 40
    hub = entry("https://huggingface.co/acme/own", FILES, more=f'revision = "{revision}"')
    with file_server(at(f"/acme/own/resolve/{revision}", FILES)) as mirror:
        write_list(home, hub)
        assert run(home, "download", ID, HF_ENDPOINT=mirror.url).returncode == 0
        run(home, "remove", ID)
        write_list(home, entry(f"{server.url}/own", FILES))
        assert run(home, "download", ID, HF_ENDPOINT=mirror.url).returncode == 0
        assert len(mirror.requests) == len(server.requests) == len(FILES)


@pytest.mark.parametrize("pinned", [True, False])
def test_a_mirror_without_tls_may_give_what_is_pinned(home: Home, pinned: bool) -> None:
    with file_server(at("/own", FILES), tls=False) as mirror:
        write_list(home, entry("https://models.example/own", FILES, pinned=pinned))
        done = run(home, "download", ID, "--mirror", mirror.url)
        assert done.returncode == (0 if pinned else 70)
        assert pinned or ("HTTPS" in done.stderr and mirror.requests == [])


@pytest.mark.parametrize("mirror", ["hf-mirror.com", "ftp://mirror.example"])
def test_a_mirror_that_is_no_address_is_a_mistake(home: Home, mirror: str) -> None:
    assert refusal(home, "download", "whisper-tiny", "--mirror", mirror)[0] == 64


# --- without a published digest ------------------------------------------------------------------------------


def test_what_came_first_is_trusted_and_nothing_else_after_it(home: Home, server: FileServer) -> None:
    write_list(home, entry(f"{server.url}/own", FILES, pinned=False))
    first = run(home, "download", ID)
    assert first.returncode == 0
    assert "knows no digest" in first.stderr
    record = json.loads((store_of(home) / ID / "v2m-model.json").read_text(encoding="utf-8"))
    assert {name: known["sha256"] for name, known in record["files"].items()} == {
        name: sha256(body) for name, body in FILES.items()
    }
    assert record["pinned"] is False
    assert run(home, "verify", ID).returncode == 0

    flip(store_of(home) / ID / "model.bin")
    assert run(home, "verify", ID).returncode == 78
    server.files["/own/model.bin"] = WEIGHTS[::-1]  # and the place has another one now
    status, message = refusal(home, "download", ID)
    assert status == 78
    assert "what it was at first" in message
    server.files["/own/model.bin"] = WEIGHTS
    assert run(home, "download", ID).returncode == 0
    assert installed(home) == FILES

    server.files["/own/model.bin"] = WEIGHTS[::-1]
    assert run(home, "remove", ID).returncode == 0
    assert run(home, "download", ID).returncode == 0  # forgotten with the model


# --- archives ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pinned", [True, False])
def test_an_archive_is_fetched_and_unpacked(home: Home, server: FileServer, pinned: bool) -> None:
    archive = tar([*WHOLE, ("a-model/test_wavs/0.wav", b"RIFF")])
    server.files["/own/own.tar.bz2"] = archive
    server.script.append(server.cut_after(CUT))
    write_list(home, entry(f"{server.url}/own", FILES, archive=archive, pinned=pinned))
    done = run(home, "download", ID)
    assert done.returncode == 0, done.stderr
    assert installed(home) == FILES
    assert server.sent == len(archive)
    assert run(home, "verify", ID).returncode == 0


HOSTILE = {
    "leads out": [("../model.bin", WEIGHTS), *WHOLE],
    "absolute": [("/tmp/model.bin", WEIGHTS), *WHOLE],
    "twice": [*WHOLE, ("b/model.bin", WEIGHTS)],
    "lacks": WHOLE[:-1],
    "in it has 5 bytes": [("model.bin", b"short"), *WHOLE],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_refused(home: Home, server: FileServer, kind: str) -> None:
    archive = tar(HOSTILE[kind])
    server.files["/own/own.tar.bz2"] = archive
    write_list(home, entry(f"{server.url}/own", FILES, archive=archive))
    status, message = refusal(home, "download", ID)
    assert status == 78
    assert kind == "absolute" or kind in message
    assert not standing(home)["installed"]
    assert not (store_of(home) / "model.bin").exists()


# --- disks ---------------------------------------------------------------------------------------------------


def test_a_model_that_does_not_fit_is_not_begun(home: Home, server: FileServer) -> None:
    write_list(home, entry(f"{server.url}/own", FILES).replace(f"size = {len(WEIGHTS)}", f"size = {10**18}"))
    done = run(home, "download", ID, "--json")
    assert done.returncode == 70
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["hint"][:5]) == ("storage_failed", "df -h")
    assert server.requests == []


def scene_of_a_full_disk(folder: Path) -> None:
    """The size is not known beforehand, so the disk fills up in the middle."""
    models = load_catalogue(Path(os.environ["OWN_MODELS"]))
    store = ModelStore(folder)
    with Transfer(pause_s=0) as transfer:
        try:
            store.download(models[ID], transfer)
        except StorageError as error:
            print(error.hint)
        kept = (folder / f"{ID}.part" / "model.bin.part").stat().st_size
        resize(folder, "16m")
        store.download(models[ID], transfer)
    print(kept, sha256((folder / ID / "model.bin").read_bytes()))


def test_a_disk_that_fills_up_keeps_what_came(home: Home, server: FileServer, tmp_path: Path) -> None:
    large = WEIGHTS * 8  # 3.2 MB
    server.files["/own/model.bin"] = large
    own = write_list(home, entry(f"{server.url}/own", {"model.bin": large}, pinned=False))
    disk = tmp_path / "disk"
    disk.mkdir()
    variables = {"OWN_MODELS": str(own), "SSL_CERT_FILE": home.variables["SSL_CERT_FILE"]}
    hint, result = on_small_disk(scene_of_a_full_disk, disk, size="1m", env=variables).splitlines()
    kept, digest = result.split()
    assert "kept" in hint
    assert int(kept) > 500_000
    assert server.ranges == [None, f"bytes={kept}-"]
    assert digest == sha256(large)


def test_a_folder_that_cannot_be_written_is_said(home: Home, server: FileServer) -> None:
    write_list(home, entry(f"{server.url}/own", FILES))
    store_of(home).parent.mkdir(parents=True)
    store_of(home).write_bytes(b"a file in its place")
    status, _ = refusal(home, "download", ID)
    assert status == 70
