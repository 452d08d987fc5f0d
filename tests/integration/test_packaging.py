"""The package, installed into an environment of its own with the checkout gone."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import hatchling
import pytest

from support.trigger import ROOT, listening, received, run_toak, runtime_dir

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

SHIPPED = ("src", "native", "hatch_build.py", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")
HAS_PIPEWIRE = subprocess.run(["pkg-config", "--exists", "libpipewire-0.3"]).returncode == 0
LIBRARY = {"v2m/pwcapture.so"} if HAS_PIPEWIRE else set()
DATA = {"v2m/config.toml", "v2m/py.typed", "v2m/infrastructure/models/catalogue.toml"}


@dataclass(frozen=True)
class Installed:
    """An environment with v2m in it, and what it was installed from."""

    bin: Path
    wheel: Path
    sdist: Path | None
    output: str

    def run(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs where no checkout is near."""
        return subprocess.run([self.bin / name, *words], env=quiet(self.bin), cwd="/", capture_output=True, text=True)

    def files(self) -> set[str]:
        """Return the names in the wheel."""
        with zipfile.ZipFile(self.wheel) as wheel:
            return set(wheel.namelist())


def quiet(bin_folder: Path, **settings: str) -> dict[str, str]:
    """Return an environment without network, home or anything of this process's own environment."""
    return {
        "PATH": f"{bin_folder}:/usr/bin:/bin",
        "HOME": str(bin_folder / "no home"),
        "PIP_NO_INDEX": "1",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        **settings,
    }


def checkout(folder: Path) -> Path:
    """Copy what is shipped, without what was built in place."""
    folder.mkdir(parents=True)
    built = shutil.ignore_patterns("__pycache__", "*.so")
    for name in SHIPPED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=built)
        elif source.exists():
            shutil.copy2(source, folder / name)
    return folder


def run_python(*words: str | Path, **settings: str) -> str:
    """Run this interpreter; return all it says."""
    done = subprocess.run(
        [sys.executable, *words],
        env=quiet(Path(sys.executable).parent, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def new_environment(folder: Path) -> Path:
    """Make a virtual environment; return its `bin`."""
    venv.create(folder, symlinks=True)
    return folder / "bin"


def lend_dependencies(bin_folder: Path) -> None:
    """Let the environment import what this one has installed (but none of its .pth files, so not its v2m)."""
    (site_packages,) = bin_folder.parent.glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text(f"{Path(hatchling.__file__).parents[1]}\n")


def install(folder: Path, *, settings: dict[str, str], formats: tuple[str, ...]) -> Installed:
    """Build and install by pip, then remove the checkout."""
    source = checkout(folder / "check out")
    dist = folder / "dist"
    output = run_python("-m", "build", "--no-isolation", *formats, "--outdir", dist, source, **settings)
    shutil.rmtree(source)
    (wheel,) = dist.glob("*.whl")
    bin_folder = new_environment(folder / "environment")
    run_python("-m", "pip", "--python", bin_folder / "python", "install", "--no-deps", wheel)
    lend_dependencies(bin_folder)
    return Installed(bin_folder, wheel, next(dist.glob("*.tar.gz"), None), output)


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    return install(tmp_path_factory.mktemp("native"), settings={}, formats=())


@pytest.fixture(scope="module")
def pure(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pure")
    return install(folder, settings={"V2M_NO_NATIVE": "1"}, formats=("--wheel",))


@pytest.fixture(params=["native", "pure"])
def installed(request):
    return request.getfixturevalue(request.param)


def test_three_programs_are_installed_and_executable(installed):
    for name in ("toak", "toakd", "v2m"):
        assert os.access(installed.bin / name, os.X_OK), name


@pytest.mark.parametrize("name", ["toak", "toakd", "v2m"])
def test_each_program_shows_its_help(installed, name):
    done = installed.run(name, "--help")
    assert done.returncode == 0, done.stderr
    assert name in done.stdout


def test_the_installed_package_is_the_one_that_runs(installed):
    done = installed.run("python", "-c", "import v2m; print(v2m.__file__)")
    assert Path(done.stdout.strip()).is_relative_to(installed.bin.parent), done.stderr


def test_the_installed_trigger_reaches_a_daemon(installed):
    with runtime_dir() as folder, listening(folder / "v2m" / "v2m.sock") as listener:
        env = {**quiet(installed.bin), "XDG_RUNTIME_DIR": str(folder)}
        done = run_toak([installed.bin / "toak"], "--start", "2", env=env)
        assert done.returncode == 0, done.stderr
        assert received(listener) == b"\x12"


def test_the_wheel_holds_its_data_and_licence(installed):
    files = installed.files()
    assert files >= DATA
    assert any(name.endswith("/licenses/LICENSE") for name in files)
    assert not any("__pycache__" in name or name.startswith(("tests", "bench")) for name in files)


def test_the_native_wheel_fits_every_python_of_this_platform(native):
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert native.wheel.name.endswith(f"-py3-none-{platform}.whl")
    assert native.files() >= LIBRARY
    assert not (native.bin / "toak").read_bytes().startswith(b"#!")


def test_the_native_library_loads_from_where_it_is_installed(native):
    if not HAS_PIPEWIRE:
        pytest.skip("no PipeWire headers here (apt install libpipewire-0.3-dev pkg-config)")
    load = "import ctypes, pathlib, v2m; ctypes.CDLL(str(pathlib.Path(v2m.__file__).with_name('pwcapture.so')))"
    done = native.run("python", "-c", load)
    assert done.returncode == 0, done.stderr


def test_the_wheel_without_native_parts_fits_every_platform_and_says_it_is_slow(pure):
    assert pure.wheel.name.endswith("-py3-none-any.whl")
    assert not any(name.endswith(".so") for name in pure.files())
    assert (pure.bin / "toak").read_bytes().startswith(b"#!")
    assert "slow Python script" in pure.output


def test_the_source_distribution_holds_sources_and_nothing_built(native):
    with tarfile.open(native.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"hatch_build.py", "native/trigger/toak.c", "native/trigger/kernel.h", "native/trigger/fallback.py"} <= names
    assert {"pyproject.toml", "README.md", "LICENSE", "src/v2m/__init__.py"} <= names
    assert not any(name.endswith((".so", ".pyc")) for name in names)


@pytest.mark.parametrize("settings", [{}, {"V2M_NO_NATIVE": "1"}], ids=["native", "pure"])
def test_an_editable_install_works_in_a_path_with_spaces(tmp_path, settings):
    source = checkout(tmp_path / "check out")
    bin_folder = new_environment(tmp_path / "an environment")
    lend_dependencies(bin_folder)
    pip = ["-m", "pip", "--python", bin_folder / "python", "install", "--no-deps", "--no-build-isolation"]
    run_python(*pip, "--editable", source, **settings)
    built = {path.name for path in (source / "src" / "v2m").iterdir() if ".so" in path.suffixes}
    assert built == (set() if settings else {Path(name).name for name in LIBRARY})
    editable = Installed(bin_folder, source, None, "")
    found = editable.run("python", "-c", "import v2m; print(v2m.__file__)")
    assert Path(found.stdout.strip()).is_relative_to(source), found.stderr
    for name in ("toak", "toakd", "v2m"):
        done = editable.run(name, "--help")
        assert done.returncode == 0, done.stderr
