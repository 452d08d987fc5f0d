"""`v2m transcribe`: files to documents, a progress bar on a terminal, Ctrl-C ends the work."""

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from v2m.client import ClientError, exit_code
from v2m.ui import ask, subtitles
from v2m.ui.follow import Following, following

FORMATS: Final = ("txt", "md", "json", "srt", "vtt")


class Wanted(NamedTuple):
    """What the command line asks for."""

    form: str
    language: str | None
    as_json: bool


def command(sentence: str) -> click.Command:
    """Return the verb."""
    params = [
        click.Argument(["file_path"], nargs=-1, required=True, metavar="FILE..."),
        click.Option(
            ["--format", "form"], type=click.Choice(FORMATS), help="Form of the text; default: as OUTPUT ends, or txt"
        ),
        click.Option(["-o", "--output"], help="Where the text goes: a file, or a folder; default: standard output"),
        click.Option(["--language"], help="Language spoken"),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the daemon's whole answer as JSON"),
    ]
    return click.Command("transcribe", params=list(params), callback=_act, help=sentence)


def _act(file_path: tuple[str, ...], **options: Any) -> Callable[[], int]:  # noqa: ANN401 - what click parsed
    return partial(run, file_path, **options)


def run(files: Sequence[str], *, form: str | None, output: str | None, language: str | None, as_json: bool) -> int:
    """Transcribe one file after the other; return the exit status of the first that failed. Raises UsageError."""
    if as_json and output is not None:
        raise ask.UsageError("--json prints the daemon's answer and writes no file.", "v2m transcribe --format json")
    suffix = Path(output or "").suffix[1:]
    wanted = Wanted(form or (suffix if suffix in FORMATS else "txt"), language, as_json)
    targets = _targets([Path(file) for file in files], wanted.form, output)
    statuses = [_one(file, target, wanted) for file, target in zip(files, targets, strict=True)]
    return next(filter(None, statuses), 0)


def _targets(files: Sequence[Path], form: str, output: str | None) -> Sequence[Path | None]:
    """Return where each text goes, refusing in time what cannot be written. Raises UsageError."""
    if output is None:
        if len(files) > 1 and form in ("srt", "vtt"):
            raise ask.UsageError("Subtitles of several files cannot be one.", "v2m transcribe --output FOLDER FILE...")
        return [None] * len(files)
    target = Path(output)
    folder = target if target.is_dir() else target.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ask.UsageError(f"{folder} is no folder that can be written to.", "v2m transcribe --help")
    if target.is_dir():
        stems = [file.stem for file in files]
        return [folder / f"{one.stem if stems.count(one.stem) == 1 else one.name}.{form}" for one in files]
    if len(files) > 1:
        raise ask.UsageError("Several files need a folder to go to.", "v2m transcribe --output FOLDER FILE...")
    if target.exists() and files[0].exists() and target.samefile(files[0]):
        raise ask.UsageError("The text would overwrite the recording.", "v2m transcribe --output FOLDER FILE")
    return [target]


def _one(file: str, target: Path | None, wanted: Wanted) -> int:
    """Transcribe a file and write its text; return the exit status."""
    with following(Path(file).name, needs_passages=wanted.form != "txt") as follower:
        given = {"file_path": file, "language": wanted.language, "job": follower.job}
        reply = ask.reply_to("TRANSCRIBE_FILE", {key: value for key, value in given.items() if value is not None})
    if wanted.as_json or reply.get("status") != "success":
        return ask.show("TRANSCRIBE_FILE", reply, as_json=wanted.as_json)
    if reply["data"].get("damage"):
        ask.complain(str(reply["data"]["damage"]), None)
    try:
        document = _document(Path(file).name, reply["data"], wanted.form, follower)
    except ClientError as error:
        return ask.show("TRANSCRIBE_FILE", ask.refusal(error), as_json=False)
    return _write(document, target)


def _document(name: str, data: dict[str, Any], form: str, follower: Following) -> str:
    text, told = str(data.get("transcription", "")), data.get("passages")
    if form == "txt":
        return subtitles.txt(text)
    passages = follower.passages() if told is None else [subtitles.Passage(**one) for one in told]
    match form:
        case "md":
            return subtitles.markdown(name, passages)
        case "json":
            return subtitles.as_json(name, text, float(data.get("duration_s", 0)), passages)
        case "srt":
            return subtitles.srt(passages)
        case _:
            return subtitles.vtt(passages)


def _write(document: str, target: Path | None) -> int:
    if target is None:
        sys.stdout.write(document)
        return 0
    try:
        target.write_text(document, encoding="utf-8")
    except OSError as error:
        ask.complain(f"{target} cannot be written: {error.strerror}.", None)
        return exit_code("internal")
    return 0
