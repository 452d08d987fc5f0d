"""The user's settings, secrets and variables."""

import os
import re
import shlex
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Final

from v2m.config import Settings, load_settings, local_dotenv
from v2m.domain.errors import ConfigError
from v2m.local._checks.facts import Facts
from v2m.local._checks.finding import Finding, fail, ok, skip, warn
from v2m.utils.paths import config_dir

EDIT: Final = "v2m config edit"
RELOAD: Final = "v2m config reload"
_VARIABLE: Final = re.compile(r"\bV2M_\w+|\b[A-Z]+_API_KEY\b")
_LINE: Final = re.compile(r"^(?P<file>.+), line (?P<line>\d+)\b")


def config(facts: Facts) -> Finding:
    """The settings can be read."""
    refusal, path = facts.configured.refusal, config_dir() / "config.toml"
    if not refusal:
        return ok(f"{path} is valid." if path.exists() else "There is no file of settings: the defaults hold.")
    if _of_variables(refusal):
        return skip("A variable stands in the way, see variables.")
    return fail(refusal, cure(facts))


def cure(facts: Facts) -> str:
    """Return the command that makes the settings right, and has a daemon that runs take them."""
    found, path = _LINE.match(facts.configured.refusal), config_dir() / "config.toml"
    is_ours = found is not None and Path(found["file"]) == path
    mend = _line_out(path, int(found["line"])) if found and is_ours else EDIT if facts.configured.refusal else ""
    return " && ".join(filter(None, (mend, RELOAD if facts.daemon.answers else "")))


def _line_out(path: Path, line: int) -> str:
    """Return the command that makes a comment of the line, with the file kept, if the rest is valid then."""
    with tempfile.TemporaryDirectory(prefix="v2m-doctor-") as folder:
        trial = Path(folder) / path.name
        shutil.copyfile(path, trial)
        lines = trial.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        lines[line - 1] = f"# {lines[line - 1]}"
        trial.write_text("\n".join(lines), encoding="utf-8")
        try:
            load_settings(config_file=trial)
        except ConfigError:
            return EDIT
    return f"sed -i.before '{line}s/^/# /' {shlex.quote(str(path))}"


def variables(facts: Facts) -> Finding:
    """No variable of ours is misspelt or holds what it may not."""
    refusal = facts.configured.refusal
    if not refusal or not _of_variables(refusal):
        return ok("Every V2M_ variable is a setting.")
    found, named = _LINE.match(refusal), _VARIABLE.search(refusal)
    if found:
        return fail(refusal, f"sed -i.before '{found['line']}s/^/# /' {shlex.quote(found['file'])}")
    file, _, _ = refusal.partition(": ")
    if Path(file).is_file() and named:
        return fail(refusal, f"sed -i.before '/{named[0]}/s/^/# /' {shlex.quote(file)}")
    return fail(refusal, f"unset {named[0]}" if named else EDIT)


def _of_variables(refusal: str) -> bool:
    return refusal.startswith("environment") or re.match(r"[^:]*\.env\b", refusal) is not None


def secret_files(facts: Facts) -> Finding:
    """Files that hold keys can be read by nobody else; one here that others could have written is none of ours."""
    files, here = [config_dir() / ".env"], local_dotenv()
    if here is not None:
        file, doubt = here
        if doubt:
            is_ours = file.stat().st_uid == os.getuid()
            fix = f"chmod 600 {shlex.quote(str(file))}" if is_ours else "cd"
            return warn(f"{file} is not heeded: {doubt}.", fix)
        files.append(file)
    if (settings := facts.configured.settings) and settings.cloud.api_key_file:
        files.append(Path(settings.cloud.api_key_file))
    there = [file for file in files if file.is_file()]
    shared = [file for file in there if stat.S_IMODE(file.stat().st_mode) & 0o077]
    if shared:
        fix = f"chmod 600 {shlex.join(map(str, shared))}"
        return fail(f"Others may read {', '.join(map(str, shared))}.", fix, safe=True)
    return ok(f"{', '.join(map(str, there))}: yours alone." if there else "There is no file with keys.")


def engines(settings: Settings) -> list[str]:
    """Return the engines that the settings name, the first one first."""
    chosen = settings.transcription.backend
    first = "moonshine" if chosen == "auto" else chosen
    return list(dict.fromkeys((first, *settings.transcription.fallback)))
