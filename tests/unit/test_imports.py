"""What an import costs and does, asked of a fresh interpreter."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import v2m

pytestmark = pytest.mark.unit

SOURCE = Path(v2m.__path__[0])
MODULES = sorted(
    ".".join(("v2m", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
    for path in SOURCE.rglob("*.py")
    if path.name != "__main__.py"
)

# Runs in the fresh interpreter: importing a module must start no thread and no process, open no file for
# writing and no socket, and leave the environment alone.
WATCH = """
import importlib, os, sys
seen = []
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
def watch(event, args):
    if event == "open":
        path, mode, flags = args
        if flags & WRITING and "__pycache__" not in str(path) and path != os.devnull:
            seen.append(f"opens {path} for writing")
    elif event.split(".")[0] in ("subprocess", "shutil") or event in (
        "socket.connect", "socket.bind", "os.fork", "os.exec", "os.posix_spawn", "os.system", "os.mkdir",
        "os.remove", "os.rename", "os.putenv", "os.unsetenv", "os.kill", "os.chmod", "sqlite3.connect",
    ):
        seen.append(f"{event} {args!r:.120}")
for foreign in sys.argv[2:]:
    importlib.import_module(foreign)
sys.addaudithook(watch)
loaded, before = set(sys.modules), len(os.listdir('/proc/self/task'))
importlib.import_module(sys.argv[1])
if len(os.listdir('/proc/self/task')) != before:
    seen.append("starts a thread")
print({"seen": seen, "loaded": sorted(set(sys.modules) - loaded)})
"""


FOREIGN = ("numpy", "onnxruntime", "soundfile")  # start threads of their own when they are imported


def imported(module: str, *before: str) -> dict[str, list[str]]:
    """Return what the import does and loads beyond what importing `before` does and loads."""
    done = subprocess.run([sys.executable, "-c", WATCH, module, *before], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: dict[str, list[str]] = ast.literal_eval(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("module", MODULES)
def test_importing_a_module_does_nothing(module: str) -> None:
    path = SOURCE.joinpath(*module.split(".")[1:])
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")
    assert imported(module, *(name for name in FOREIGN if name in source))["seen"] == []


HEAVY = {
    "asyncio",
    "pydantic",
    "pydantic_settings",
    "numpy",
    "onnxruntime",
    "soundfile",
    "click",
    "dbus_fast",
    "sqlite3",
}
FORBIDDEN = {
    "v2m": HEAVY | {"json", "pathlib", "socket"},
    "v2m.utils.paths": HEAVY | {"json", "socket", "dataclasses", "logging"},
    "v2m.client": HEAVY | {"json", "dataclasses", "logging", "subprocess", "ssl"},
    "v2m.main": HEAVY | {"json", "socket", "dataclasses", "logging"},
    "v2m.daemon": HEAVY - {"asyncio"},
    "v2m.worker": {"pydantic", "pydantic_settings", "click", "dbus_fast", "sqlite3", "v2m.config", "v2m.application"},
    "v2m.ui.cli": HEAVY - {"click"} | {"dataclasses", "logging"},
    "v2m.local.models": HEAVY - {"click"} | {"httpx2", "json"},
    "v2m.domain.ports": HEAVY,
    "v2m.core.ipc_protocol": HEAVY,
}


@pytest.mark.parametrize(("module", "forbidden"), FORBIDDEN.items())
def test_an_import_does_not_load_what_it_does_not_need(module: str, forbidden: set[str]) -> None:
    assert forbidden & set(imported(module)["loaded"]) == set()
