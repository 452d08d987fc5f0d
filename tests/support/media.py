"""Sound and video files of every kind, made from recorded speech, and programs that stand in for ffmpeg."""

import subprocess
from functools import cache
from pathlib import Path

from support.audio import write_wav
from support.speech import silence, wheel_clips

PICTURE = ("-f", "lavfi", "-i", "color=c=blue:s=64x64:r=5", "-shortest")
VIDEO = ("mp4", "mov", "mkv", "avi", "webm")
NATIVE = ("wav", "mp3", "flac", "ogg", "aiff")  # read without ffmpeg
KINDS = (*NATIVE, "m4a", "aac", *VIDEO)


@cache
def speech() -> tuple[bytes, str]:
    """Return 14 s of speech with pauses, S16LE 16 kHz, and its text."""
    found = [clip for clip in wheel_clips() if clip.kind == "speech"][3:7]
    return b"".join(clip.pcm + silence(1) for clip in found), " ".join(clip.text for clip in found)


def media(folder: Path, kind: str, *, pcm: bytes | None = None, name: str = "speech") -> Path:
    """Return a file of that kind, by default of `speech`; a video has a picture too."""
    wav = write_wav(folder / f"{name}.wav", pcm=speech()[0] if pcm is None else pcm)
    if kind == "wav":
        return wav
    path = folder / f"{name}.{kind}"
    convert("-i", wav, *(PICTURE if kind in VIDEO else ()), path)
    return path


def convert(*arguments: object) -> None:
    """Run ffmpeg."""
    command = ["ffmpeg", "-nostdin", "-y", "-v", "error", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def stand_in(folder: Path, script: str) -> Path:
    """Put an `ffmpeg` into a new folder that runs these lines of shell; return the folder, for PATH."""
    folder.mkdir()
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return folder
