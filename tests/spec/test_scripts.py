"""The scripts of a checkout: what they print, what they refuse, and that the pages and CI name the same ones."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.audio import write_wav
from support.daemon import Home, new_home, running_daemon, wait_until

pytestmark = [pytest.mark.spec, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
NETWORK = re.compile(r"PIP_.*|.*_proxy|SSL_CERT_.*", re.IGNORECASE)  # how this machine reaches the package index
IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}
STAGES = ("first sample", "microphone let go", "release → text ", "text in the window")


def script(tree: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script with an environment of its own."""
    environment = {"HOME": "/nonexistent", "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", **variables}
    path, *arguments = words
    return subprocess.run(
        [tree / path, *arguments], env=environment, cwd=tree, capture_output=True, text=True, timeout=280
    )


def assert_dictated(printed: str) -> None:
    """The sentence, where it was typed, and how long each stage took."""
    assert re.search(r"^ {2}It was the best of times, it was the worst of times\.$", printed, re.MULTILINE), printed
    assert re.search(r"^delivered: (sent|confirmed) by input-method into foot; ", printed, re.MULTILINE), printed
    for stage in STAGES:
        assert re.search(rf"{stage}.* \d+\.\d ms$", printed, re.MULTILINE), stage
    assert "The terminal received exactly this text." in printed


# --- scripts/run ---


def test_run_shows_a_dictation_where_it_was_typed_and_how_long_it_took(tmp_path: Path) -> None:
    done = script(ROOT, "scripts/run", "--headless", HOME=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert_dictated(done.stdout)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that can be given to another user: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="v2m a fresh clone ") as folder:
        yield Path(folder)


@pytest.mark.skipif(not IN_CI, reason="downloads 150 MB and takes 40 s; runs with CI=1, as in .ci/run")
def test_an_ordinary_user_can_run_a_fresh_clone_in_a_path_with_spaces(open_folder: Path) -> None:
    clone, home = open_folder / "a checkout", open_folder / "home"
    home.mkdir()
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    index = [f"{name}={value}" for name, value in os.environ.items() if NETWORK.fullmatch(name)]
    words = ["env", "-i", f"HOME={home}", "PATH=/usr/local/bin:/usr/bin:/bin", *index, "scripts/run"]
    done = subprocess.run(
        [*as_ordinary_user(open_folder), *words], cwd=clone, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert_dictated(done.stdout)


def as_ordinary_user(folder: Path) -> list[str]:
    """Give a folder away and return the words that run a command as its owner; none for who is no root."""
    if os.getuid() != 0:
        return []
    user = "v2mdesk"  # as scripts/headless/sway.sh has it
    if subprocess.run(["id", user], capture_output=True).returncode != 0:
        subprocess.run(["useradd", "--create-home", "--shell", "/bin/bash", user], check=True)
    subprocess.run(["chown", "-R", f"{user}:", str(folder)], check=True)
    words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
    if not Path("/proc").stat().st_mode & stat.S_IXOTH:  # closed to ordinary users here: give this one its own
        return ["unshare", "-mpf", "--mount-proc", "bash", "-c", '"$@"; exit $?', "-", *words]
    return words


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with new_home(
        V2M_TRANSCRIPTION__BACKEND="scripted",
        V2M_TRANSCRIPTION__SCRIPT='["the first of two", "the second of two"]',
        V2M_AUDIO__BACKEND="wav",
        V2M_AUDIO__WAV_PATH=str(write_wav(tmp_path / "noise.wav", seconds=30)),
    ) as home:
        yield home


DESKTOP = [sys.executable, str(ROOT / "scripts/desktop.py")]


def test_beside_another_daemon_run_ends_with_the_status_and_the_message_of_the_second(home: Home) -> None:
    with running_daemon(home) as daemon:
        done = home.run(*DESKTOP)
        assert done.returncode == 75
        assert str(daemon.pid) in done.stderr
        assert "Bind a key" not in done.stdout
        assert home.state_now() == "idle"


def test_on_a_desktop_each_dictation_is_reported_once_until_ctrl_c(home: Home, tmp_path: Path) -> None:
    printed = tmp_path / "printed"
    with printed.open("wb") as out:
        process = subprocess.Popen(DESKTOP, env={**home.variables, "PYTHONUNBUFFERED": "1"}, stdout=out, stderr=out)
    try:
        wait_until(lambda: "Hold the key" in printed.read_text() or process.poll() is not None, what="the hotkeys")
        for _ in range(2):
            home.ask("START_RECORDING")
            wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 0.5, what="more than a tap")
            home.ask("STOP_RECORDING", wait=False)
            home.wait_state("idle")
        wait_until(lambda: "the second of two" in printed.read_text(), what="the report")
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(timeout=20)
    assert status == 0, printed.read_text()
    assert "--toggle" in printed.read_text()
    assert [printed.read_text().count(f"\n  the {number} of two\n") for number in ("first", "second")] == [1, 1]


# --- scripts/setup ---


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return what scripts/setup looks at, without a virtual environment."""
    copy = tmp_path / "a tree"
    shutil.copytree(ROOT / "native", copy / "native", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "hatch_build.py", "scripts/setup"):
        (copy / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    return copy


def setup(tree: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run it without a package index."""
    offline = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"}
    return script(tree, "scripts/setup", **offline, **variables)


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of a refusal: what is wrong, and the next command."""
    assert done.returncode == 1, done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("setup: ")
    assert "; next: " in line
    assert done.stdout == ""
    return line


def test_setup_run_again_changes_nothing_and_says_nothing() -> None:
    script(ROOT, "scripts/setup")
    before = {path: path.lstat().st_mtime_ns for path in (ROOT / ".venv").rglob("*") if "__pycache__" not in path.parts}
    again = script(ROOT, "scripts/setup")
    assert (again.returncode, again.stdout) == (0, "")
    assert "installing" not in again.stderr
    after = {path: path.lstat().st_mtime_ns for path in (ROOT / ".venv").rglob("*") if "__pycache__" not in path.parts}
    assert after == before


@pytest.mark.parametrize("version", ["(3, 10)", "(3, 14)"])
def test_setup_refuses_an_unsupported_python_before_it_installs_anything(tree: Path, version: str) -> None:
    old = tree / "python"
    old.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "import sys; sys.version_info = {version}; exec(\'$2\')"\n')
    old.chmod(0o755)
    assert "is not Python 3.11 to 3.13" in refusal(setup(tree, PYTHON=str(old)))
    assert not (tree / ".venv").exists()


def test_setup_refuses_a_python_that_is_not_there(tree: Path) -> None:
    assert "/nonexistent/python is not Python" in refusal(setup(tree, PYTHON="/nonexistent/python"))


@pytest.mark.parametrize(("libc", "named"), [(None, "musl"), ("glibc 2.31", "glibc 2.31")])
def test_setup_refuses_a_system_whose_libc_the_speech_model_cannot_use(
    tree: Path, tmp_path: Path, libc: str | None, named: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"import os\nos.confstr = lambda name: {libc!r}\n")
    line = refusal(setup(tree, PYTHON=sys.executable, PYTHONPATH=str(tmp_path)))
    assert f"this is {named};" in line
    assert not (tree / ".venv").exists()


def test_setup_without_a_network_says_so_and_goes_on_next_time(tree: Path) -> None:
    for _ in range(2):
        assert "check the network" in refusal(setup(tree, PYTHON=sys.executable))


def put_foreign_venv(tree: Path) -> Path:
    """Put a virtual environment of another interpreter there; return its python."""
    python = tree / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho another\n")
    python.chmod(0o755)
    (python.parent / "activate").write_text(f"VIRTUAL_ENV='{tree}/.venv'\n")
    return python


def test_setup_with_another_python_makes_the_environment_anew(tree: Path) -> None:
    python = put_foreign_venv(tree)
    refusal(setup(tree, PYTHON=sys.executable))  # there is no network
    version = subprocess.run([python, "-V"], capture_output=True, text=True).stdout
    assert version.split()[1] == sys.version.split()[0]


def test_setup_makes_an_environment_anew_that_was_moved_with_its_checkout(tree: Path) -> None:
    setup(tree, PYTHON=sys.executable)
    moved = tree.rename(tree.with_name("moved"))
    setup(moved)
    assert f"{moved}/.venv" in (moved / ".venv/bin/activate").read_text()


# --- the same words everywhere ---


def lines_of_ci() -> list[str]:
    lines = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("scripts/")]


def test_the_readme_begins_with_the_two_commands_that_ci_runs() -> None:
    block = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    assert block[1].splitlines() == ["scripts/run", "scripts/test"] == lines_of_ci()


def test_every_script_that_the_readme_names_is_there_and_executable() -> None:
    named = set(re.findall(r"`(scripts/\w+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert {"scripts/run", "scripts/test", "scripts/bench", "scripts/picture"} <= named
    for name in (*named, ".ci/run"):
        assert os.access(ROOT / name, os.X_OK), name


def test_the_test_script_looks_at_every_python_file() -> None:
    source = (ROOT / "scripts/test").read_text(encoding="utf-8")
    looked_at = re.search(r"^python=\((.*)\)$", source, re.MULTILINE)
    assert looked_at is not None
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        is_python = name.endswith(".py") or (ROOT / name).read_bytes().startswith(b"#!/usr/bin/env python3")
        if is_python and name != "docs/conf.py":
            assert any(name == place or name.startswith(f"{place}/") for place in looked_at[1].split()), name


# --- no skip in CI ---

SKIPPING = """
import pytest

@pytest.mark.skip(reason="by a mark")
def test_marked(): pass

def test_called(): pytest.skip("by a call")

def test_passed(): pass
"""


def pytest_beside(
    conftest: Path, folder: Path, tests: str, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    shutil.copy(conftest, folder)
    (folder / "test_them.py").write_text(tests)
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | variables
    environment["PYTHONPATH"] = str(ROOT / "tests")  # where pyproject.toml has pytest look
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    command += arguments
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("ci", ["1", "true"])
def test_in_ci_a_skipped_test_fails_the_run_and_is_named_with_its_reason(tmp_path: Path, ci: str) -> None:
    done = pytest_beside(ROOT / "tests/conftest.py", tmp_path, SKIPPING, CI=ci)
    assert done.returncode == 1
    assert "test_them.py::test_marked: by a mark" in done.stdout
    assert "test_them.py::test_called: by a call" in done.stdout


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["one process", "two"])
def test_in_ci_a_skipped_file_fails_the_run(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    whole = 'import pytest\npytest.skip("the whole file", allow_module_level=True)\n'
    done = pytest_beside(ROOT / "tests/conftest.py", tmp_path, whole, *arguments, CI="1")
    assert done.returncode == 1
    assert "test_them.py: the whole file" in done.stdout


def test_elsewhere_a_skipped_test_does_not_fail_the_run(tmp_path: Path) -> None:
    assert pytest_beside(ROOT / "tests/conftest.py", tmp_path, SKIPPING).returncode == 0


def test_in_ci_a_skip_beside_a_failure_is_no_run_to_be_asked_again(tmp_path: Path) -> None:
    both = SKIPPING + "\ndef test_failed(): assert not 1\n"
    assert pytest_beside(ROOT / "tests/conftest.py", tmp_path, both, CI="1").returncode == 2


def test_in_ci_a_run_without_a_skip_passes(tmp_path: Path) -> None:
    assert pytest_beside(ROOT / "tests/conftest.py", tmp_path, "def test_passed(): pass\n", CI="1").returncode == 0
