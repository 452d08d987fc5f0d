"""The build hook: which `toak` a machine gets, and that it says so when that is not the fast one."""

import os
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hatchling.bridge.app import Application

from support.trigger import ROOT, listening, received, run_toak, runtime_dir, tool

pytestmark = pytest.mark.integration

HOOK = runpy.run_path(str(ROOT / "hatch_build.py"))
SETTINGS = ("CC", "V2M_NO_NATIVE", "V2M_NO_CAPTURE", "V2M_TRIGGER_RUNG")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("V2M_NO_CAPTURE", "1")


@pytest.fixture
def folder():
    with runtime_dir() as path:
        yield path


def run_hook(folder: Path, version: str = "standard"):
    """Run the hook as hatchling does; return it, what it asks of the wheel, and the trigger's path."""
    hook = HOOK["NativeHook"](str(ROOT), {}, None, None, str(folder), "wheel", Application())
    build_data = {"force_include": {}}
    hook.initialize(version, build_data)
    ((path, name),) = build_data["shared_scripts"].items()
    assert name == "toak"
    return hook, build_data, Path(path)


def compiler_that_refuses(folder: Path, *flags: str) -> str:
    """Make a compiler that knows less than the machine's."""
    script = folder / "less able cc"
    cases = "|".join(flags)
    real = tool("cc", "gcc")
    script.write_text(
        f'#!/bin/sh\nfor word; do case $word in {cases}) echo no >&2; exit 1;; esac; done\nexec {real} "$@"\n'
    )
    script.chmod(0o755)
    return shlex.quote(str(script))


def kind(program: Path) -> str:
    """Tell how a trigger was built."""
    if program.read_bytes().startswith(b"#!"):
        return "python"
    segments = subprocess.check_output([tool("readelf", "binutils"), "--segments", "--wide", program], text=True)
    if "INTERP" in segments:
        return "dynamic"
    return "static" if program.stat().st_size > 64 * 1024 else "freestanding"


@pytest.mark.parametrize(
    ("refused", "expected"),
    [((), "freestanding"), (("-nostdlib",), "static"), (("-nostdlib", "-static"), "dynamic"), (("*",), "python")],
    ids=["able compiler", "needs its libc", "no static libc", "broken compiler"],
)
def test_the_best_trigger_that_compiles_is_taken_and_works(folder, monkeypatch, refused, expected):
    if refused:
        monkeypatch.setenv("CC", compiler_that_refuses(folder, *refused))
    hook, build_data, program = run_hook(folder)
    assert kind(program) == expected
    assert program.stat().st_mode & 0o777 == 0o755
    assert ("tag" in build_data) == (expected != "python")
    with listening(folder / "s") as listener:
        command = [sys.executable, str(program)] if expected == "python" else [str(program)]
        assert run_toak(command, "--toggle", env={"V2M_SOCKET": str(folder / "s")}).returncode == 0
        assert received(listener) == b"\x04"
    hook.finalize("standard", build_data, "")
    assert not program.exists()


def test_without_a_compiler_the_python_script_is_installed_with_a_warning(folder, monkeypatch, capfd):
    monkeypatch.setenv("PATH", str(folder))
    hook, build_data, program = run_hook(folder)
    assert program.read_text(encoding="utf-8").startswith(("#!python\n", "#!/bin/sh\n"))
    assert "pure_python" not in build_data
    output = capfd.readouterr()
    assert "slow Python script" in output.out + output.err
    assert "apt install gcc" in output.out + output.err
    hook.finalize("standard", build_data, "")


@pytest.mark.parametrize(("rung", "kinds"), [("freestanding", {"freestanding"}), ("hosted", {"static", "dynamic"})])
def test_a_rung_can_be_forced(folder, monkeypatch, rung, kinds):
    monkeypatch.setenv("V2M_TRIGGER_RUNG", rung)
    hook, build_data, program = run_hook(folder)
    assert kind(program) in kinds
    assert build_data["tag"].startswith("py3-none-linux_")
    hook.finalize("standard", build_data, "")


@pytest.mark.parametrize("settings", [{"V2M_TRIGGER_RUNG": "python"}, {"V2M_NO_NATIVE": "1"}], ids=str)
def test_the_python_script_can_be_forced(folder, monkeypatch, settings):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    hook, build_data, program = run_hook(folder)
    assert kind(program) == "python"
    assert "tag" not in build_data
    hook.finalize("standard", build_data, "")


@pytest.mark.parametrize(
    "settings", [{"V2M_TRIGGER_RUNG": "fast"}, {"V2M_TRIGGER_RUNG": "hosted", "CC": "/nonexistent/cc"}], ids=str
)
def test_a_forced_rung_that_cannot_be_had_stops_the_build(folder, monkeypatch, settings):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RuntimeError, match="V2M_TRIGGER_RUNG"):
        run_hook(folder)


@pytest.mark.parametrize(
    ("interpreter", "first_line"),
    [
        ("/usr/bin/python3", "#!python"),
        ("/home/me/my projects/.venv/bin/python", "#!/bin/sh"),
        ("/home/" + "deep/" * 30 + "python", "#!/bin/sh"),
    ],
)
def test_the_script_names_an_interpreter_that_a_first_line_can_hold(folder, monkeypatch, interpreter, first_line):
    monkeypatch.setattr("sys.executable", interpreter)
    target = folder / "toak"
    HOOK["write_fallback"](ROOT / "native" / "trigger" / "fallback.py", target)
    assert target.read_text(encoding="utf-8").splitlines()[0] == first_line


def test_missing_pipewire_headers_leave_the_library_out_with_a_warning(folder, monkeypatch, capfd):
    monkeypatch.delenv("V2M_NO_CAPTURE")
    monkeypatch.setenv("PKG_CONFIG", "/nonexistent/pkg-config")
    hook, build_data, _ = run_hook(folder)
    assert build_data["force_include"] == {}
    output = capfd.readouterr()
    assert "libpipewire-0.3-dev" in output.out + output.err
    hook.finalize("standard", build_data, "")


def test_the_fallback_is_executable_and_begins_as_installers_expect():
    source = ROOT / "native" / "trigger" / "fallback.py"
    assert os.access(source, os.X_OK)
    text = source.read_text(encoding="utf-8")
    assert text.startswith("#!python\n")
    assert "import v2m" not in text
    assert "from v2m" not in text
