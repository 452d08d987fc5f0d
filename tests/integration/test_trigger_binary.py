"""The compiled trigger: nothing linked, no file opened, few instructions; and all C compiles clean."""

import os
import platform
import re
import runpy
import subprocess

import pytest

from support.trigger import (
    NATIVE_RUNGS,
    ROOT,
    TRIGGER,
    build_trigger,
    listening,
    received,
    run_toak,
    runtime_dir,
    tool,
    trigger_flags,
)

pytestmark = pytest.mark.integration

DELIVERY = ["execve", "socket", "setsockopt", "connect", "sendto", "exit_group"]
OPENING = {"open", "openat", "openat2", "creat", "read", "mmap"}
STRICT = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
MOST_BYTES = 16 * 1024
MOST_INSTRUCTIONS, MOST_SYSTEM_CALLS = 3000, 10
on_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the limit is set for x86_64")


@pytest.fixture
def folder():
    with runtime_dir() as path:
        yield path


def system_calls(folder, rung: str, *words: str, env: dict[str, str]) -> list[str]:
    """Return the names of the system calls of one run, children included."""
    trace = folder / "trace"
    strace = [tool("strace", "strace"), "-f", "-o", str(trace)]
    run_toak([*strace, *build_trigger(rung, folder)], *words, env=env)
    return re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE)


def test_a_press_is_five_system_calls(folder):
    path = folder / "v2m" / "v2m.sock"
    with listening(path) as listener:
        calls = system_calls(folder, "freestanding", "--start", env={"XDG_RUNTIME_DIR": str(folder)})
        assert received(listener) == b"\x01"
    assert calls == DELIVERY


def test_a_press_through_a_static_libc_opens_no_file(folder):
    path = folder / "s"
    with listening(path) as listener:
        calls = system_calls(folder, "static", "--start", env={"V2M_SOCKET": str(path)})
        assert received(listener) == b"\x01"
    assert [call for call in calls if call in DELIVERY] == DELIVERY
    assert not OPENING & set(calls)


def test_a_failing_press_opens_no_file(folder):
    env = {"V2M_SOCKET": str(folder / "s"), "PATH": "/nonexistent"}
    calls = system_calls(folder, "freestanding", "--start", env=env)
    assert not OPENING & set(calls)
    assert set(calls) <= {*DELIVERY, "write", "clone", "close_range", "dup3"}


@pytest.mark.parametrize("rung", NATIVE_RUNGS)
def test_nothing_but_the_libc_is_linked(folder, rung):
    (program,) = build_trigger(rung, folder)
    readelf = [tool("readelf", "binutils"), "--wide"]
    english = {**os.environ, "LC_ALL": "C"}
    dynamic = subprocess.check_output([*readelf, "--dynamic", program], text=True, env=english)
    segments = subprocess.check_output([*readelf, "--segments", program], text=True, env=english)
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    assert all(name.startswith("libc.") for name in needed)
    assert bool(needed) == ("INTERP" in segments) == (rung == "dynamic")
    assert not re.search(r"\bRWE\b", segments), "a segment is writable and executable"


@on_x86_64
def test_the_trigger_is_small(folder):
    (program,) = build_trigger("freestanding", folder)
    assert os.stat(program).st_size <= MOST_BYTES


@on_x86_64
def test_a_press_takes_few_instructions_and_none_that_traps(folder):
    counter = folder / "count"
    source = ROOT / "bench" / "trigger" / "count.c"
    subprocess.run([tool("cc", "gcc"), "-O2", str(source), "-o", str(counter)], check=True)
    bystanders = {f"VARIABLE_{i}": "of a desktop session" for i in range(60)}
    with listening(folder / "v2m" / "v2m.sock"):
        command = [str(counter), *build_trigger("freestanding", folder)]
        done = run_toak(command, "--start", env={**bystanders, "XDG_RUNTIME_DIR": str(folder)})
    instructions, cpuids, calls = map(int, done.stdout.split())
    assert instructions <= MOST_INSTRUCTIONS
    assert cpuids == 0
    assert calls <= MOST_SYSTEM_CALLS


@pytest.mark.parametrize("rung", NATIVE_RUNGS)
def test_the_trigger_compiles_without_a_warning(folder, rung):
    command = [tool("cc", "gcc"), *trigger_flags(rung), *STRICT, str(TRIGGER / "toak.c")]
    assert subprocess.run([*command, "-o", str(folder / "toak")], capture_output=True).stderr == b""


@pytest.mark.parametrize("source", sorted((ROOT / "native").rglob("*.c")), ids=lambda path: path.name)
def test_all_native_code_compiles_without_a_warning(folder, source):
    pipewire = runpy.run_path(str(ROOT / "hatch_build.py"))["pipewire_flags"]()
    if "pipewire" in source.read_text() and pipewire is None:
        pytest.skip("no PipeWire headers here (apt install libpipewire-0.3-dev pkg-config)")
    theirs = [flag.replace("-I", "-isystem", 1) if flag.startswith("-I") else flag for flag in pipewire or []]
    command = [tool("cc", "gcc"), "-std=gnu11", *STRICT, "-O2", "-fPIC", "-c", str(source), *theirs]
    done = subprocess.run([*command, "-o", str(folder / "object")], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
