"""The bundle of a bug report: versions, checks, settings, units, log lines; nothing that was dictated, no keys."""

import asyncio
import io
import json
import os
import platform
import sqlite3
import sys
import tarfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from v2m import __version__
from v2m.client import Client, ClientError
from v2m.config import Settings, describe, load_settings
from v2m.core.ipc_protocol import PROTOCOL_VERSION
from v2m.domain.errors import ConfigError, StorageError
from v2m.infrastructure._run import find_tool, run
from v2m.infrastructure.service import systemd
from v2m.infrastructure.service.detached import log_path
from v2m.infrastructure.service.units import SERVICE, SOCKET
from v2m.local._checks.finding import Result
from v2m.local._checks.scrub import Scrubber
from v2m.local._checks.storage import open_history
from v2m.utils.paths import BadSocketPathError, socket_path, state_dir
from v2m.utils.presence import is_asleep

LOG_LINES: Final = 500
LOG_BYTES: Final = 1 << 20
TEXTS: Final = 10_000  # of the newest dictations, which the log is searched for
ASK_S: Final = 5.0
LIBRARIES: Final = (
    "onnxruntime",
    "faster-whisper",
    "sherpa-onnx",
    "onnx-asr",
    "httpx2",
    "pydantic",
    "dbus-fast",
    "click",
)
PROGRAMS: Final = {
    "pipewire": ("pipewire", "--version"),
    "wireplumber": ("wireplumber", "--version"),
    "systemd": ("systemctl", "--version"),
    "sway": ("sway", "--version"),
    "ffmpeg": ("ffmpeg", "-version"),
}
# Words of the user, and commands and texts of all kinds: that they are set is all that is told.
_LEFT_OUT: Final = ("vocabulary.", "policy", "transcription.script", "cloud.api_key_cmd")
_UNIT: Final = (
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "NRestarts",
    "ExecMainStatus",
    "UnitFileState",
    "DropInPaths",
)
_STATUS: Final = ("state", "version", "engine", "degraded", "output", "outputs", "queue", "keys")


def write_bundle(path: Path, results: Sequence[Result]) -> None:
    """Write the bundle with mode 0600; its name says whether it is a .zip or a .tar.gz. Raises StorageError."""
    settings = _settings()
    scrubber = _scrubber(settings)
    parts = {
        "versions.json": asyncio.run(_versions()),
        "checks.json": [_told(result, scrubber) for result in results],
        "settings.json": _configured(settings),
        "status.json": _status(scrubber),
        "units.json": asyncio.run(_units()),
        "log.json": asyncio.run(_log(scrubber)),
    }
    texts = {name: json.dumps(part, ensure_ascii=False, indent=1).encode() for name, part in parts.items()}
    content = _zip(texts) if path.suffix == ".zip" else _tar(texts)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, 0o600)
            file.write(content)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror}.", hint="v2m doctor --report 'v2m.zip'"
        ) from error


def _settings() -> Settings | None:
    with suppress(ConfigError):
        return load_settings()
    return None


def _scrubber(settings: Settings | None) -> Scrubber:
    """Return one that knows the keys, the words and what was dictated."""
    dumped = settings.model_dump() if settings else {}
    secrets = [value.get_secret_value() for value in dumped.values() if isinstance(value, SecretStr)]
    words = settings.vocabulary.words if settings else ()
    texts = [*_dictated(settings), *(settings.transcription.script if settings else ())]
    return Scrubber(secrets=secrets, texts=texts, words=words)


def _dictated(settings: Settings | None) -> list[str]:
    """Return what was dictated lately, to be looked for; it stays in this process."""
    path = (settings.paths.state() if settings else state_dir()) / "history.db"
    with suppress(sqlite3.Error, UnicodeDecodeError), closing(open_history(path)) as rows:
        found = rows.execute("SELECT raw, text, target FROM dictation ORDER BY id DESC LIMIT ?", (TEXTS,)).fetchall()
        return [str(text) for row in found for text in row if text]
    return []


def _told(result: Result, scrubber: Scrubber) -> dict[str, str]:
    finding = result.finding
    return {
        "id": result.check.id,
        "verdict": finding.verdict.value,
        "evidence": scrubber.text(finding.evidence),
        "fix": scrubber.text(finding.fix),
    }


def _configured(settings: Settings | None) -> dict[str, Any]:
    """Return every setting with its source; secrets and the user's own words only as set or not."""
    if settings is None:
        return {"unreadable": True}
    home, found = str(Path.home()), {}
    for doc in describe():
        value: Any = settings
        for name in doc.key.split("."):
            value = _below(value, name)
        if doc.type == "secret" or doc.key.startswith(_LEFT_OUT):
            value = "set" if value else "not set"
        found[doc.key] = {
            "value": str(value).replace(home, "~"),
            "source": settings.sources.get(doc.key, "").replace(home, "~"),
        }
    return found


def _below(value: Any, name: str) -> Any:  # noqa: ANN401 - a table or a value
    fields = type(value).model_fields
    return getattr(value, next(field for field, about in fields.items() if (about.alias or field) == name))


def _status(scrubber: Scrubber) -> dict[str, Any]:
    """Return what the daemon says of itself; neither windows nor the recording."""
    try:
        if is_asleep(socket_path()):
            return {"problem": "The daemon does not run; the next key starts it."}
        with Client(timeout_s=2.0) as client:
            status = client.call("GET_STATUS")
    except (ClientError, BadSocketPathError) as error:
        return {"problem": scrubber.text(str(error))}
    told = json.dumps({name: status.get(name) for name in _STATUS}, ensure_ascii=False)
    return {name: _scrubbed(value, scrubber) for name, value in json.loads(told).items()}


def _scrubbed(value: Any, scrubber: Scrubber) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, str):
        return scrubber.text(value)
    if isinstance(value, Mapping):
        return {name: _scrubbed(part, scrubber) for name, part in value.items()}
    return [_scrubbed(part, scrubber) for part in value] if isinstance(value, list) else value


async def _versions() -> dict[str, Any]:
    libraries = {}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            libraries[name] = version_of(name)
    with suppress(OSError):
        libraries["os"] = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    programs = {name: await _first_line(argv) for name, argv in PROGRAMS.items() if find_tool(argv[0])}
    return {
        "v2m": __version__,
        "protocol": PROTOCOL_VERSION,
        "python": sys.version.split()[0],
        "kernel": platform.release(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **libraries,
        **programs,
    }


async def _first_line(argv: Sequence[str]) -> str:
    try:
        said = (await run(argv, timeout_s=ASK_S)).stdout.decode("utf-8", "replace").splitlines()
    except (OSError, TimeoutError):
        return "does not answer"
    return next((line for line in said if any(character.isdigit() for character in line)), "")[:200]


async def _units() -> dict[str, Any]:
    if not systemd.is_there():
        return {}
    names = ",".join(_UNIT)
    found = {}
    for unit in (SOCKET, SERVICE):
        told = (await systemd.ask("show", unit, f"--property={names}")).stdout.decode("utf-8", "replace").splitlines()
        found[unit] = dict(line.split("=", 1) for line in told if "=" in line)
    return found


async def _log(scrubber: Scrubber) -> list[str]:
    """Return the newest lines of the log, as far as they are ours and may be sent."""
    lines: list[str] = []
    if find_tool("journalctl"):
        argv = ["journalctl", f"--user-unit={SERVICE}", f"--lines={LOG_LINES}", "--output=short-iso", "--quiet"]
        with suppress(OSError, TimeoutError):
            lines += (await run([*argv, "--no-pager"], timeout_s=ASK_S)).stdout.decode("utf-8", "replace").splitlines()
    with suppress(OSError):
        lines += _tail(log_path())
    return [told for line in lines[-LOG_LINES:] if (told := scrubber.line(line))]


def _tail(path: Path) -> list[str]:
    """Return the whole lines among the last bytes of a file. Raises OSError."""
    with path.open("rb") as file:
        skipped = max(0, file.seek(0, os.SEEK_END) - LOG_BYTES)
        file.seek(skipped)
        lines = file.read(LOG_BYTES).decode("utf-8", "replace").splitlines()
    return lines[1:] if skipped else lines  # of a line without its beginning nobody can tell whether it is ours


def _tar(parts: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in parts.items():
            member = tarfile.TarInfo(f"v2m-report/{name}")
            member.size, member.mode, member.mtime = len(content), 0o600, int(time.time())
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _zip(parts: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(f"v2m-report/{name}", content)
    return buffer.getvalue()
