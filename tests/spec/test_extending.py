"""docs/extending.md, performed on a copy of the source: its edits, its commands, and what it says they print."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import Home, new_home, running_daemon

pytestmark = [pytest.mark.spec, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(diff|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = {"python": [sys.executable], "lint-imports": [str(Path(sys.executable).with_name("lint-imports"))]}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("src", "scripts", "docs", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "_build"))
    for name in ("pyproject.toml", "PROTOCOL.md", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.fixture
def home(tree: Path) -> Iterator[Home]:
    with new_home(
        PYTHONPATH=str(tree / "src"),
        V2M_TRANSCRIPTION__BACKEND="scripted",
        V2M_AUDIO__BACKEND="wav",
        V2M_OUTPUT__METHOD="clipboard",
    ) as home:
        yield home


def edit(tree: Path, block: str) -> None:
    """Apply one block: its unmarked and `-` lines must stand together exactly once in the file."""
    head, *lines = block.splitlines()
    path = tree / head.removeprefix("--- ")
    old = "".join(f"{line[1:]}\n" for line in lines if line[:1] in (" ", "-"))
    new = "".join(f"{line[1:]}\n" for line in lines if line[:1] in (" ", "+"))
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    assert before.count(old) == 1 or not before, f"{path.name} does not hold exactly one:\n{old}"
    path.write_text(before.replace(old, new, 1) if before else new, encoding="utf-8")


def steps(block: str) -> list[tuple[str, list[str]]]:
    """Return each command of a console block with the lines that its output must contain."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        else:
            found[-1][1].append(line)
    return found


def run(tree: Path, home: Home, command: str) -> subprocess.CompletedProcess[str]:
    program, *words = shlex.split(command)
    environment = {**home.variables, "PATH": os.environ["PATH"]}
    return subprocess.run(
        [*PROGRAMS[program], *words],
        cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200,
    )  # fmt: skip


def test_the_page_adds_a_command_and_start_up_refuses_it_half_done(tree: Path, home: Home) -> None:
    ran = []
    for kind, block in BLOCK.findall(PAGE):
        if kind == "diff":
            edit(tree, block)
            continue
        todo = steps(block)
        background = next((n for n, (command, _) in enumerate(todo) if command.endswith("&")), len(todo))
        for command, expected in todo[:background]:
            done = run(tree, home, command)
            ran.append((command, done.returncode, done.stdout))
            assert all(line in done.stdout for line in expected), done.stdout
        if background < len(todo):
            with running_daemon(home) as daemon:
                for command, expected in todo[background + 1 :]:
                    done = run(tree, home, command)
                    ran.append((command, done.returncode, done.stdout))
                    assert all(line in done.stdout for line in expected), done.stdout
                assert daemon.process.wait(timeout=30) == 0
    refused, *others = ran
    assert refused[:2] == ("python -m v2m.main --daemon", 70)
    assert [step for step in others if step[1] != 0] == []
    assert "### GET_UPTIME" in (tree / "PROTOCOL.md").read_text(encoding="utf-8")
