"""Every gate of the house passes on the tree as it is, and fails on a violation planted into a copy of it."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = [pytest.mark.spec, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what the gates look at."""
    copy = tmp_path_factory.mktemp("a tree")
    for name in ("src", "native", "scripts", "bench", "examples"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, copy)
    return copy


@contextmanager
def planted(tree: Path, path: str, violation: str) -> Iterator[None]:
    """Append a violation to a file of the tree, or make the file; take it back afterwards."""
    file = tree / path
    before = file.read_text(encoding="utf-8") if file.exists() else None
    file.write_text((before or "") + violation, encoding="utf-8")
    try:
        yield
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_text(before, encoding="utf-8")


def run(tree: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=280, env=environment)


# --- import contracts ---

LINT_IMPORTS = [str(BIN / "lint-imports"), "--no-cache"]
CONTRACTS = [contract["name"] for contract in PYPROJECT["tool"]["importlinter"]["contracts"]]
VIOLATIONS = {
    "Layers point downwards": ("src/v2m/domain/audio.py", "\nimport v2m.application.commands\n"),
    "The domain is standard library without I/O": ("src/v2m/domain/audio.py", "\nimport asyncio\n"),
    "Adapters of different ports do not know each other": (
        "src/v2m/infrastructure/output/planted.py",
        '"""Planted."""\n\nimport v2m.infrastructure.capture\n',
    ),
    "The client is standard library": ("src/v2m/client.py", "\nimport pydantic\n"),
    "User interfaces are clients": ("src/v2m/ui/planted.py", '"""Planted."""\n\nimport v2m.config\n'),
    "The worker gets plain arguments": ("src/v2m/worker.py", "\nimport v2m.config\n"),
}


def test_every_import_contract_is_kept(tree: Path) -> None:
    done = run(tree, LINT_IMPORTS)
    assert done.returncode == 0, done.stdout
    for contract in CONTRACTS:
        assert f"{contract} KEPT" in done.stdout


@pytest.mark.parametrize("contract", CONTRACTS)
def test_an_import_contract_notices_its_violation(tree: Path, contract: str) -> None:
    with planted(tree, *VIOLATIONS[contract]):
        done = run(tree, LINT_IMPORTS)
    assert done.returncode != 0
    assert f"{contract} BROKEN" in done.stdout, done.stdout


# --- the other gates ---


def shell_scripts(tree: Path) -> list[str]:
    """Return the files of the tree that a shell runs."""
    files = (file for name in ("scripts", "bench", "native") for file in (tree / name).rglob("*") if file.is_file())
    return [str(file) for file in files if file.read_bytes()[:64].partition(b"\n")[0].endswith((b"sh", b"sh -e"))]


def compile_all(tree: Path) -> list[str]:
    """Return a command that compiles every C file of the project with every warning an error."""
    flags = "-std=gnu11 -Wall -Wextra -Wconversion -Werror -fsyntax-only"
    pipewire = """$(pkg-config --cflags libpipewire-0.3 | sed 's/-I/-isystem /g')"""
    return ["sh", "-ec", f"cc {flags} -ffreestanding native/trigger/*.c; cc {flags} {pipewire} native/capture/*.c"]


GATES = {
    "ruff check": lambda _: [str(BIN / "ruff"), "check", "--no-cache", "src", "scripts", "examples"],
    "ruff format": lambda _: [str(BIN / "ruff"), "format", "--check", "--no-cache", "src", "scripts", "examples"],
    "mypy": lambda _: [str(BIN / "mypy"), "-p", "v2m"],
    "deptry": lambda _: [str(BIN / "deptry"), "src"],
    # SC2317: what only a trap calls looks unreachable to it
    "shellcheck": lambda tree: ["shellcheck", "--exclude=SC2317", *shell_scripts(tree)],
    "cc": compile_all,
}
PYTHON = "src/v2m/core/planted.py"
PLANTS = {
    "a task without an owner": (
        "ruff check",
        PYTHON,
        '"""Planted."""\n\nimport asyncio\n\nLEAK = asyncio.create_task\n',
        "TaskGroup",
    ),
    "the environment read anywhere": (
        "ruff check",
        PYTHON,
        '"""Planted."""\n\nimport os\n\nHOME = os.environ["HOME"]\n',
        "os.environ",
    ),
    "an error not named so": (
        "ruff check",
        PYTHON,
        '"""Planted."""\n\n\nclass Wrong(Exception):\n    """Wrong."""\n',
        "N818",
    ),
    "a line out of shape": ("ruff format", PYTHON, '"""Planted."""\nx=1\n', "planted.py"),
    "a wrong type": ("mypy", PYTHON, '"""Planted."""\n\nNUMBER: int = "three"\n', "planted.py"),
    "an adapter of the wrong shape": (
        "mypy",
        PYTHON,
        '"""Planted."""\n\nfrom v2m.domain.ports import TextOutput\n\nOUTPUT: TextOutput = object()\n',
        "planted.py",
    ),
    "an undeclared import": ("deptry", PYTHON, '"""Planted."""\n\nimport requests\n', "requests"),
    "a shell mistake": ("shellcheck", "scripts/planted", "#!/bin/sh\nrm -rf $1/*\n", "SC2086"),
    "a C warning": ("cc", "native/trigger/planted.c", "int f(long n);\nint f(long n) { return n; }\n", "planted.c"),
}


@pytest.mark.parametrize("gate", GATES)
def test_the_gate_passes(tree: Path, gate: str) -> None:
    done = run(tree, GATES[gate](tree))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("plant", PLANTS)
def test_the_gate_fails_on(tree: Path, plant: str) -> None:
    gate, path, violation, named = PLANTS[plant]
    with planted(tree, path, violation):
        done = run(tree, GATES[gate](tree))
    assert done.returncode != 0
    assert named in done.stdout + done.stderr
