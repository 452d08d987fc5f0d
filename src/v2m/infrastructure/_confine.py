"""What the speech process keeps of its rights: it reads Python, libraries and one model, and writes nothing.

Applied before anything of a model, which somebody else made, is read; and while the process has one thread, since
threads that run already would keep theirs.
"""

import platform
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from v2m.infrastructure._confine_files import LOOK, USE, Files, allow_only, with_targets
from v2m.infrastructure._confine_sockets import refuse_sockets
from v2m.utils.paths import set_variables

_LIBRARIES: Final = ("/lib", "/lib64", "/lib32", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
_STORES: Final = ("/nix/store", "/gnu/store")  # of NixOS and Guix: libraries of all programs
_MACHINE: Final = (  # which processors and cards there are, how much memory, which time it is
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system",
    "/sys/bus/pci",
    "/sys/fs/cgroup",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
)
# Nvidia's driver asks all of these; AMD's and Intel's the directories.
_PACKAGES: Final = ("stdlib", "platstdlib", "purelib", "platlib")
_GPU_DEVICES: Final = ("nvidia*", "dri", "kfd")
_GPU_READ: Final = (
    "/sys",
    "/proc/devices",
    "/proc/modules",
    "/proc/driver/nvidia",
    "/proc/sys",
    "/run/opengl-driver",
    "/opt/cuda",
)


@dataclass(frozen=True, slots=True)
class Confinement:
    """Whether the process is confined, and why not, or not wholly."""

    held: bool
    reason: str = ""


def confine(readable: Iterable[Path] = (), *, gpu: bool = False) -> Confinement:
    """Give up every other right, for good; `readable` are the folders and files of the model.

    `gpu` leaves the devices of graphics processors open where there are any, and then sockets within this machine,
    which CUDA needs. Never raises: a process that cannot be confined works, and says so.
    """
    if (threads := _threads()) != 1:
        return Confinement(held=False, reason=f"{threads} threads run already")
    missing, devices = [], _gpu_devices() if gpu else []
    try:
        if not allow_only(_rules(readable, devices)):
            missing.append("this kernel has no Landlock, so files are not refused")
    except OSError as error:
        missing.append(f"Landlock is refused: {error.strerror}")
    try:
        if not refuse_sockets(local=bool(devices)):
            missing.append(f"sockets are not refused on {platform.machine()}")
    except OSError as error:
        missing.append(f"filters of system calls are refused: {error.strerror}")
    return Confinement(held=not missing, reason="; ".join(missing))


def _rules(readable: Iterable[Path], devices: Sequence[Path]) -> dict[Path, Files]:
    rules = dict.fromkeys(map(Path, (*_LIBRARIES, *_STORES, *_MACHINE)), LOOK)
    rules |= dict.fromkeys((*_python(), *Path("/sys/devices").glob("pci*")), LOOK)
    rules |= dict.fromkeys(with_targets(readable), LOOK)
    if devices:
        rules |= dict.fromkeys(
            (*map(Path, _GPU_READ), *Path("/usr/local").glob("cuda*"), *_preferred_libraries()), LOOK
        )
        rules |= dict.fromkeys(devices, USE)
    return {**rules, Path("/dev/null"): Files.READ | Files.WRITE}


def _python() -> set[Path]:
    """Return where Python's own files and packages lie; of an installation in /usr its libraries only."""
    places = {Path(place) for place in (*sys.path, *map(sysconfig.get_path, _PACKAGES)) if place}
    places |= {Path(prefix, "lib") for prefix in (sys.prefix, sys.base_prefix)}  # libpython, tables of other files
    return {place for place in places if place.is_absolute()}


def _gpu_devices() -> list[Path]:
    return [device for pattern in _GPU_DEVICES for device in Path("/dev").glob(pattern)]


def _preferred_libraries() -> list[Path]:
    """Return the folders in which the loader looks first: CUDA's are often named so."""
    named = set_variables(("LD_LIBRARY_PATH",)).get("LD_LIBRARY_PATH", "")
    return [Path(folder) for folder in named.split(":") if folder.startswith("/")]


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))
