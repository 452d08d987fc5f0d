"""Hatchling build hook: compiles `toak` and, where PipeWire's headers are, the capture library.

Environment: CC, PKG_CONFIG · V2M_NO_NATIVE=1 (compile nothing) · V2M_NO_CAPTURE=1 ·
V2M_TRIGGER_RUNG=freestanding|hosted|python (this way of building the trigger or none).
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Never -Werror here: a newer compiler must not break an install. The tests compile with it.
WARNINGS = ("-std=gnu11", "-Wall", "-Wextra")
FREESTANDING = (  # no libc: the start-up of glibc alone costs ten times what toak does
    *("-O2", "-static", "-nostdlib", "-ffreestanding", "-fno-builtin", "-fno-tree-loop-distribute-patterns"),
    *("-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-fno-pie", "-no-pie"),
    *("-Wl,--build-id=none", "-Wl,-z,noexecstack", "-s"),
)
HOSTED_STATIC = ("-O2", "-static", "-s")
HOSTED_DYNAMIC = ("-O2", "-s")
TRIGGER_RUNGS = {  # tried in this order, each with its flags; the last needs no compiler
    "freestanding": (FREESTANDING,),
    "hosted": (HOSTED_STATIC, HOSTED_DYNAMIC),
    "python": (),
}
CAPTURE = ("-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread")
SHEBANG = "#!python"  # the installer writes the environment's interpreter here
PORTABLE_SHEBANG = """#!/bin/sh
'''exec' python3 "$0" "$@"
' '''"""  # a command to sh, a string to Python; hatchling would turn `env python3` into SHEBANG again
LONGEST_INTERPRETER = 120  # the kernel reads 127 bytes of a first line before Linux 5.1


class NativeHook(BuildHookInterface[Any]):
    """Adds `toak` (a script of the wheel) and `pwcapture.so` (a file of the package)."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile and hand over; `version` is "editable" for `pip install -e`."""
        self.output = Path(tempfile.mkdtemp(prefix="v2m-native-"))
        trigger, library = self.output / "toak", self.output / "pwcapture.so"
        native_trigger = self._build_trigger(trigger)
        build_data["shared_scripts"] = {str(trigger): trigger.name}
        native_library = self._build_capture(library)
        if native_library and version == "editable":
            self._install_beside_sources(library)
        elif native_library:
            build_data["force_include"][str(library)] = f"v2m/{library.name}"
        if native_trigger or native_library:
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform}"  # no Python ABI inside: one wheel for all versions

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled; the wheel holds it now."""
        shutil.rmtree(self.output, ignore_errors=True)

    def _build_trigger(self, target: Path) -> bool:
        """Make `toak` by the first rung that works; return whether it is native."""
        source = Path(self.root, "native", "trigger")
        rungs = self._wanted_rungs()
        native = any(
            self._compile([*WARNINGS, *flags, str(source / "toak.c")], target)
            for rung in rungs
            for flags in TRIGGER_RUNGS[rung]
        )
        if not native:
            if "python" not in rungs:
                raise RuntimeError(f"toak: V2M_TRIGGER_RUNG={rungs[0]} does not compile here")
            write_fallback(source / "fallback.py", target)
            self.app.display_warning(
                "toak: not compiled; the slow Python script is installed instead (apt install gcc)"
            )
        target.chmod(0o755)  # pip installs the mode that the wheel records
        return native

    def _wanted_rungs(self) -> list[str]:
        if os.environ.get("V2M_NO_NATIVE") == "1":
            return ["python"]
        forced = os.environ.get("V2M_TRIGGER_RUNG")
        if forced and forced not in TRIGGER_RUNGS:
            raise RuntimeError(f"V2M_TRIGGER_RUNG={forced}: use one of {', '.join(TRIGGER_RUNGS)}")
        return [forced] if forced else list(TRIGGER_RUNGS)

    def _build_capture(self, target: Path) -> bool:
        """Make the capture library; return False, with a warning, where it cannot be built."""
        if "1" in (os.environ.get("V2M_NO_NATIVE"), os.environ.get("V2M_NO_CAPTURE")):
            return False
        sources = [str(source) for source in sorted(Path(self.root, "native", "capture").glob("*.c"))]
        flags = pipewire_flags()
        if flags is None:
            reason = "no PipeWire headers (apt install libpipewire-0.3-dev pkg-config)"
        elif self._compile([*WARNINGS, *CAPTURE, *sources, *flags], target):
            return True
        else:
            reason = "native/capture does not compile here"
        self.app.display_warning(f"capture: {reason}; installing without the native microphone")
        return False

    def _install_beside_sources(self, library: Path) -> None:
        """Put the library where an editable install imports from; a running daemon keeps the old file."""
        target = Path(self.root, "src", "v2m", library.name)
        fresh = target.with_suffix(".so.new")
        shutil.copy2(library, fresh)
        fresh.replace(target)

    def _compile(self, arguments: list[str], target: Path) -> bool:
        """Try each compiler; failing is no error, the next way is tried."""
        named = os.environ.get("CC")
        for compiler in [named] if named else ["cc", "gcc", "clang"]:
            command = [*shlex.split(compiler), *arguments, "-o", str(target)]
            if shutil.which(command[0]) is None:
                continue
            finished = subprocess.run(command, capture_output=True, text=True, check=False)
            if finished.returncode == 0:
                self.app.display_info(f"{target.name}: {shlex.join(command)}")
                return True
            self.app.display_info(f"{shlex.join(command)}\n{finished.stderr}")
        return False


def write_fallback(source: Path, target: Path) -> None:
    """Copy the Python trigger; a first line cannot hold an interpreter with a space in its path, or a long one."""
    text = source.read_text(encoding="utf-8")
    if " " in sys.executable or len(sys.executable) > LONGEST_INTERPRETER:
        text = PORTABLE_SHEBANG + text.removeprefix(SHEBANG)
    target.write_text(text, encoding="utf-8")


def pipewire_flags() -> list[str] | None:
    """Return where libpipewire's headers are, None when they are not installed; the library is opened at run time."""
    tool = shutil.which(os.environ.get("PKG_CONFIG", "pkg-config"))
    if tool is None:
        return None
    asked = [tool, "--cflags", "libpipewire-0.3"]
    finished = subprocess.run(asked, capture_output=True, text=True, check=False)
    return shlex.split(finished.stdout) if finished.returncode == 0 else None
