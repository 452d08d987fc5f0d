"""Takes the files of a model out of a tar archive, reading it once from front to back."""

import lzma
import tarfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Final

from v2m.domain.errors import ModelMissingError
from v2m.infrastructure._translate import translate
from v2m.infrastructure.models._contents import CHUNK

_BROKEN: Final = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError)


def is_archive(path: Path) -> bool:
    """Tell whether a file is a tar archive of any compression. Raises OSError."""
    with path.open("rb") as file:
        try:
            tarfile.open(fileobj=file, mode="r|*").close()
        except (*_BROKEN, OSError):  # a wrong compression is an OSError of bz2
            return False
    return True


def unpack(archive: Path, folder: Path, sizes: Mapping[str, int], report: Callable[[int], None]) -> None:
    """Write the regular files of these names, wherever in the archive they lie, into `folder`; nothing else.

    `sizes` holds the bytes each must have, 0 where that is not known; `report` gets the bytes written so far.

    Raises:
        ModelMissingError: it is damaged, holds a path that leads out of it, or a file twice or in another size.
        OSError: a file cannot be written.
    """
    broken = translate(lambda error: _damaged(archive, f"it cannot be unpacked: {error}"), *_BROKEN)
    found, done = set[str](), 0
    with broken, archive.open("rb") as file, tarfile.open(fileobj=file, mode="r|*") as members:
        for member in members:
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts:
                raise _damaged(archive, f"{member.name[:80]!r} in it leads out of it")
            if path.name not in sizes or not member.isreg():
                continue
            if path.name in found:
                raise _damaged(archive, f"{path.name} is in it twice")
            if sizes[path.name] not in (0, member.size):
                raise _damaged(archive, f"{path.name} in it has {member.size} bytes, not {sizes[path.name]}")
            found.add(path.name)
            source = members.extractfile(member)
            assert source is not None  # it is a regular file
            with source, (folder / path.name).open("wb") as target:
                _copy(source, target, done, report)
            done += member.size


def _copy(source: IO[bytes], target: IO[bytes], before: int, report: Callable[[int], None]) -> None:
    while chunk := source.read(CHUNK):
        target.write(chunk)
        before += len(chunk)
        report(before)


def _damaged(archive: Path, why: str) -> ModelMissingError:
    return ModelMissingError(f"{archive} is no archive of a model: {why}.", hint=f"tar -tf '{archive}'")
