"""A private PipeWire with virtual microphones; its pieces can be killed, unplugged and changed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from support.daemon import wait_until

HEADLESS = Path(__file__).resolve().parents[2] / "scripts" / "headless"
NEEDED = ("dbus-daemon", "pipewire", "wireplumber", "pipewire-pulse", "pw-cli", "pw-dump", "pw-play")


class PipewireSession:
    """A context manager; `env` points a child at it, `activated()` this process."""

    def __init__(self, **options: str) -> None:
        """Take options of scripts/headless/pipewire.sh, such as `V2M_PW_STEREO="1"`."""
        self.folder = Path(tempfile.mkdtemp(prefix="v2mpw"))
        self._options = {**os.environ, "V2M_PW_DIR": str(self.folder), **options}
        self._plugs: dict[str, subprocess.Popen[bytes]] = {}
        run = self.folder / "run"
        self.env = {
            "V2M_PW_DIR": str(self.folder),
            "XDG_RUNTIME_DIR": str(run),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_DATA_HOME": str(self.folder / "data"),
            "PIPEWIRE_RUNTIME_DIR": str(run),
            "PULSE_SERVER": f"unix:{run}/pulse/native",
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={run}/bus",
        }

    def __enter__(self) -> Self:
        missing = [tool for tool in NEEDED if shutil.which(tool) is None]
        if missing:
            pytest.skip(f"a private PipeWire needs {' '.join(missing)}: run scripts/setup")
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._plugs):
            self.unplug(name)
        self._script("down")
        shutil.rmtree(self.folder, ignore_errors=True)

    def up(self) -> None:
        """Start what is not running."""
        self._script("up")

    def down(self) -> None:
        """Stop everything."""
        self._script("down")

    @contextmanager
    def activated(self) -> Iterator[None]:
        """Point this process at the session."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.env.items():
                patch.setenv(name, value)
            yield

    def pid(self, piece: str) -> int:
        """Return the pid of `dbus`, `pipewire`, `wireplumber` or `pulse`."""
        return int((self.folder / f"{piece}.pid").read_text().split()[0])

    def kill(self, piece: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a piece."""
        os.kill(self.pid(piece), number)

    def lose_manager(self) -> None:
        """Kill the session manager; everybody knows it afterwards."""

        def is_gone() -> bool:
            # A client that binds something of one that is just dying waits for ever.
            names = self._tool("timeout", "1", "pw-cli", "ls", "Metadata")
            return '"settings"' in names and '"default"' not in names

        self.kill("wireplumber")
        wait_until(is_gone, what="its metadata to go")

    def feed(self, path: Path, microphone: str = "v2m_mic") -> None:
        """Play a WAV file into a microphone, to its end."""
        with self.feeding(path, microphone) as feeder:
            assert feeder.wait(60) == 0

    @contextmanager
    def feeding(
        self, path: Path, microphone: str = "v2m_mic", *, managed: bool = True
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Play a WAV file into a microphone meanwhile; `managed` is false without a session manager."""
        argv = [str(HEADLESS / "feed-mic.sh"), str(path)]
        wishes = {"V2M_MIC": microphone, "V2M_FEED_PORTS": "" if managed else "1"}
        feeder = subprocess.Popen(argv, env={**os.environ, **self.env, **wishes})
        try:
            yield feeder
        finally:
            feeder.terminate()
            feeder.wait()

    def plug(self, name: str = "v2m_usb") -> None:
        """Plug in a microphone that becomes the default."""
        keeper = subprocess.Popen(
            ["pw-cli"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env={**os.environ, **self.env}
        )
        assert keeper.stdin is not None
        keeper.stdin.write(
            f"create-node adapter {{ factory.name=support.null-audio-sink node.name={name}"
            " media.class=Audio/Source/Virtual audio.rate=48000 audio.position=[ MONO ]"
            " priority.session=3000 }\n".encode()
        )
        keeper.stdin.flush()
        self._plugs[name] = keeper
        wait_until(lambda: self.node(name), what=f"{name} in the graph")
        self.set_default(name)

    def remove_sources(self) -> None:
        """Take every microphone away, for good."""
        for name in ("v2m_mic", "v2m_mic2", "v2m_stereo"):
            if node := self.node(name):
                self._tool("pw-cli", "destroy", str(node["id"]))
        wait_until(lambda: not self._has_source(), what="no microphone in the graph")

    def _has_source(self) -> bool:
        classes = [each["info"].get("props", {}).get("media.class", "") for each in self.dump()]
        return any(name.startswith("Audio/Source") for name in classes)

    def unplug(self, name: str = "v2m_usb") -> None:
        """Take the microphone away."""
        keeper = self._plugs.pop(name)
        keeper.kill()
        keeper.wait()
        if keeper.stdin is not None:
            keeper.stdin.close()

    def set_default(self, name: str) -> None:
        """Choose the default microphone, as a user does in the desktop's settings."""
        value = json.dumps({"name": name})
        self._tool("pw-metadata", "0", "default.configured.audio.source", value, "Spa:String:JSON")

    def dump(self) -> list[dict[str, Any]]:
        """Return the graph as pw-dump tells it; what changes meanwhile follows as further lists."""
        text, objects = self._tool("pw-dump").strip(), {}
        while text:
            listed, end = json.JSONDecoder().raw_decode(text)
            objects.update({each["id"]: each for each in listed})
            text = text[end:].strip()
        return [each for each in objects.values() if each.get("info")]

    def node(self, name: str) -> dict[str, Any] | None:
        """Return a node by its node.name."""
        return next((each for each in self.dump() if _properties(each).get("node.name") == name), None)

    def sources_of(self, name: str) -> list[str]:
        """Return the names of the nodes that are linked into the node of this name."""
        objects = self.dump()
        names = {each["id"]: _properties(each).get("node.name", "") for each in objects}
        links = [each["info"] for each in objects if each["type"].endswith(":Link")]
        return [names[link["output-node-id"]] for link in links if names.get(link["input-node-id"]) == name]

    def links(self) -> list[tuple[int, int]]:
        """Return the pairs of ports, from and to, that are linked."""
        links = [each["info"] for each in self.dump() if each["type"].endswith(":Link")]
        return [(link["output-port-id"], link["input-port-id"]) for link in links]

    def link(self, output_port: str, input_port: str) -> None:
        """Link two ports, named NODE:PORT, as a user does in a patch bay."""
        self._tool("pw-link", output_port, input_port)

    def _tool(self, *argv: str) -> str:
        done = subprocess.run(argv, env={**os.environ, **self.env}, capture_output=True, text=True, timeout=20)
        return done.stdout

    def _script(self, verb: str) -> None:
        done = subprocess.run(
            [str(HEADLESS / "pipewire.sh"), verb], env=self._options, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr


def _properties(thing: dict[str, Any]) -> dict[str, Any]:
    return dict((thing.get("info") or {}).get("props") or {})


@pytest.fixture(scope="module")
def pipewire() -> Iterator[PipewireSession]:
    """One session for a test module, with all the microphones; this process is pointed at it."""
    with PipewireSession(V2M_PW_MIC2="1", V2M_PW_STEREO="1") as session, session.activated():
        yield session


@contextmanager
def process_that_records(session: PipewireSession, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run another Python that records into a spool in `folder` until it is told to stop."""
    child = subprocess.Popen(
        [sys.executable, "-c", _RECORDER, str(folder)],
        env={**os.environ, **session.env, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


_RECORDER = """
import asyncio, sys
from pathlib import Path
from v2m.infrastructure._spool import SpoolDirectory
from v2m.infrastructure.capture.pipewire import PipewireMicrophone

async def main():
    with SpoolDirectory(Path(sys.argv[1]), max_recording_s=600, on_degraded=print) as store:
        spool = store.take(7)
        recording = await PipewireMicrophone().open(spool)
        await recording.first_sample()
        print(spool.path, flush=True)
        print(await recording.ended(), flush=True)

asyncio.run(main())
"""
