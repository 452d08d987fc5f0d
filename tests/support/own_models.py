"""A small model of the user's own list: its files, the entry that names them, and what `v2m models` makes of it."""

import hashlib
import io
import json
import random
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.daemon import BIN, Home

ID = "whisper-own"
WEIGHTS = random.Random(1).randbytes(400_000)
FILES = {"config.json": b'{"of": "a model"}', "model.bin": WEIGHTS, "tokens.txt": b"<blk> 0\n<unk> 1\n"}
PAGE = b"<!DOCTYPE html><title>Log in to the Wi-Fi</title>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 400000\n"


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def entry(
    source: str, files: Mapping[str, bytes], *, pinned: bool = True, archive: bytes | None = None, more: str = ""
) -> str:
    """Return a `[[model]]` of the user's own list."""
    known = [
        f'{{ name = "{name}", size = {len(body)}, sha256 = "{sha256(body)}" }}' if pinned else f'{{ name = "{name}" }}'
        for name, body in files.items()
    ]
    lines = [
        "[[model]]",
        f'id = "{ID}"',
        'title = "Own"',
        'engine = "whisper"',
        'languages = ["en"]',
        'licence = "MIT"',
    ]
    lines += [f'source = "{source}"', f"files = [{', '.join(known)}]", more]
    if archive is not None:
        lines += ["[model.archive]", f'url = "{source}/own.tar.bz2"']
        lines += [f'size = {len(archive)}\nsha256 = "{sha256(archive)}"'] if pinned else []
    return "\n".join(lines)


def at(path: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return files by their paths on a server."""
    return {f"{path}/{name}": body for name, body in files.items()}


def write_list(home: Home, text: str) -> Path:
    """Make this the user's own list of models."""
    path = home.folder / "config" / "v2m" / "models.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def store_of(home: Home) -> Path:
    """Return the folder that models go to."""
    return home.folder / "data" / "v2m" / "models"


def run(home: Home, *words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `v2m models`."""
    return home.v2m("models", *words, env={**home.variables, **variables})


def data_of(done: subprocess.CompletedProcess[str]) -> dict:
    """Return what it found."""
    return json.loads(done.stdout)["data"]


def standing(home: Home) -> dict:
    """Return what the list says about the model."""
    listed = data_of(run(home, "list", "--json"))["models"]
    return next(model for model in listed if model["id"] == ID)


def installed(home: Home) -> dict[str, bytes]:
    """Return the model's files."""
    return {path.name: path.read_bytes() for path in (store_of(home) / ID).iterdir() if path.name != "v2m-model.json"}


def flip(path: Path) -> None:
    """Damage a file."""
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


def refusal(home: Home, *words: str) -> tuple[int, str]:
    """Run what must fail, as JSON; return exit status and message."""
    done = run(home, *words, "--json")
    assert "Traceback" not in done.stderr
    answer = json.loads(done.stdout)
    assert answer["error"]["hint"]
    return done.returncode, answer["error"]["message"]


def tar(members: Sequence[tuple[str, bytes]], mode: str = "w:bz2") -> bytes:
    """Return an archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, body in members:
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return buffer.getvalue()


WHOLE = [("a-model/README.md", b"hello"), *((f"a-model/{name}", body) for name, body in FILES.items())]


def start(home: Home, *words: str) -> subprocess.Popen[str]:
    """Run `v2m models` beside the test."""
    argv = [str(BIN / "v2m"), "models", *words]
    return subprocess.Popen(argv, env=home.variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
