"""The models that can be fetched: the packaged list, and the user's own behind it.

A file with a digest is pinned: nothing else is ever accepted for it. One without is trusted on first use.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from v2m.domain.errors import ConfigError
from v2m.domain.offers import EUROPEAN, OFFERS, WHISPER

PACKAGED: Final = Path(__file__).with_name("catalogue.toml")
EMBEDDED: Final = "moonshine-tiny-en"  # its files are in a wheel that v2m depends on
HUB: Final = "https://huggingface.co"
ENGINES: Final = ("moonshine", *(engine for engine in OFFERS if engine != "openai"))  # those that take a folder
LANGUAGES: Final = {"whisper": WHISPER, "european": EUROPEAN}
LAST: Final = 1000  # the rank of a model that is never suggested

_EXAMPLE: Final = "docs/models.md shows an entry."
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ADDRESS: Final = re.compile(r"https?://[^\s/]+(/\S*)?")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_REQUIRED: Final = ("id", "title", "engine", "languages", "licence", "source", "files")
_OPTIONAL: Final = ("revision", "memory_mb", "cpu", "gpu", "cores", "why", "settings", "archive")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file: `size_bytes` 0 and an empty `sha256` (lower-case hex) are not known."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Archive:
    """A tar archive that holds the files, wherever in it they lie."""

    url: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Model:
    """What can be fetched as one, into one folder."""

    id: str
    title: str
    engine: str
    languages: tuple[str, ...]
    licence: str
    source: str
    files: tuple[ModelFile, ...]
    archive: Archive | None
    revision: str
    memory_mb: int
    cpu: int  # rank among suggestions on a machine without GPU, lowest first
    gpu: int
    cores: int  # fewer are too slow for it
    why: str
    settings: Mapping[str, str]  # what its engine's table needs beside the name

    @property
    def name(self) -> str:
        """The name that the engine's setting `model` takes."""
        return self.id.removeprefix(f"{self.engine}-")

    @property
    def size_bytes(self) -> int:
        """What it takes on disk, as far as known."""
        return sum(file.size_bytes for file in self.files)

    @property
    def download_bytes(self) -> int:
        """What is fetched, as far as known."""
        return self.archive.size_bytes if self.archive else self.size_bytes

    @property
    def is_pinned(self) -> bool:
        """Whether every byte of it is known beforehand."""
        return all(file.sha256 for file in self.files) and (self.archive is None or bool(self.archive.sha256))

    def address(self, file: ModelFile) -> str:
        """Return where a file is published."""
        if self.source.startswith(f"{HUB}/"):
            return f"{self.source}/resolve/{self.revision or 'main'}/{file.name}"
        return f"{self.source}/{file.name}"


def load_catalogue(own: Path | None = None) -> dict[str, Model]:
    """Return the packaged models and those of the file `own`, by id; a file that is missing holds none.

    Raises:
        ConfigError: the file cannot be read, or an entry of it cannot be used.
    """
    models = _load(PACKAGED)
    if own is not None and own.exists():
        for name, model in _load(own).items():
            if name in models:
                raise ConfigError(f"{own}: {name} is a model that v2m knows already.", hint="Give yours another id.")
            models[name] = model
    return models


def _load(path: Path) -> dict[str, Model]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("model", [])
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", hint=f"ls -l {path}") from error
    except ValueError as error:  # also TOMLDecodeError and UnicodeDecodeError
        raise ConfigError(f"{path}: {error}.", hint=_EXAMPLE) from error
    models: dict[str, Model] = {}
    for number, table in enumerate(tables if isinstance(tables, list) else [tables], start=1):
        model = _Entry(path, number, table).model()
        if model.id in models:
            raise ConfigError(f"{path}: there are two models {model.id}.", hint=_EXAMPLE)
        models[model.id] = model
    return models


class _Entry:
    """One `[[model]]` of a file; every complaint names the file and the entry."""

    def __init__(self, path: Path, number: int, table: object) -> None:
        self._where = f"{path}, model {number}"
        if not isinstance(table, dict):
            self._refuse("is not a [[model]] table")
        self._table: dict[str, Any] = table

    def model(self) -> Model:
        """Return the entry. Raises ConfigError."""
        for key in self._table:
            if key not in _REQUIRED + _OPTIONAL:
                self._refuse(f"{key} is no key of a model")
        for key in _REQUIRED:
            if key not in self._table:
                self._refuse(f"{key} is missing")
        engine = self._value("engine", str)
        if engine not in ENGINES:
            self._refuse(f"engine is one of {', '.join(ENGINES)}")
        name = self._matching("id", _NAME)
        if not name.startswith(f"{engine}-"):
            self._refuse(f"id begins with the engine: {engine}-{name}")
        return Model(
            id=name,
            title=self._value("title", str),
            engine=engine,
            languages=self._languages(),
            licence=self._value("licence", str),
            source=self._matching("source", _ADDRESS).rstrip("/"),
            files=self._files(),
            archive=self._archive(),
            revision=self._value("revision", str, ""),
            memory_mb=self._value("memory_mb", int, 0),
            cpu=self._value("cpu", int, LAST),
            gpu=self._value("gpu", int, LAST),
            cores=self._value("cores", int, 1),
            why=self._value("why", str, ""),
            settings={str(key): str(value) for key, value in self._value("settings", dict, {}).items()},
        )

    def _languages(self) -> tuple[str, ...]:
        given = self._table["languages"]
        if isinstance(given, str) and given in LANGUAGES:
            return LANGUAGES[given]
        if not isinstance(given, list) or not given or not all(isinstance(tag, str) for tag in given):
            self._refuse(f'languages is a list such as ["en", "de"], or one of {", ".join(LANGUAGES)}')
        return tuple(given)

    def _files(self) -> tuple[ModelFile, ...]:
        given = self._value("files", list)
        files = tuple(ModelFile(self._file_name(one), *self._measure(one)) for one in given)
        if not files or len({file.name for file in files}) != len(files):
            self._refuse("files names each file once")
        return files

    def _file_name(self, file: object) -> str:
        """Return a name that cannot lead out of the model's folder."""
        name = file.get("name") if isinstance(file, dict) else None
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self._refuse('files is a list such as [{ name = "model.bin" }]')
        return name

    def _archive(self) -> Archive | None:
        given = self._value("archive", dict, None)
        if given is None:
            return None
        if not isinstance(given.get("url"), str) or not _ADDRESS.fullmatch(given["url"]):
            self._refuse("archive needs a url")
        return Archive(given["url"], *self._measure(given))

    def _measure(self, table: Mapping[str, Any]) -> tuple[int, str]:
        """Return size and digest, each as far as it is given."""
        size, digest = table.get("size", 0), table.get("sha256", "")
        if not isinstance(size, int) or size < 0 or not isinstance(digest, str):
            self._refuse("size is a number of bytes and sha256 a text")
        if digest and not _SHA256.fullmatch(digest):
            self._refuse("sha256 is not 64 digits of 0-9 and a-f")
        return size, digest

    def _matching(self, key: str, pattern: re.Pattern[str]) -> str:
        value: str = self._value(key, str)
        if not pattern.fullmatch(value):
            self._refuse(f"{key} cannot be {value!r}")
        return value

    def _value(self, key: str, kind: type[T], *default: T | None) -> Any:  # noqa: ANN401 - the kind that was asked for
        value = self._table.get(key, *default)
        if value is not None and not isinstance(value, kind):
            self._refuse(f"{key} is not a {kind.__name__}")
        return value

    def _refuse(self, complaint: str) -> NoReturn:
        raise ConfigError(f"{self._where}: {complaint}.", hint=_EXAMPLE)
