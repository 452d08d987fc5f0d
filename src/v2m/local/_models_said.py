"""What `v2m models` says to people."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from v2m.infrastructure.models.catalogue import Model

UNPINNED: Final = (
    "v2m knows no digest of this model: what comes now is trusted, its digests are noted beside it,"
    " and it is compared with them from then on."
)
Entry = Mapping[str, Any]


def megabytes(size: int) -> str:
    """Return a size in the unit that disks are sold in."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def beginning(model: "Model", size: int) -> str:
    """Return what is said before a model is fetched or taken."""
    line = f"{model.title} ({megabytes(size)}), licence {model.licence}."
    return line if model.is_pinned else f"{line}\n{UNPINNED}"


def table(entries: Sequence[Entry]) -> str:
    """Return one line per model."""
    rows = [
        (entry["id"], megabytes(entry["size_bytes"]), _tongues(entry["languages"]), entry["licence"], _state(entry))
        for entry in entries
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def suggestions(entries: Sequence[Entry]) -> str:
    """Return each suggestion with its reasons and the commands that bring it."""
    lines = []
    for entry in entries:
        size = "" if entry["installed"] else f" ({megabytes(entry['download_bytes'])})"
        lines += [f"{entry['title']}: {entry['id']}{size}"]
        lines += [f"    {reason}" for reason in entry["reasons"]]
        lines += ["    Installed."] if entry["installed"] else [f"    $ {command}" for command in entry["commands"]]
    return "\n".join(lines)


def verdicts(models: Sequence[Entry]) -> str:
    """Return one line per file."""
    return "\n".join(f"{file['verdict']:8} {model['id']}/{file['name']}" for model in models for file in model["files"])


def settings(model: "Model", folder: Path) -> str:
    """Return the lines of config.toml that choose a model."""
    lines = ["[transcription]", f'backend = "{model.engine}"']
    if model.engine == "moonshine":
        return "\n".join([*lines, f'model_dir = "{folder}"'])
    chosen = {"model": model.name, **model.settings}
    return "\n".join(
        [
            *lines,
            "",
            f"[transcription.{model.engine.replace('-', '_')}]",
            *(f'{key} = "{value}"' for key, value in chosen.items()),
        ]
    )


def installed(model: "Model", entry: Entry) -> str:
    """Return what follows a download or an import."""
    if entry["embedded"]:
        return f"{model.title} comes with v2m: there is nothing to fetch."
    return f"{model.title} is installed. To use it, write into ~/.config/v2m/config.toml:\n\n{entry['settings']}\n"


def _tongues(languages: Sequence[str]) -> str:
    return f"{len(languages)} languages" if len(languages) > 1 else languages[0]


def _state(entry: Entry) -> str:
    if entry["embedded"]:
        return "comes with v2m"
    if entry["installed"]:
        return "installed" if entry["verified"] else "installed, changed since: v2m models verify"
    if entry["partial_bytes"]:
        return f"{megabytes(entry['partial_bytes'])} fetched"
    return "-"
