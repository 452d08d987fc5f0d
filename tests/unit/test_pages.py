"""Pages written by hand that must agree with something: dependencies, licences, links, examples."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support.answering import answering, good

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names(requirements: list[str]) -> set[str]:
    """Return the packages that these requirements name on this platform."""
    parsed = map(Requirement, requirements)
    return {canonicalize_name(one.name) for one in parsed if not one.marker or one.marker.evaluate({"extra": ""})}


def first_cells(page: str) -> set[str]:
    """Return the words of every first cell of a page's tables."""
    rows = re.findall(r"^\| ([^|]+) \|", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE)
    return {canonicalize_name(word.strip("` ")) for row in rows for word in row.split(",")}


def installed_with(package: str) -> set[str]:
    """Return a package with everything that it brings along."""
    found, todo = set(), [package]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        found.add(name)
        todo += names(requirements)
    return found


def test_every_dependency_has_a_line_of_reason_and_no_other() -> None:
    everything = names(PROJECT["dependencies"]).union(*map(names, PROJECT["optional-dependencies"].values()))
    assert first_cells("dependencies.md") - {"package"} == everything


def test_every_library_that_is_installed_has_its_licence_named() -> None:
    libraries = set().union(*(installed_with(name) for name in names(PROJECT["dependencies"])))
    assert libraries <= first_cells("licences.md")


def test_the_documents_two_lines_stand_in_the_hotkey_page() -> None:
    page = (DOCS / "hotkeys.md").read_text(encoding="utf-8")
    assert "\nbindsym --no-repeat F9 exec /usr/bin/toak --start\n" in page
    assert "\nbindsym --release F9 exec /usr/bin/toak --stop\n" in page
    for desktop in ("Sway", "Hyprland", "KDE", "GNOME", "i3"):
        assert f"\n## {desktop}" in page


def test_no_page_names_a_verb_that_does_not_exist() -> None:
    from v2m.main import LOCAL_VERBS
    from v2m.ui._verbs import COMMANDS
    from v2m.ui.verbs import build_group

    known = {*build_group().commands, *LOCAL_VERBS, *COMMANDS}
    for page in [*DOCS.glob("*.md"), ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]:
        if page.name == "specification.md":  # names what later parts build
            continue
        text = page.read_text(encoding="utf-8")
        for words in re.findall(r"(?:^\$ |`|\| )v2m ([a-zA-Z_]+)", text, re.MULTILINE):
            assert words in known or words in ("CMD", "uptime"), f"{page.name}: v2m {words}"


def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", str(DOCS), str(tmp_path / "html")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


WINDOW = "gui.py"  # longer, with a test of its own: test_gui_example.py
EXAMPLES = {
    "blocking.py": ("\n", "Speak, then press Enter. Hello.\n"),
    "async.py": ("", "snapshot {'state': 'idle'}\n"),
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs_and_is_at_most_five_lines(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ROOT / "examples" / example
    body = [line for line in path.read_text(encoding="utf-8").splitlines() if line and '"""' not in line]
    assert len([line for line in body if "import" not in line]) <= 5
    typed, printed = EXAMPLES[example]
    with answering() as server:
        server.answers["SUBSCRIBE"] = [{"event": "snapshot", "data": {"state": "idle"}, "seq": 0}]
        server.answers["START_RECORDING"] = good()
        server.answers["STOP_RECORDING"] = good(transcription="Hello.")
        monkeypatch.setenv("V2M_SOCKET", str(server.path))
        done = subprocess.run([sys.executable, str(path)], input=typed, capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", printed)


def test_every_example_is_run_and_shown_in_the_readme() -> None:
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == {*EXAMPLES, WINDOW}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for example in EXAMPLES:
        assert f"<!-- example: {Path(example).stem} -->\n" in readme
