"""Finds the three files of Moonshine tiny-en and makes sure that they are what they should be.

They come inside the wheel `moonshine-voice==0.1.0` (later wheels carry no weights), which is never
imported: that would load a 42 MB library nobody uses.
"""

import contextlib
import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from v2m.domain.errors import ModelMissingError

ENCODER: Final = "encoder_model.ort"
DECODER: Final = "decoder_model_merged.ort"
TOKENIZER: Final = "tokenizer.bin"

# The same in the x86-64 and the aarch64 wheel.
SHA256: Final = {
    ENCODER: "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
    DECODER: "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0",
    TOKENIZER: "6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d",
}
REINSTALL: Final = "pip install --force-reinstall --no-deps moonshine-voice==0.1.0"
Stamp = list[int | str]  # size, time of change in ns, digest
CONFIGURED: Final = "Set transcription.model_dir to a folder with the three files, or remove the setting."


def locate(*, configured: Path | None, copy: Path | None, verified: Path | None) -> Path:
    """Return the folder of the model: the configured one, the wheel's, or the copy in `copy`.

    A configured folder may hold any model with the three file names and is not compared; the others
    are, once per size and time of change, remembered in the file `verified`.

    Raises:
        ModelMissingError: none is there and whole.
    """
    if configured is not None:
        missing = [name for name in SHA256 if not (configured / name).is_file()]
        if missing:
            raise ModelMissingError(f"{configured} lacks {', '.join(missing)}.", hint=CONFIGURED)
        return configured
    complaint = "The speech model is not installed."
    for folder in (wheel_folder(), copy):
        if folder is None or not folder.is_dir():
            continue
        damaged = next((name for name in SHA256 if not _is_whole(folder / name, verified)), None)
        if damaged is None:
            return folder
        complaint = f"The speech model in {folder} is damaged: {damaged} is not the published file."
    raise ModelMissingError(complaint, hint=REINSTALL)


def wheel_folder() -> Path | None:
    """Return the model's folder inside the installed wheel, None without the wheel; imports nothing."""
    spec = find_spec("moonshine_voice")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "assets" / "tiny-en"


def _is_whole(file: Path, verified: Path | None) -> bool:
    """Compare a file with its published digest, unless it was compared before and has not changed."""
    try:
        found = file.stat()
        known = _read(verified)
        stamp: Stamp = [found.st_size, found.st_mtime_ns, SHA256[file.name]]
        if known.get(str(file)) == stamp:
            return True
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return False
    if digest != SHA256[file.name]:
        return False
    _write(verified, {**known, str(file): stamp})
    return True


def _read(verified: Path | None) -> dict[str, Stamp]:
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(verified.read_text()) if verified else {}
        return known if isinstance(known, dict) else {}
    return {}


def _write(verified: Path | None, known: dict[str, Stamp]) -> None:
    """Remember; where that cannot be written the files are compared again next time (0.1 s)."""
    if verified is None:
        return
    with contextlib.suppress(OSError):
        verified.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = verified.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600, exist_ok=False)
        fresh.write_text(json.dumps(known))
        fresh.replace(verified)
