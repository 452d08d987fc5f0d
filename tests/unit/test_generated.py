"""Pages that come from the code are what the code says now."""

import importlib.machinery
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from v2m.application.commands import COMMANDS, DISPLAY_VARIABLES
from v2m.client import EXIT_CODES, PATIENT
from v2m.core.ipc_protocol import CommandName
from v2m.domain.events import Event, event_name
from v2m.ui import _verbs
from v2m.ui.verbs import VERBS

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]


def test_every_generated_page_is_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/generate", "--check"], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr


def test_a_stale_page_is_noticed(tmp_path: Path) -> None:
    generate = load(ROOT / "scripts/generate")
    page = tmp_path / "page.md"
    page.write_text("old", encoding="utf-8")
    assert not generate.is_current(page, lambda: "new", check=True)
    assert page.read_text(encoding="utf-8") == "old"


def load(path: Path) -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("generate", str(path))
    spec = importlib.util.spec_from_loader("generate", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_every_command_has_a_model_a_sentence_a_chapter_and_a_verb() -> None:
    protocol = (ROOT / "PROTOCOL.md").read_text(encoding="utf-8")
    assert set(COMMANDS) == {name.value for name in CommandName}
    for name, model in COMMANDS.items():
        assert model.__doc__
        assert f"\n### {name}\n" in protocol
        for key, field in model.model_fields.items():
            assert field.description, f"{name}.{key} has no description"
    asked_within_another_verb = {
        "SUBSCRIBE": "monitor",
        "CHECK_OUTPUTS": "outputs --check",
        "DELETE_HISTORY": "history delete",
        "GET_CONFIG": "config list",
        "UPDATE_CONFIG": "config set",
        "RELOAD_CONFIG": "config reload",
    }
    assert {*VERBS.values(), *asked_within_another_verb} == set(COMMANDS)
    assert set(_verbs.COMMANDS) == set(COMMANDS)
    assert set(_verbs.DISPLAY_VARIABLES) == set(DISPLAY_VARIABLES)


def test_every_command_that_waits_for_work_is_waited_for() -> None:
    waits = {name for name, model in COMMANDS.items() if "timeout_s" in model.model_fields}
    assert waits <= PATIENT <= set(COMMANDS)


def test_every_event_and_every_error_stands_in_the_protocol() -> None:
    protocol = (ROOT / "PROTOCOL.md").read_text(encoding="utf-8")
    for kind in Event.__subclasses__():
        assert f"| `{event_name(kind)}` |" in protocol
    for code in {code for model in COMMANDS.values() for code in model.errors} | EXIT_CODES.keys():
        assert f"| `{code}` |" in protocol
