"""Sound and video files by `ffmpeg`: a child that reads one local file and writes its first sound track.

It writes to a nameless file on the disk, 115 MB per hour, which the speech process reads as it grows. Not to
a pipe: what has been read from a pipe cannot be read again by the engine that takes over from a failed one.
"""

import asyncio
import errno
import os
import re
import stat
import struct
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from v2m.domain.audio import (
    MAX_FILE_S,
    OFFSET_FLAGS,
    OFFSET_MAGIC,
    SAMPLE_RATE_HZ,
    SPOOL_HEADER_BYTES,
    SPOOL_MAGIC,
    SPOOL_VERSION,
    SpoolFlag,
)
from v2m.domain.errors import EngineError, ProtocolError, V2mError
from v2m.infrastructure._run import Streaming, end_group, find_tool, read_some, streaming

# ffmpeg reports twice a second while it works, and a sleeping disk or a network mount needs up to 15 s to answer.
STALL_S: Final = 30.0
_MAX_LINE: Final = 1000  # bytes of standard error that are looked at; metadata of any length stands there
# What may be inside. No playlists (hls, concat, dash, sdp …): those name other files and servers.
_FORMATS: Final = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,dv,eac3,flac,flv,gsm,loas,matroska,mov,mp3,mpc,mpc8,mpeg,"
    "mpegts,mxf,nut,ogg,oma,qcp,rm,sox,spdif,tak,tta,voc,w64,wav,wtv,wv,xwma"
)
_DURATION: Final = re.compile(r"Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)")
_COMPLAINT: Final = re.compile(r"\[(?:error|fatal)\] (.*)")
_INPUT: Final = re.compile(r"(?:file:)?/proc/self/fd/\d+(?:: )?")


class FfmpegMedia:
    """A `MediaOpener`; looks for ffmpeg each time, so that one installed later is found."""

    def __init__(self, folder: Path, *, stall_s: float = STALL_S) -> None:
        """Use the folder for what is converted; give ffmpeg up when it does nothing for `stall_s`."""
        self._folder = folder
        self._stall_s = stall_s

    async def open(self, path: Path) -> int:
        """Return a descriptor of the file; see the port."""
        return await asyncio.to_thread(_open, path)

    @asynccontextmanager
    async def convert(self, path: Path) -> AsyncIterator["Conversion"]:
        """Run ffmpeg on the file while it is used; see the port."""
        tool = find_tool("ffmpeg")
        if tool is None:
            raise EngineError(
                f"{path.name} can be read by ffmpeg only, which is not installed.", hint="apt install ffmpeg"
            )
        fd, trouble = await self.open(path), None
        try:
            with tempfile.TemporaryFile(dir=self._folder) as audio:
                _write_header(audio.fileno())
                async with (
                    streaming(_argv(tool, fd), stdout=audio.fileno(), pass_fds=[fd]) as running,
                    asyncio.TaskGroup() as group,
                ):
                    conversion = Conversion(running, path.name, audio.fileno(), self._stall_s)
                    watch = group.create_task(conversion.watch())
                    try:
                        yield conversion
                    except V2mError as error:  # carried past the group, which would wrap it
                        trouble = error
                    watch.cancel()
        except OSError as error:
            raise EngineError(f"{path.name} cannot be converted: {error.strerror}.", hint="df -h") from error
        finally:
            os.close(fd)
        if trouble is not None:
            raise trouble


class Conversion:
    """One run of ffmpeg; a `MediaSource`."""

    def __init__(self, running: Streaming, name: str, audio_fd: int, stall_s: float) -> None:
        self.duration_s: float | None = None
        self._running = running
        self._name = name
        self._audio_fd = audio_fd
        self._stall_s = stall_s
        self._complaint = ""
        self._failure: EngineError | None = None
        self._over = asyncio.Event()

    def open_reader(self) -> int:
        """Return a new descriptor of the audio."""
        return os.open(f"/proc/self/fd/{self._audio_fd}", os.O_RDONLY | os.O_CLOEXEC)

    async def ended(self) -> str:
        """Wait for the end; return what was damaged. Raises EngineError."""
        await self._over.wait()
        if self._failure is not None:
            raise self._failure
        return f"{self._name} is damaged: {self._complaint}." if self._complaint else ""

    async def watch(self) -> None:
        """Follow what ffmpeg says until it ends; one that is stuck is ended. Never raises."""
        try:
            async with asyncio.timeout(None) as patience:
                pending = b""
                while True:
                    patience.reschedule(asyncio.get_running_loop().time() + self._stall_s)
                    if not (said := await read_some(self._running.stderr)):
                        break
                    *lines, pending = (pending + said).split(b"\n")
                    pending = pending[-_MAX_LINE:]
                    for line in lines:
                        self._note(line[:_MAX_LINE].decode("utf-8", "replace"))
                    if self._failure is not None:
                        return
                if await self._running.child.wait() != 0:
                    self._failure = self._unreadable(self._complaint or f"ffmpeg ended with {self._status}")
        except TimeoutError:
            self._failure = EngineError(
                f"ffmpeg was ended: it got nothing out of {self._name} for {self._stall_s:g} s.",
                hint="Is the disk of the file there? ffmpeg -i FILE OUT.wav shows more.",
            )
        finally:
            await end_group(self._running.child)
            os.pwrite(self._audio_fd, struct.pack("=I", SpoolFlag.CLOSED), OFFSET_FLAGS)
            self._over.set()

    @property
    def _status(self) -> str:
        status = self._running.child.returncode or 0
        return f"status {status}" if status >= 0 else f"signal {-status}"

    def _note(self, line: str) -> None:
        """Take down the duration, a complaint, or why it goes no further."""
        if complaint := _COMPLAINT.search(line):
            self._complain(_INPUT.sub("", complaint[1]))
        elif self.duration_s is None and (found := _DURATION.search(line)):
            hours, minutes, seconds = found.groups()
            self.duration_s = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
            if self.duration_s > MAX_FILE_S:
                self._failure = EngineError(
                    f"{self._name} is longer than {MAX_FILE_S // 3600} hours.", hint="Split it."
                )

    def _complain(self, text: str) -> None:
        if "matches no streams" in text:
            self._failure = self._unreadable("it has no sound track")
        elif "not on whitelist" in text:
            self._failure = self._unreadable("files of this kind, such as playlists, are not read")
        elif os.strerror(errno.ENOSPC) in text:
            self._failure = EngineError(f"There is no room on the disk for the sound of {self._name}.", hint="df -h")
        self._complaint = "".join(one if one.isprintable() else " " for one in text)[:200].rstrip(" .")

    def _unreadable(self, reason: str) -> EngineError:
        return EngineError(f"{self._name} cannot be read: {reason}.", hint="ffmpeg -i FILE shows what it is.")


def _argv(tool: str, fd: int) -> list[str]:
    return [
        tool,
        *("-hide_banner", "-nostdin", "-nostats", "-v", "level+info", "-progress", "pipe:2"),
        *("-protocol_whitelist", "file", "-format_whitelist", _FORMATS),
        *("-vn", "-sn", "-dn", "-i", f"file:/proc/self/fd/{fd}"),
        *("-map", "0:a:0", "-ac", "1", "-ar", str(SAMPLE_RATE_HZ)),
        *("-t", str(MAX_FILE_S + 1), "-f", "s16le", "pipe:1"),
    ]


def _write_header(fd: int) -> None:
    """Make a file the beginning of a spool, which tells the speech process what it is."""
    header = bytearray(SPOOL_HEADER_BYTES)
    struct.pack_into("=8sII", header, OFFSET_MAGIC, SPOOL_MAGIC, SPOOL_VERSION, SAMPLE_RATE_HZ)
    os.write(fd, header)


def _open(path: Path) -> int:
    """Open a file that is one; a FIFO or a device never blocks, and is not touched."""
    if not path.is_absolute():
        raise ProtocolError("The path of the file is not absolute.", hint="Give an absolute path.")
    hint = "Give the path of a sound or video file."
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ProtocolError(f"{path} is no file.", hint=hint)
        if found.st_size == 0:
            raise ProtocolError(f"{path} is empty.", hint=hint)
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        reason = "there is no such file" if error.errno == errno.ENOENT else error.strerror
        raise ProtocolError(f"{path}: {reason}.", hint=hint) from error
    except ValueError as error:  # a NUL in the path
        raise ProtocolError("The path of the file cannot be one.", hint=hint) from error
