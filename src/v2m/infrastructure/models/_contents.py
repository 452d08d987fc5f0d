"""What a file holds: its digest, and whether it is a page about the model in place of the model."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from v2m.domain.errors import ModelMissingError

CHUNK: Final = 1 << 20
_HEAD: Final = 512  # where a page or a pointer shows itself
_PAGES: Final = (b"<!doctype html", b"<html", b"<head", b"<?xml")  # not "<": a list of tokens begins with <blk>
_POINTER: Final = b"version https://git-lfs.github.com/spec/"
LOGIN: Final = "Open it in a browser: a network that asks for a login answers so. Or use --mirror URL."


def sha256_of(path: Path, report: Callable[[int], None] = lambda _: None) -> str:
    """Return a file's digest; `report` gets the bytes read so far. Raises OSError."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            report(done)
    return digest.hexdigest()


def head_of(path: Path) -> bytes:
    """Return the beginning of a file. Raises OSError."""
    with path.open("rb") as file:
        return file.read(_HEAD)


def refuse_foreign_text(where: str, head: bytes, content_type: str) -> None:
    """Refuse a web page and a Git LFS pointer. Raises ModelMissingError."""
    text = head[:_HEAD].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if content_type.partition(";")[0].strip().lower() == "text/html" or text.startswith(_PAGES):
        raise ModelMissingError(f"{where} is a web page, not a file of a model.", hint=LOGIN)
    if text.startswith(_POINTER):
        raise ModelMissingError(
            f"{where} is a Git LFS pointer, not a file of a model.", hint="In the folder it comes from: git lfs pull"
        )
