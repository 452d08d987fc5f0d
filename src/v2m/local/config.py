"""`v2m config`: what is set and by whom, and changing it, with a daemon or without one."""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from v2m.client import Client, ClientError, DaemonNotRunningError
from v2m.domain.errors import ConfigError, StateError, V2mError
from v2m.local import _config_said as said
from v2m.local._group import Show, Verb, build_group

if TYPE_CHECKING:
    from v2m.core.di.settings import SettingsStore

ABOUT: Final = "Show the settings with the source of each, and change them; works without the daemon too."
EDITORS: Final = ("VISUAL", "EDITOR")
FALLBACK_EDITOR: Final = "vi"  # POSIX


def build_command(show: Show) -> click.Group:
    """Return `config` with its verbs."""
    maybe_key = click.Argument(["key"], metavar="[KEY]", required=False)
    key = click.Argument(["key"], metavar="KEY")
    value = click.Argument(["value"], metavar="[VALUE]", required=False)
    default = click.Option(["--default", "to_default"], is_flag=True, help="Go back to the default")
    changed = click.Option(["--changed"], is_flag=True, help="Only what is not the default")
    file = click.Argument(["file"], metavar="[FILE]", required=False, type=click.Path(path_type=Path))
    verbs: list[Verb] = [
        ("get", _get, [maybe_key], "Print a setting, or those of a table; without KEY all of them."),
        ("set", _set, [key, value, default], "Change a setting in your file; the daemon applies it."),
        ("list", _list, [changed], "Print every setting with its source."),
        ("path", _path, [], "Print where your settings file is."),
        ("edit", _edit, [], "Open your settings file in $VISUAL or $EDITOR; what is wrong is not saved."),
        ("check", _check, [file], "Say whether the settings are right; else line, column and what is meant."),
        ("reload", _reload, [], "Have the daemon read its settings again."),
    ]
    return build_group("config", ABOUT, show, verbs)


# --- the verbs --------------------------------------------------------------------------------------------


def _get(show: Show, *, key: str | None, as_json: bool) -> int:
    found = _told([key] if key else [])
    entries = found["settings"]
    if key and [entry["key"] for entry in entries] == [key]:
        entry = entries[0]
        return show(entry, said.value(entry["value"]), said.source(entry), as_json=as_json)
    return show(found, said.table(entries), as_json=as_json)


def _list(show: Show, *, changed: bool, as_json: bool) -> int:
    found = _told([])
    entries = [entry for entry in found["settings"] if not (changed and entry["source"] == "default")]
    return show({**found, "settings": entries}, said.table(entries) or None, said.remarks(found), as_json=as_json)


def _path(show: Show, *, as_json: bool) -> int:
    try:
        path = _ask("GET_CONFIG", {"keys": ["audio"]})["file"]
    except DaemonNotRunningError:
        path = str(_store().path)
    return show({"file": path}, path, as_json=as_json)


def _set(show: Show, *, key: str, value: str | None, to_default: bool, as_json: bool) -> int:
    if (value is None) != to_default:
        raise ClientError("usage", "Give a VALUE, or --default.", "v2m config set --help")
    changes = {key: None if value is None else _meant(key, value)}
    done = _change(changes)
    return show(done, None, said.done(key, done), as_json=as_json)


def _edit(show: Show, *, as_json: bool) -> int:
    from v2m.infrastructure.settings.file import read_text

    path = Path(_daemons_file() or _store().path)
    store = _store(path)
    before = read_text(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.toml")
    _write_draft(draft, before or said.EMPTY_FILE)
    try:
        while True:
            _open_editor(draft)
            after = read_text(draft)
            if after in (before, said.EMPTY_FILE):
                return show({"file": str(path), "changed": False}, None, "Nothing was changed.", as_json=as_json)
            problem = _problem(store, after)
            if problem is None:
                _save(store, after, before, draft)
                done = {"file": str(path), "changed": True, **_reloaded()}
                return show(done, None, said.done(str(path), done), as_json=as_json)
            if not _again(str(problem), after):
                raise problem
    finally:
        draft.unlink(missing_ok=True)


def _check(show: Show, *, file: Path | None, as_json: bool) -> int:
    store = _store(file)
    try:
        store.load()
    except ConfigError as error:
        place = said.place(str(error))
        data = {"ok": False, "file": place.file or str(store.path), "line": place.line, "column": place.column}
        refusal = ClientError(error.code, str(error), error.hint)
        return show(data, None, said.excerpt(place), as_json=as_json, error=refusal)
    return show({"ok": True, "file": str(store.path)}, "The settings are right.", as_json=as_json)


def _reload(show: Show, *, as_json: bool) -> int:
    done = _ask("RELOAD_CONFIG", {})
    return show(done, None, said.done(done["file"], done), as_json=as_json)


# --- with a daemon or without one -------------------------------------------------------------------------


def _store(path: Path | None = None) -> "SettingsStore":
    from v2m.core.di.settings import SettingsStore

    return SettingsStore({}, path)


def _ask(cmd: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return the data of the daemon's answer. Raises ClientError."""
    with Client() as client:
        reply = client.request(cmd, data)
    if reply.get("status") == "success":
        answer: dict[str, Any] = {key: value for key, value in reply["data"].items() if key != "state"}
        return answer
    about = reply.get("error") or {}
    raise ClientError(str(about.get("code", "internal")), str(about.get("message", "")), about.get("hint"))


def _told(keys: list[str]) -> dict[str, Any]:
    """Return what GET_CONFIG tells; without a daemon what a new one would."""
    try:
        return _ask("GET_CONFIG", {"keys": keys})
    except DaemonNotRunningError:
        store = _store()
        entries = [{**entry, "pending": False} for entry in store.entries(store.load(), keys)]
        return {"file": str(store.path), "settings": entries, "restart": [], "problem": ""}


def _change(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Have the daemon change what it may; the rest is the user's own to write, under the same checks."""
    from v2m._settings_change import is_writable, names_a_folder
    from v2m.config import kinds

    known = kinds()
    guarded = {key for key, kind in known.items() if not is_writable(key, kind)}
    own = any(key in guarded or names_a_folder(key, value) for key, value in changes.items())
    file = None
    try:
        if not own:
            return _ask("UPDATE_CONFIG", {"changes": dict(changes)})
        file = _daemons_file()
    except DaemonNotRunningError:
        pass
    store = _store(Path(file) if file else None)
    settings = store.change(changes, guarded=False)
    stronger = [
        {"key": entry["key"], "place": entry["place"]}
        for entry in store.entries(settings, list(changes))
        if entry["source"] not in ("file", "default")
    ]
    return {"file": str(store.path), "applied": [], "later": [], "restart": [], "no_effect": stronger, **_reloaded()}


def _daemons_file() -> str | None:
    try:
        return str(_ask("GET_CONFIG", {"keys": ["audio"]})["file"])
    except DaemonNotRunningError:
        return None


def _reloaded() -> dict[str, Any]:
    """Have a running daemon read the file; nothing where there is none."""
    try:
        return _ask("RELOAD_CONFIG", {})
    except DaemonNotRunningError:
        return {}


def _meant(key: str, text: str) -> Any:  # noqa: ANN401 - a value of the setting's type
    from v2m._settings_view import no_such_setting, value_of
    from v2m.config import kinds

    known = kinds()
    if key not in known:
        raise no_such_setting(key, known)
    return value_of(text, known[key])


# --- the editor -------------------------------------------------------------------------------------------


def _write_draft(draft: Path, text: str) -> None:
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)


def _open_editor(draft: Path) -> None:
    """Let the user edit, in the terminal that is there. Raises ClientError."""
    from v2m.infrastructure._run import run_in_terminal
    from v2m.utils.paths import set_variables

    chosen = set_variables(EDITORS)
    if not chosen and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ClientError("usage", f"There is no terminal for {FALLBACK_EDITOR}.", "v2m config set, or export EDITOR=…")
    words = shlex.split(next((chosen[name] for name in EDITORS if name in chosen), FALLBACK_EDITOR))
    try:
        status = run_in_terminal([*words, str(draft)])
    except OSError as error:
        raise ClientError("usage", f"{words[0]} cannot be started: {error.strerror}.", "export EDITOR=nano") from error
    if status:
        raise ClientError("internal", f"{words[0]} ended with status {status}; nothing was changed.")


def _problem(store: "SettingsStore", text: str) -> V2mError | None:
    try:
        store.check(text)
    except ConfigError as error:
        return error
    return None


def _save(store: "SettingsStore", text: str, before: str, draft: Path) -> None:
    """Write what was edited; over what somebody else wrote meanwhile only if the user says so.

    Raises:
        StateError: it is not written; the draft has become a file that the hint names.
    """
    from v2m.infrastructure.settings.file import read_text

    while True:
        try:
            store.replace(text, before)
        except StateError as error:
            before = read_text(store.path)
            if not _overwrites(str(error)):
                kept = draft.rename(store.path.with_name(f"{store.path.name}.edited-{os.getpid()}"))
                words = shlex.quote(str(kept)), shlex.quote(str(store.path))
                raise StateError(f"{error} Your text is in {kept}.", hint=" ".join(["diff", *words])) from error
        else:
            return


def _overwrites(problem: str) -> bool:
    """Ask whether what was edited shall take the place of what is there now. Nobody to ask: no."""
    print(problem, file=sys.stderr)  # noqa: T201 - a question
    if not sys.stdin.isatty():
        return False
    return click.confirm(
        "Overwrite it with your text? (no: your text is kept in another file)", default=False, err=True
    )


def _again(problem: str, text: str) -> bool:
    """Ask whether to edit again; else everything stays as it was. Nobody to ask: no."""
    where = said.excerpt(said.place(problem, text))
    print(problem, *filter(None, [where]), sep="\n", file=sys.stderr)  # noqa: T201 - a question
    if not sys.stdin.isatty():
        return False
    return click.confirm("Edit again? (no: go back to what was there)", default=True, err=True)
