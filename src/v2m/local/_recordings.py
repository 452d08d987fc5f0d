"""Recordings with the texts that were spoken, to measure engines on."""

import json
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from v2m.domain.errors import ConfigError

SOUNDS: Final = (".wav", ".flac", ".ogg", ".mp3", ".aiff")
MANIFEST: Final = "manifest.json"
# What is spoken in the recordings inside the wheel of the embedded engine; both texts are in the public domain.
BUNDLED: Final = {
    "beckett.wav": "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better.",
    "two_cities.wav": "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of"
    " foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of Light, it was the"
    " season of Darkness, it was the spring of hope, it was the winter of despair, we had everything before us, we had"
    " nothing before us, we were all going direct to Heaven, we were all going direct the other way, in short, the"
    " period was so far like the present period, that some of its noisiest authorities insisted on its being received,"
    " for good or for evil, in the superlative degree of comparison only.",
}
# A short one for `v2m doctor --loop`: from the second file, cut at pauses (seconds).
SHORT: Final = ("two_cities.wav", 0.97, 4.83, "It was the best of times, it was the worst of times,")
HINT: Final = "Put FILE.wav beside FILE.txt with what is spoken in it, or a manifest.json: docs/bench.md."


@dataclass(frozen=True, slots=True)
class Recording:
    """A sound file, and what is spoken in it; empty text: nothing is."""

    path: Path
    text: str


def load_recordings(folder: Path | None) -> list[Recording]:
    """Return the recordings of a folder, or without one those that come with the embedded engine.

    A folder holds a `manifest.json` (a list of objects with `file` and `text`), or a text file beside each sound.

    Raises:
        ConfigError: the folder holds none, or its manifest is damaged.
    """
    if folder is None:
        return list(_bundled())
    manifest = folder / MANIFEST
    listed = manifest.is_file()
    try:
        found = list(_listed(folder, json.loads(manifest.read_text()))) if listed else list(_paired(folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        source = manifest if listed else f"The texts in {folder}"
        raise ConfigError(f"{source} cannot be understood: {error}.", hint=HINT) from error
    if not found:
        raise ConfigError(f"There are no recordings with texts in {folder}.", hint=HINT)
    if missing := next((one.path for one in found if not one.path.is_file()), None):
        raise ConfigError(f"{missing} is not there, or is no file.", hint=HINT)
    return found


def _listed(folder: Path, entries: list[dict[str, Any]]) -> Iterator[Recording]:
    for entry in entries:
        yield Recording(folder / str(entry["file"]), str(entry["text"]))


def _paired(folder: Path) -> Iterator[Recording]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in SOUNDS and (text := path.with_suffix(".txt")).is_file():
            yield Recording(path, text.read_text().strip())


def write_short_recording(target: Path) -> str:
    """Write a short recording of speech as a WAV file; return what is spoken in it.

    Raises:
        ConfigError: the recording is not where it is installed with v2m.
    """
    name, start_s, end_s, text = SHORT
    try:
        source = next(one.path for one in _bundled() if one.path.name == name)
        with wave.open(str(source)) as whole, wave.open(str(target), "wb") as cut:
            cut.setparams(whole.getparams())
            whole.setpos(round(start_s * whole.getframerate()))
            cut.writeframes(whole.readframes(round((end_s - start_s) * whole.getframerate())))
    except (StopIteration, OSError, EOFError, wave.Error) as error:
        raise ConfigError(
            "The recording that comes with v2m is missing.", hint="pip install moonshine-voice==0.1.0"
        ) from error
    return text


def _bundled() -> Iterator[Recording]:
    spec = find_spec("moonshine_voice")
    for place in (spec and spec.submodule_search_locations) or ():
        for name, text in BUNDLED.items():
            yield Recording(Path(place) / "assets" / name, text)
