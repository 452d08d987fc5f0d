"""`v2m models`: what is there, fetched, imported, compared, removed, suggested. No daemon takes part."""

import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import click

from v2m.client import ClientError
from v2m.domain.offers import locale_language
from v2m.local import _models_said as said
from v2m.local._group import Show, Verb, build_group
from v2m.utils.paths import config_dir, data_dir, set_variables, state_dir

if TYPE_CHECKING:
    from v2m.infrastructure.models.catalogue import Model
    from v2m.infrastructure.models.store import ModelStore

ABOUT: Final = "List, fetch, check and remove speech models; needs no daemon."
MIRROR: Final = "V2M_MODELS_MIRROR"
HUB: Final = "HF_ENDPOINT"  # what the hub's own tools read
LOCALE: Final = ("LC_ALL", "LC_MESSAGES", "LANG")  # in the order of setlocale(3)
STOPPED: Final = "Stopped. What came is kept: the same command goes on from there."


def build_command(show: Show) -> click.Group:
    """Return `models` with its verbs."""
    name = click.Argument(["name"], metavar="ID")
    some = click.Argument(["names"], metavar="[ID]...", nargs=-1)
    source = click.Argument(["source"], metavar="PATH", type=click.Path(path_type=Path))
    mirror = click.Option(["--mirror"], metavar="URL", help=f"Fetch from here instead; also ${MIRROR}")
    language = click.Option(["--language"], metavar="TAG", help="Language spoken, e.g. de; default: the locale's")
    verbs: list[Verb] = [
        ("list", _list, [], "Show every model that v2m knows, and which are installed."),
        ("suggest", _suggest, [language], "Say which models fit this machine and your language, and why."),
        ("download", _download, [name, mirror], "Fetch a model, or go on where it broke off; mend a damaged one."),
        ("import", _import, [name, source], "Take a model from a folder or a tar archive, without network."),
        ("verify", _verify, [some], "Compare every file of the named models, or of all, with its digest."),
        ("remove", _remove, [name], "Delete a model, and what is there of a broken-off download."),
    ]
    return build_group("models", ABOUT, show, verbs)


# --- the verbs --------------------------------------------------------------------------------------------


def _list(show: Show, *, as_json: bool) -> int:
    models, store = _open()
    entries = [_entry(store, model) for model in models.values()]
    return show({"models": entries}, said.table(entries), as_json=as_json)


def _suggest(show: Show, *, language: str | None, as_json: bool) -> int:
    from v2m.infrastructure.models.catalogue import EMBEDDED
    from v2m.infrastructure.models.suggest import read_machine, remarks, suggest

    models, store = _open()
    machine = read_machine()
    asked = language or locale_language(*map(set_variables(LOCALE).get, LOCALE)) or "en"
    found = suggest(models.values(), machine, asked)
    notes = remarks(machine, asked, models[EMBEDDED])
    if not found:
        notes.append("None of the models that can do it fits: see v2m models list.")
    entries = [
        {**_entry(store, one.model), "reasons": list(one.reasons), "commands": list(one.commands)} for one in found
    ]
    data = {"language": asked, "suggestions": entries, "remarks": notes}
    return show(data, said.suggestions(entries) or None, "\n".join(notes), as_json=as_json)


def _download(show: Show, *, name: str, mirror: str | None, as_json: bool) -> int:
    from v2m.infrastructure.models._transfer import Transfer

    models, store = _open()
    model = _named(models, name)
    place, hub = _places(mirror)
    with _Bar(said.beginning(model, model.download_bytes)) as report, Transfer(mirror=place, hub=hub) as transfer:
        folder = store.download(model, transfer, report)
    return _show_installed(show, store, model, folder, as_json=as_json)


def _import(show: Show, *, name: str, source: Path, as_json: bool) -> int:
    models, store = _open()
    model = _named(models, name)
    with _Bar(said.beginning(model, model.size_bytes)) as report:
        folder = store.take(model, source, report)
    return _show_installed(show, store, model, folder, as_json=as_json)


def _verify(show: Show, *, names: tuple[str, ...], as_json: bool) -> int:
    models, store = _open()
    wanted = [_named(models, name) for name in names] or [
        model for model in models.values() if store.standing(model).folder is not None or store.folder(model).is_dir()
    ]
    found = []
    with _Bar() as report:
        for model in wanted:
            states = store.verify(model, report)
            files = [{"name": one.name, "verdict": one.verdict, "sha256": one.sha256} for one in states]
            whole = all(one.verdict == "ok" for one in states)
            found.append({"id": model.id, "pinned": model.is_pinned, "ok": whole, "files": files})
    damaged = [str(one["id"]) for one in found if not one["ok"]]
    error = (
        ClientError("model_missing", f"{', '.join(damaged)}: damaged.", f"v2m models download {damaged[0]}")
        if damaged
        else None
    )
    talk = "" if found else "No model is installed."
    return show({"models": found}, said.verdicts(found) or None, talk, as_json=as_json, error=error)


def _remove(show: Show, *, name: str, as_json: bool) -> int:
    models, store = _open()
    model = _named(models, name)
    freed = store.remove(model)
    return show(
        {"id": model.id, "freed_bytes": freed},
        None,
        f"Removed {model.id}: {said.megabytes(freed)} are free again.",
        as_json=as_json,
    )


# --- what they share --------------------------------------------------------------------------------------


def _open() -> tuple[dict[str, "Model"], "ModelStore"]:
    """Return the models there are, the user's own among them, and the folder they go to."""
    from v2m.infrastructure.models.catalogue import load_catalogue
    from v2m.infrastructure.models.store import ModelStore

    models = load_catalogue(config_dir() / "models.toml")
    return models, ModelStore(data_dir() / "models", verified=state_dir() / "verified-models.json")


def _named(models: Mapping[str, "Model"], name: str) -> "Model":
    if name in models:
        return models[name]
    near = [known for known in models if known.endswith(f"-{name}")] or get_close_matches(name, models, n=1)
    hint = f"Did you mean {near[0]}?" if near else "v2m models list"
    raise ClientError("usage", f"There is no model {name[:60]!r}.", hint)


def _places(mirror: str | None) -> tuple[str | None, str | None]:
    """Return what stands for every host and for the hub, as asked for or as the environment says."""
    variables = set_variables((MIRROR, HUB))
    places = (mirror or variables.get(MIRROR), variables.get(HUB))
    for place in places:
        if place is not None and not place.startswith(("https://", "http://")):
            raise ClientError("usage", f"{place!r} is not the address of a mirror.", "Such as https://hf-mirror.com")
    return places


def _entry(store: "ModelStore", model: "Model") -> dict[str, Any]:
    """Return a model for JSON."""
    standing = store.standing(model)
    return {
        "id": model.id,
        "title": model.title,
        "engine": model.engine,
        "languages": list(model.languages),
        "licence": model.licence,
        "source": model.source,
        "revision": model.revision,
        "size_bytes": model.size_bytes,
        "download_bytes": model.download_bytes,
        "pinned": model.is_pinned,
        "installed": standing.folder is not None,
        "verified": standing.is_verified,
        "embedded": standing.is_embedded,
        "partial_bytes": standing.partial_bytes,
        "folder": str(standing.folder) if standing.folder else None,
    }


def _show_installed(show: Show, store: "ModelStore", model: "Model", folder: Path, *, as_json: bool) -> int:
    entry = {**_entry(store, model), "settings": said.settings(model, folder)}
    return show(entry, str(folder), said.installed(model, entry), as_json=as_json)


class _Bar:
    """Says what begins, then shows one bar at a time on standard error, where that is a terminal."""

    def __init__(self, beginning: str = "") -> None:
        """`beginning` is said with the first step that is no comparison."""
        self._beginning = beginning
        self._brings = bool(beginning)
        self._what = ""
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        if self._bar is not None:
            self._bar.render_finish()
            self._bar = None
        if kind is KeyboardInterrupt and self._brings:
            click.echo(STOPPED, err=True)

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show `done` of `total` bytes; a total that is not known is not shown."""
        if self._beginning and not what.startswith("checking"):
            click.echo(self._beginning, err=True)
            self._beginning = ""
        if not total or not sys.stderr.isatty():
            return
        if what != self._what:
            self.__exit__()
            self._what, self._bar = what, click.progressbar(length=total, label=what, file=sys.stderr)
        if self._bar is not None:
            self._bar.update(done - self._bar.pos)
