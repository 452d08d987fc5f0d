"""What is kept on the disk: history, audio, room for more."""

import os
import shlex
import shutil
import sqlite3
import stat
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

from v2m.infrastructure.history._schema import MIGRATIONS
from v2m.local._checks.cures import aside
from v2m.local._checks.facts import Facts
from v2m.local._checks.finding import Finding, fail, ok, skip, warn

START: Final = "v2m daemon start"
RESTART: Final = "v2m daemon restart"
LITTLE_BYTES: Final = 115_000_000  # an hour of audio
SOME_BYTES: Final = 1_000_000_000
LARGE_BYTES: Final = 500_000_000  # of a history: a lifetime of texts is 100 MB
_NOT_DONE: Final = ("recording", "captured", "transcribed", "refined", "delivering")


def state_dir(facts: Facts) -> Finding:
    """The folder of the history can be written, and is ours alone."""
    folder = facts.state()
    name = shlex.quote(str(folder))
    if not folder.exists():
        return ok(f"{folder} is made at the first start.")
    found = folder.stat()
    if not stat.S_ISDIR(found.st_mode):
        return fail(f"{folder} is no folder.", aside(folder))
    if found.st_uid != os.getuid():
        return fail(f"{folder} belongs to uid {found.st_uid}.", f"sudo chown -R {os.getuid()} {name}")
    if stat.S_IMODE(found.st_mode) & 0o077:
        return fail(
            f"Others may look into {folder} (mode {stat.S_IMODE(found.st_mode):04o}).", _close(folder), safe=True
        )
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ok(f"{folder} can be written.")
    except PermissionError:
        return fail(f"{folder} cannot be written.", f"chmod u+rwx {name}", safe=True)
    except OSError as error:
        mount = _mount_of(folder)
        return fail(f"{folder} cannot be written: {error.strerror}.", f"mount -o remount,rw {shlex.quote(str(mount))}")


def _mount_of(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.is_mount())


def _close(folder: Path) -> str:
    return f"chmod -R go-rwx {shlex.quote(str(folder))}"


def private_files(facts: Facts) -> Finding:
    """Nobody else can read what was dictated."""
    folder = facts.state()
    if not folder.is_dir():
        return skip("Nothing is kept yet.")
    files = [path for path in folder.rglob("*") if not path.is_symlink()]
    shared = [path for path in files if stat.S_IMODE(path.lstat().st_mode) & 0o077]
    if shared:
        return fail(f"Others may read {len(shared)} files, such as {shared[0]}.", _close(folder), safe=True)
    return ok(f"All {len(files)} files in {folder} are yours alone.")


def disk_space(facts: Facts) -> Finding:
    """There is room for recordings."""
    folder = next(path for path in (facts.state(), *facts.state().parents) if path.is_dir())
    free = shutil.disk_usage(folder).free
    evidence = f"{free / 1e6:,.0f} MB are free for {folder}; an hour of audio takes 115."
    if free < LITTLE_BYTES:
        return fail(evidence, "v2m history delete --older-than 7")
    return warn(evidence, "v2m history delete --older-than 30") if free < SOME_BYTES else ok(evidence)


def history(facts: Facts) -> Finding:
    """The history is whole, and of a form that we know."""
    mend = RESTART if facts.daemon.answers else START
    path = facts.state() / "history.db"
    if not path.exists():
        return ok("There is no history yet.")
    try:
        with closing(open_history(path)) as database:
            schema = int(database.execute("PRAGMA user_version").fetchone()[0])
            verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
            count = database.execute("SELECT count(*) FROM dictation").fetchone()[0] if schema else 0
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return fail(f"{path} is damaged ({type(error).__name__}). It is put aside and rebuilt at the next start.", mend)
    if verdict != "ok":
        return fail(f"{path} is damaged. It is put aside and rebuilt at the next start.", mend)
    if schema > len(MIGRATIONS):
        away = aside(path, "-wal", "-shm", ending=".newer")  # the newest rows may stand in the journal only
        return fail(f"A newer v2m wrote {path} (schema {schema}, this one knows {len(MIGRATIONS)}).", away)
    size = path.stat().st_size
    note = (facts.daemon.status.get("degraded") or {}).get("history", "")
    evidence = f"{count} dictations, {size / 1e6:,.1f} MB, whole. {note}".rstrip()
    return warn(evidence, "v2m history delete --older-than 365") if size > LARGE_BYTES else ok(evidence)


def spools(facts: Facts) -> Finding:
    """No recording is left without its text."""
    if facts.daemon.answers:
        return ok("The daemon has looked after all recordings at its start.")
    folder = facts.configured.settings.paths.spool() if facts.configured.settings else facts.state() / "spool"
    left = sorted(folder.glob("dictation-*.spool")) if folder.is_dir() else []
    try:
        known, undone = _rows(facts.state() / "history.db")
    except (sqlite3.Error, UnicodeDecodeError):
        return skip("The history cannot be read, see history.")
    orphans = [path for path in left if str(path) not in known]
    if orphans or undone:
        evidence = f"{len(orphans)} recordings without a row, {undone} dictations that were not finished."
        return warn(f"{evidence} They are offered at the next start.", START, safe=True)
    return ok(f"{len(left)} recordings are kept, each with its row.")


def _rows(path: Path) -> tuple[set[str], int]:
    """Return the audio that rows name, and how many rows are not finished."""
    if not path.exists():
        return set(), 0
    marks = ", ".join("?" for _ in _NOT_DONE)
    with closing(open_history(path)) as database:
        known = {str(row[0]) for row in database.execute("SELECT spool FROM dictation WHERE spool IS NOT NULL")}
        undone = database.execute(f"SELECT count(*) FROM dictation WHERE phase IN ({marks})", _NOT_DONE)  # noqa: S608 - question marks
        return known, int(undone.fetchone()[0])


def open_history(path: Path) -> sqlite3.Connection:
    """Open read-only, and without a trace where no journal has to be read. Raises sqlite3.Error."""
    has_journal = path.with_name(f"{path.name}-wal").exists()
    how = "mode=ro" if has_journal else "mode=ro&immutable=1"
    database = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, timeout=1.0)
    database.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return database
