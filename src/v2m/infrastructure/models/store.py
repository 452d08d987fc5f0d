"""The folder of models: what is in it, and how a model comes into it whole or not at all.

A model is gathered in `ID.part` and renamed to `ID` when every file has been compared. One that is damaged
is mended file by file. Only one program at a time may change a model.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from v2m.domain.errors import AlreadyRunningError, BusyError, ModelMissingError, StateError, StorageError
from v2m.infrastructure.models import moonshine_files
from v2m.infrastructure.models._archives import is_archive, unpack
from v2m.infrastructure.models._comparison import FileState, admit, compare, trusted_digest
from v2m.infrastructure.models._records import Known, read_record, write_record
from v2m.infrastructure.models._transfer import Report, Transfer, disk_errors
from v2m.infrastructure.models.catalogue import EMBEDDED, Model, ModelFile
from v2m.infrastructure.service.lock import held_lock

LOCKS: Final = ".locks"
Bring = Callable[[Path, Sequence[ModelFile]], None]  # puts these files into this folder


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a model stands: its folder when it is installed, and what is there of a broken-off download."""

    folder: Path | None
    is_verified: bool  # its digests were compared, and nothing was written since
    is_embedded: bool
    partial_bytes: int


def silent(_what: str, _done: int, _total: int) -> None:
    """Report nothing."""


class ModelStore:
    """Models below one folder, which is made when it is needed. Every method blocks."""

    def __init__(self, folder: Path, *, verified: Path | None = None) -> None:
        """`verified`: where the daemon remembers that the embedded model's files were compared."""
        self._root = folder
        self._verified = verified

    def folder(self, model: Model) -> Path:
        """Return where a model's files are, or would be."""
        return self._root / model.id

    def standing(self, model: Model) -> Standing:
        """Return where a model stands; compares no digests but those of the embedded model, once."""
        partial = sum(path.stat().st_size for path in self._staging(model).glob("*") if path.is_file())
        if folder := self._embedded(model):
            return Standing(folder, is_verified=True, is_embedded=True, partial_bytes=partial)
        folder = self.folder(model)
        known = read_record(folder)
        files = [(known.get(file.name), folder / file.name) for file in model.files]
        return Standing(
            folder if all(one is not None and one.has_size_of(path) for one, path in files) else None,
            is_verified=all(one is not None and one.is_untouched(path) for one, path in files),
            is_embedded=False,
            partial_bytes=partial,
        )

    def download(self, model: Model, transfer: Transfer, report: Report = silent) -> Path:
        """Fetch what is missing or damaged and return the model's folder; nothing to do is fine.

        `transfer` is entered. Ctrl-C, a cut line or a full disk leave what came, for the next call.

        Raises:
            DownloadError: not reached, refused or cut.
            ModelMissingError: what came is not the model; it was removed.
            StorageError: no room, before the first byte where that can be told.
            BusyError: another program is at this model.
        """
        if folder := self._embedded(model):
            return folder

        def fetch(url: str, file: ModelFile, staging: Path) -> None:
            if not (staging / file.name).exists():
                address = transfer.address(url, is_pinned=model.is_pinned)
                told = f"downloading {file.name}"
                target, size = staging / file.name, file.size_bytes
                report(told, 0, size)
                transfer.fetch(address, target, size_bytes=size, report=lambda done: report(told, done, size))

        def bring(staging: Path, missing: Sequence[ModelFile]) -> None:
            if (archive := model.archive) is None:
                for file in missing:
                    fetch(model.address(file), file, staging)
                return
            parcel = ModelFile(Path(urlsplit(archive.url).path).name, archive.size_bytes, archive.sha256)
            fetch(archive.url, parcel, staging)
            admit(parcel, staging / parcel.name, parcel.sha256, report)
            _unpack(staging / parcel.name, staging, missing, report)

        return self._gather(model, bring, report, extra_bytes=model.archive.size_bytes if model.archive else 0)

    def take(self, model: Model, source: Path, report: Report = silent) -> Path:
        """Copy a model from a folder or a tar archive, with the checks of `download`, and return its folder.

        Raises:
            ModelMissingError: `source` is neither, lacks a file, or holds another one.
            StorageError: no room.
            BusyError: another program is at this model.
        """
        try:
            lacking = [file.name for file in model.files if not (source / file.name).is_file()]
            if source.is_dir() and lacking:
                raise ModelMissingError(f"{source} lacks {', '.join(lacking)}.", hint=f"ls '{source}'")
            if not source.is_dir() and not is_archive(source):
                raise ModelMissingError(f"{source} is neither a folder nor a tar archive.", hint=f"file '{source}'")
        except OSError as error:
            raise ModelMissingError(f"{source} cannot be read: {error.strerror}.", hint=f"ls -l '{source}'") from error

        def bring(staging: Path, missing: Sequence[ModelFile]) -> None:
            if not source.is_dir():
                _unpack(source, staging, missing, report)
                return
            for file in missing:
                report(f"copying {file.name}", 0, file.size_bytes)
                shutil.copyfile(source / file.name, staging / file.name)

        return self._gather(model, bring, report)

    def verify(self, model: Model, report: Report = silent) -> list[FileState]:
        """Compare every file of an installed model with its digest.

        Raises:
            ModelMissingError: there is nothing of the model.
            StorageError: a file cannot be read.
        """
        folder, wheel = self.folder(model), moonshine_files.wheel_folder()
        if model.id == EMBEDDED and not folder.is_dir() and wheel is not None:
            folder = wheel
        if not folder.is_dir():
            raise _not_installed(model)
        with disk_errors():
            known = read_record(folder)
            states = [compare(file, folder / file.name, trusted_digest(file, known), report) for file in model.files]
            if folder != wheel and all(state.verdict == "ok" for state in states):
                write_record(folder, model, {one.name: Known.of(folder / one.name, one.sha256) for one in states})
        return states

    def remove(self, model: Model) -> int:
        """Delete a model and what is there of a download; return the bytes that are free now.

        A link in the place of its folder is removed, not what it leads to. What was trusted at first is forgotten.

        Raises:
            ModelMissingError: there is nothing of it.
            StateError: it is a part of v2m.
            BusyError: another program is at this model.
        """
        with self._alone(model), disk_errors():
            there = [path for path in (self.folder(model), self._staging(model)) if path.is_dir() or path.is_symlink()]
            freed = 0
            for path in there:
                if path.is_symlink():
                    path.unlink()
                else:
                    freed += sum(each.lstat().st_size for each in path.rglob("*") if not each.is_dir())
                    shutil.rmtree(path)
        if not there and self._embedded(model):
            raise StateError(f"{model.id} is a part of v2m and cannot be removed.", hint="v2m models list")
        if not there:
            raise _not_installed(model)
        return freed

    # --- one model, changed by one program -------------------------------------------------------------

    def _gather(self, model: Model, bring: Bring, report: Report, *, extra_bytes: int = 0) -> Path:
        """Let `bring` put what is missing into the staging folder; compare it and put it in its place."""
        folder, staging = self.folder(model), self._staging(model)
        with self._alone(model), disk_errors():
            trusted = {file: trusted_digest(file, read_record(folder)) for file in model.files}
            states = {file: compare(file, folder / file.name, trusted[file], report) for file in model.files}
            missing = [file for file, state in states.items() if state.verdict != "ok"]
            known = {
                file.name: Known.of(folder / file.name, state.sha256)
                for file, state in states.items()
                if file not in missing
            }
            if missing:
                staging.mkdir(exist_ok=True)
                self._check_room(model, sum(file.size_bytes for file in missing) + extra_bytes)
                bring(staging, missing)
            for file in missing:
                digest = admit(file, staging / file.name, trusted[file], report)
                known[file.name] = Known.of(staging / file.name, digest)
            self._settle(model, missing, known)
        return folder

    def _settle(self, model: Model, missing: Sequence[ModelFile], known: dict[str, Known]) -> None:
        """Put the staged files in their place, in one step where there is no such model yet."""
        folder, staging = self.folder(model), self._staging(model)
        if not folder.is_dir():
            for path in staging.iterdir():
                if path.name not in known:
                    path.unlink()
            write_record(staging, model, known)
            staging.rename(folder)
            return
        for file in missing:
            shutil.move(staging / file.name, folder / file.name)
        write_record(folder, model, known)
        shutil.rmtree(staging, ignore_errors=True)

    def _check_room(self, model: Model, needed: int) -> None:
        there = sum(path.stat().st_size for path in self._staging(model).iterdir())
        free = shutil.disk_usage(self._root).free
        if needed - there > free:
            raise StorageError(
                f"{model.id} needs {(needed - there) / 1e6:,.0f} MB more, and {self._root} has {free / 1e6:,.0f} MB.",
                hint=f"df -h '{self._root}'",
            )

    @contextmanager
    def _alone(self, model: Model) -> Iterator[None]:
        """Keep other programs from this model meanwhile. Raises BusyError."""
        with disk_errors():
            (self._root / LOCKS).mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(held_lock(self._root / LOCKS / model.id))
            except AlreadyRunningError as error:
                by = f" (pid {error.pid})" if error.pid else ""
                raise BusyError(f"Another v2m{by} is at {model.id}.", hint="Wait for it to end.") from error
            yield

    def _embedded(self, model: Model) -> Path | None:
        """Return the folder inside the wheel, if this is the model that is there, and whole."""
        if model.id != EMBEDDED:
            return None
        try:
            return moonshine_files.locate(configured=None, copy=None, verified=self._verified)
        except ModelMissingError:
            return None

    def _staging(self, model: Model) -> Path:
        return self._root / f"{model.id}.part"


def _unpack(archive: Path, staging: Path, missing: Sequence[ModelFile], report: Report) -> None:
    sizes = {file.name: file.size_bytes for file in missing}
    unpack(archive, staging, sizes, lambda done: report(f"unpacking {archive.name}", done, sum(sizes.values())))


def _not_installed(model: Model) -> ModelMissingError:
    return ModelMissingError(f"The model {model.id} is not installed.", hint=f"v2m models download {model.id}")
