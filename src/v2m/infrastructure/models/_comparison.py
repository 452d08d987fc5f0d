"""Whether a file is what it should be: its size, then its digest, the published one or the one first seen."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from v2m.domain.errors import ModelMissingError
from v2m.infrastructure.models._contents import head_of, refuse_foreign_text, sha256_of
from v2m.infrastructure.models._records import Known
from v2m.infrastructure.models._transfer import Report
from v2m.infrastructure.models.catalogue import ModelFile


@dataclass(frozen=True, slots=True)
class FileState:
    """What a comparison of one file found; `sha256` is empty for one that is missing or has another size."""

    name: str
    verdict: Literal["ok", "missing", "damaged"]
    sha256: str = ""


def trusted_digest(file: ModelFile, known: Mapping[str, Known]) -> str:
    """Return what a file must have: the published digest, else the one first seen, else nothing."""
    return file.sha256 or (known[file.name].sha256 if file.name in known else "")


def compare(file: ModelFile, path: Path, trusted: str, report: Report) -> FileState:
    """Say whether an installed file is whole. Raises OSError."""
    if not path.is_file():
        return FileState(file.name, "missing")
    size = path.stat().st_size
    if file.size_bytes not in (0, size):
        return FileState(file.name, "damaged")
    digest = sha256_of(path, lambda done: report(f"checking {file.name}", done, size))
    return FileState(file.name, "ok" if trusted in ("", digest) else "damaged", digest)


def admit(file: ModelFile, path: Path, trusted: str, report: Report) -> str:
    """Return the digest of a file that came and is what it should be; another one is removed.

    Raises:
        ModelMissingError: with what is wrong about it.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise ModelMissingError(f"What came lacks {file.name}.", hint="v2m models list")
    try:
        refuse_foreign_text(file.name, head_of(path), "")
        size = path.stat().st_size
        if file.size_bytes not in (0, size):
            raise ModelMissingError(
                f"{file.name} has {size} bytes, not {file.size_bytes}: it is of another model.", hint="v2m models list"
            )
        digest = sha256_of(path, lambda done: report(f"checking {file.name}", done, size))
        if trusted not in ("", digest):
            raise ModelMissingError(
                f"{file.name} is not {'the published file' if file.sha256 else 'what it was at first'}: "
                f"its sha256 is {digest}, not {trusted}. It was removed.",
                hint="Try again, or from another place (--mirror URL)."
                if file.sha256
                else "If it may have changed: v2m models remove ID, then download it again.",
            )
    except ModelMissingError:
        path.unlink()
        raise
    with path.open("rb") as file_on_disk:
        os.fsync(file_on_disk.fileno())
    return digest
