"""One file over HTTP, continued where the last attempt broke off; no more of it in memory than a chunk.

`NAME.part` grows beside `NAME.part.json`, which holds the address it comes from and what tells the same
version of it (an entity tag); the finished file is `NAME`.
"""

import contextlib
import errno
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from v2m.domain.errors import DownloadError, ModelMissingError, StorageError
from v2m.infrastructure.models._contents import refuse_foreign_text
from v2m.infrastructure.models.catalogue import HUB

if TYPE_CHECKING:
    import httpx2

Report = Callable[[str, int, int], None]  # what is done, bytes done, bytes in all (0: not known)

FRUITLESS: Final = 3  # attempts in a row that bring no byte
CONNECT_S: Final = 15.0  # a first connection through a slow proxy
SILENCE_S: Final = 60.0  # without a byte: the hub's storage may take some seconds to begin
WHOLE: Final = 200
PART: Final = 206
NOTHING_LEFT: Final = 416
TEMPORARY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
INSTALL: Final = "pip install 'v2m[models]'"
ANOTHER_PLACE: Final = "Another place: --mirror URL; from a folder of yours: v2m models import ID PATH"
_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class _BrokenOffError(Exception):
    """The attempt ended early; another may go on. `str()` says why."""


class Transfer:
    """Fetches files; a context manager that holds the connections. For one thread."""

    def __init__(
        self, *, mirror: str | None = None, hub: str | None = None, pause_s: float = 1.0, silence_s: float = SILENCE_S
    ) -> None:
        """Take what stands for every host (`mirror`) or for Hugging Face (`hub`), each an address."""
        self._mirror = mirror
        self._hub = hub
        self._pause_s = pause_s
        self._silence_s = silence_s

    def __enter__(self) -> Self:
        try:
            import httpx2
        except ImportError as error:
            raise DownloadError("Fetching a model needs the package httpx2.", hint=INSTALL) from error
        timeout = httpx2.Timeout(self._silence_s, connect=CONNECT_S)
        self._client: httpx2.Client = httpx2.Client(follow_redirects=True, timeout=timeout)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def address(self, url: str, *, is_pinned: bool) -> str:
        """Return where an address is really fetched from. Raises DownloadError for HTTP without a digest."""
        wanted = urlsplit(url)
        if self._mirror is not None:
            url = f"{self._mirror.rstrip('/')}{wanted.path}"
        elif self._hub is not None and url.startswith(f"{HUB}/"):
            url = f"{self._hub.rstrip('/')}{wanted.path}"
        if urlsplit(url).scheme != "https" and not is_pinned:
            raise DownloadError(f"{url} has no known digest, so it is fetched over HTTPS only.", hint="v2m models list")
        return url

    def fetch(self, url: str, target: Path, *, size_bytes: int, report: Callable[[int], None]) -> None:
        """Make `target`, in as many attempts as bring something; `report` gets the bytes there are.

        `size_bytes` is what it must have, 0 when that is not known.

        Raises:
            DownloadError: not reached, or refused; what came is kept and continued by the next call.
            ModelMissingError: what is there is not the model; it is not kept.
            StorageError: the disk is full; what came is kept.
        """
        part = target.with_name(f"{target.name}.part")
        fruitless = 0
        while True:
            before = _size(part)
            try:
                self._attempt(url, part, size_bytes, report)
            except _BrokenOffError as error:
                fruitless = 0 if _size(part) > before else fruitless + 1
                if fruitless == FRUITLESS:
                    raise DownloadError(
                        f"{urlsplit(url).netloc} broke off: {error}.",
                        hint="Give the same command again: it goes on from here.",
                    ) from error
                time.sleep(self._pause_s * fruitless)
            else:
                break
        _note_path(part).unlink(missing_ok=True)
        part.replace(target)

    def _attempt(self, url: str, part: Path, size_bytes: int, report: Callable[[int], None]) -> None:
        """Bring what is missing. Raises _BrokenOffError where another attempt may help."""
        have = _size(part)
        if size_bytes and have == size_bytes:
            return
        headers = {"Accept-Encoding": "identity"}
        validator = _noted(part, url) if have else None
        if validator is not None:
            headers |= {"Range": f"bytes={have}-", "If-Range": validator}
        with _foreign_errors(url), self._client.stream("GET", url, headers=headers) as response:
            if response.status_code == NOTHING_LEFT:
                part.unlink(missing_ok=True)
                raise _BrokenOffError("it has no more than what came before")
            start, total = self._accept(response, url, size_bytes, have if validator is not None else 0)
            _note_path(part).write_text(json.dumps({"url": url, "validator": _validator(response)}), encoding="utf-8")
            with part.open("r+b" if start else "wb") as file:
                file.seek(start)
                self._receive(response, file.write, start, total, report)
        if total and _size(part) < total:
            raise _BrokenOffError(f"{_size(part)} of {total} bytes came")

    def _accept(self, response: "httpx2.Response", url: str, size_bytes: int, asked: int) -> tuple[int, int]:
        """Return where the body begins and what the file has in all (0: not known); refuse what is no such file."""
        if response.status_code in TEMPORARY:
            raise _BrokenOffError(f"it answered {response.status_code}")
        if response.status_code not in (WHOLE, PART):
            raise DownloadError(
                f"{url} cannot be had: {urlsplit(url).netloc} answered {response.status_code}.",
                hint=ANOTHER_PLACE,
            )
        if url.startswith("https:") and response.url.scheme != "https":
            raise DownloadError(f"{url} leads to a place without HTTPS.", hint=ANOTHER_PLACE)
        refuse_foreign_text(url, b"", response.headers.get("Content-Type", ""))
        start, total = 0, int(response.headers.get("Content-Length", 0))
        if response.status_code == PART:
            found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if found is None or int(found[1]) != asked:
                raise _BrokenOffError("it sent another part than was asked for")
            start, total = asked, int(found[2]) if found[2] != "*" else 0
        if size_bytes and total and total != size_bytes:
            raise ModelMissingError(f"{url} has {total} bytes; the model's file has {size_bytes}.", hint=ANOTHER_PLACE)
        return start, size_bytes or total

    def _receive(
        self,
        response: "httpx2.Response",
        write: Callable[[bytes], int],
        have: int,
        total: int,
        report: Callable[[int], None],
    ) -> None:
        """Write the body as it comes, never more than there should be."""
        for chunk in response.iter_raw():
            if have == 0:
                refuse_foreign_text(str(response.url), chunk, "")
            have += len(chunk)
            if total and have > total:
                raise ModelMissingError(
                    f"{response.url} is longer than the {total} bytes of the model's file.", hint=ANOTHER_PLACE
                )
            write(chunk)
            report(have)


@contextlib.contextmanager
def _foreign_errors(url: str) -> Iterator[None]:
    """Turn what httpx2 and the disk say into ours."""
    import httpx2

    from v2m.infrastructure._http_faults import fault

    try:
        with disk_errors("What came is kept: make room and give the same command again."):
            yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
        raise DownloadError(
            str(fault(error, urlsplit(url).netloc)),
            hint="What came is kept. Without network: v2m models import ID PATH",
        ) from error
    except (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
        raise _BrokenOffError(str(error) or "it fell silent") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
        raise DownloadError(f"{url} cannot be fetched: {error}.", hint="v2m models list") from error


@contextlib.contextmanager
def disk_errors(then: str = "Make room and give the same command again.") -> Iterator[None]:
    """Turn what the file system says into ours; `then` is what to do about a full disk."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StorageError(
            f"The model cannot be read or written: {error.strerror}.",
            hint=then if full else f"ls -ld '{error.filename or 'the model folder'}'",
        ) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _note_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _noted(part: Path, url: str) -> str | None:
    """Return what tells the version that `part` is the beginning of; None where that is not known."""
    with contextlib.suppress(OSError, ValueError):
        note = json.loads(_note_path(part).read_text(encoding="utf-8"))
        if isinstance(note, dict) and note.get("url") == url and isinstance(note.get("validator"), str):
            return str(note["validator"]) or None
    return None


def _validator(response: "httpx2.Response") -> str:
    """Return the strong validator of an answer; a weak entity tag says nothing about bytes."""
    tag = str(response.headers.get("ETag", ""))
    return tag if tag and not tag.startswith("W/") else str(response.headers.get("Last-Modified", ""))
