"""What is known about an installed model, beside its files: when each was compared, and with which digest.

For a file without a published digest this is what it is compared with from then on.
"""

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from v2m.infrastructure.models.catalogue import Model

RECORD: Final = "v2m-model.json"


@dataclass(frozen=True, slots=True)
class Known:
    """One file as it was when its digest was taken."""

    size_bytes: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path, sha256: str) -> Self:
        """Return what is known now. Raises OSError."""
        found = path.stat()
        return cls(found.st_size, found.st_mtime_ns, sha256)

    def has_size_of(self, path: Path) -> bool:
        """Tell whether the file is there in its size."""
        return path.is_file() and path.stat().st_size == self.size_bytes

    def is_untouched(self, path: Path) -> bool:
        """Tell whether the file is there and was not written to since."""
        return self.has_size_of(path) and path.stat().st_mtime_ns == self.mtime_ns


def read_record(folder: Path) -> dict[str, Known]:
    """Return what is known about a folder's files by name; nothing where there is no usable record."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        files = json.loads((folder / RECORD).read_text(encoding="utf-8"))["files"]
        return {str(name): Known(**known) for name, known in files.items()}
    return {}


def write_record(folder: Path, model: Model, known: dict[str, Known]) -> None:
    """Write the record whole or not at all. Raises OSError."""
    about = {
        "id": model.id,
        "source": model.source,
        "revision": model.revision,
        "licence": model.licence,
        "pinned": model.is_pinned,
        "files": {name: asdict(file) for name, file in known.items()},
    }
    fresh = folder / f"{RECORD}.new"
    fresh.write_text(json.dumps(about, indent=1), encoding="utf-8")
    fresh.replace(folder / RECORD)
