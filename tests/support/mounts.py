"""Disks that are small, full or read-only, in a mount namespace of their own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

_RUN = "import runpy, sys, pathlib; runpy.run_path(sys.argv[2])[sys.argv[3]](pathlib.Path(sys.argv[1]))"


def on_small_disk(
    scene: Callable[[Path], None], folder: Path, *, size: str = "16m", env: Mapping[str, str] | None = None
) -> str:
    """Run a function of a test file in a process for which `folder` is a disk of this size; return what it prints.

    It may make the disk larger with `resize`.
    """
    return _play(scene, folder, f'mount -t tmpfs -o size={size} tmpfs "$1"', env)


def on_small_ext4(scene: Callable[[Path], None], folder: Path, *, size: str, block_bytes: int) -> None:
    """Do the same with a file system that keeps its records of a file on the same disk."""
    if os.getuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("needs root, a loop device and mkfs.ext4; runs in CI")
    image = folder.with_name(f"{folder.name}.ext4")
    with image.open("wb") as file:
        os.truncate(file.fileno(), int(size.removesuffix("m")) << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-b", str(block_bytes), image], check=True)
    _play(scene, folder, f'mount -o loop "{image}" "$1"', None)


def _play(scene: Callable[[Path], None], folder: Path, mount: str, env: Mapping[str, str] | None) -> str:
    script = f'{mount} && exec "$2" -c "$3" "$1" "$4" "$5"'
    return with_mounts(script, folder, _RUN, scene.__code__.co_filename, scene.__name__, env=env)


def resize(folder: Path, size: str) -> None:
    """Change the disk that `on_small_disk` made; called in its scene."""
    subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that a disk has; return the file that has it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            return filler
    raise AssertionError("the disk is never full")


def with_mounts(script: str, folder: Path, code: str, *words: str, env: Mapping[str, str] | None = None) -> str:
    """Run a shell script that may mount ($1 folder, $2 Python, $3 code, then words) and return what it says."""
    argv = ["unshare", "-m", "sh", "-c", script, "sh", str(folder), sys.executable, code, *words]
    if os.getuid() != 0:
        argv[1:2] = ["-rm"]
    environment = {**os.environ, **(env or {}), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=150, env=environment)
    if "unshare failed" in done.stderr or "permission denied" in done.stderr.lower():
        pytest.skip("this machine does not let us mount (unshare -rm)")
    assert done.returncode == 0, done.stderr
    return done.stdout
