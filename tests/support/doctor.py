"""`v2m doctor` in a home: what a check finds, and the same after its printed command was run."""

import json
import shlex
from typing import Any

from support.daemon import BIN, Home, listens

Finding = dict[str, Any]
QUIET = {  # a daemon that needs neither sound nor a model
    "V2M_AUDIO__BACKEND": "wav",
    "V2M_TRANSCRIPTION__BACKEND": "scripted",
    "V2M_TRANSCRIPTION__SCRIPT": '["hello"]',
}


def examine(home: Home, *ids: str, **variables: str) -> dict[str, Finding]:
    """Return what the checks find, all of them or those that are named."""
    words = [word for name in ids for word in ("--only", name)]
    done = home.v2m("doctor", "--json", *words, env={**home.variables, **variables})
    return findings(done.stdout)


def findings(printed: str) -> dict[str, Finding]:
    """Return the checks of an answer by their ids."""
    return {check["id"]: check for check in json.loads(printed)["data"]["checks"]}


def mend(home: Home, finding: Finding, **variables: str) -> Finding:
    """Run the printed command in the user's shell, and there ask the same check again."""
    again = f"{shlex.quote(str(BIN / 'v2m'))} doctor --json --only {finding['id']}"
    script = f"{{ {finding['fix']}\n}} >&2 || exit 99\n{again}"
    done = home.run("sh", "-c", script, env={**home.variables, **variables}, timeout=100)
    assert done.returncode != 99, (finding["fix"], done.stderr)
    return findings(done.stdout)[finding["id"]]


def leave(home: Home) -> None:
    """End a daemon that a command started."""
    if listens(home.socket):
        home.v2m("shutdown")


def mends(home: Home, check: str, says: str, **variables: str) -> Finding:
    """Assert that doctor names what is wrong, and that its own command cures it; return what it found at first."""
    found = examine(home, check, **variables)[check]
    assert found["verdict"] in {"warn", "fail"}, found
    assert says in found["evidence"]
    mended = mend(home, found, **variables)
    assert mended["verdict"] == "ok", mended
    return found
