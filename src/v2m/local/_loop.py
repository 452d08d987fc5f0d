"""One dictation from a recorded voice to a window of our own, stage by stage, and which stage failed."""

from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from v2m.application.commands import DISPLAY_VARIABLES
from v2m.client import AsyncClient, ClientError, CommandError
from v2m.config import load_settings
from v2m.domain.delivery import Session
from v2m.domain.errors import OutputError, V2mError
from v2m.local._checks.cures import here
from v2m.local._private_daemon import private_daemon, private_folder
from v2m.local._recordings import SHORT, write_short_recording
from v2m.local._virtual_microphone import VirtualMicrophone, find_sound_server, own_name, virtual_microphone
from v2m.local._waiting import until
from v2m.local._words import share_right
from v2m.local.window.page import Page
from v2m.local.window.window import FOCUS_S, own_window
from v2m.utils.paths import set_variables

WORDS_RIGHT: Final = 0.8  # the embedded model hears all words of the recording; any working engine this share
LOAD_S: Final = 120.0  # a large model on a slow disk
OPEN_S: Final = 3.0  # START has one second, the first sample follows within 25 ms
TEXT_S: Final = 60.0  # from key-up to the text, on a slow machine
READ_S: Final = 10.0
LET_GO_S: Final = 0.3  # a speaker lets go a moment after the last word


class Stage(StrEnum):
    """Where a dictation can fail, in order."""

    DAEMON = "daemon"
    PIPEWIRE = "PipeWire"
    MICROPHONE = "microphone"
    ENGINE = "engine"
    WORDS = "words"
    OUTPUT = "output"
    READ_BACK = "read back"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of a stage."""

    ok: bool
    detail: str
    fix: str = ""


@dataclass(slots=True)
class Report:
    """What is known of each stage that was come to; the rest was not tried."""

    findings: dict[Stage, Finding] = field(default_factory=dict)
    spoken: str = ""
    heard: str = ""

    @property
    def failed(self) -> Stage | None:
        """The first stage that failed."""
        return next((stage for stage in Stage if stage in self.findings and not self.findings[stage].ok), None)

    def passed(self, stage: Stage, detail: str) -> None:
        """Note a stage that works."""
        self.findings[stage] = Finding(ok=True, detail=detail)

    def fail(self, stage: Stage, detail: str, fix: str) -> None:
        """Note a stage that does not work."""
        self.findings[stage] = Finding(ok=False, detail=detail, fix=here(fix))


class _StoppedError(Exception):
    """A stage failed without which the next ones cannot be tried; the report has it."""


# What helps where an error has no hint of its own.
_FIXES: Final = {
    Stage.DAEMON: "toakd",
    Stage.PIPEWIRE: "systemctl --user restart pipewire wireplumber",
    Stage.MICROPHONE: "systemctl --user restart wireplumber",
    Stage.ENGINE: "v2m models suggest",
    Stage.WORDS: "v2m models suggest",
    Stage.OUTPUT: "v2m outputs",
    Stage.READ_BACK: "v2m outputs --check",
}
_STAGES: Final = {  # by the code of an error that the daemon answers with
    "capture_failed": Stage.MICROPHONE,
    "storage_failed": Stage.MICROPHONE,
    "no_speech": Stage.MICROPHONE,
    "output_failed": Stage.OUTPUT,
}


async def run_loop() -> Report:
    """Dictate once; whatever was made for it is gone when this returns, or is cancelled."""
    report = Report()
    try:
        async with AsyncExitStack() as stack:
            await _Loop(report, stack).run()
    except _StoppedError:
        pass
    return report


class _Loop:
    """The stages in order; each notes what it found."""

    def __init__(self, report: Report, stack: AsyncExitStack) -> None:
        self._report = report
        self._stack = stack
        self._env = set_variables(DISPLAY_VARIABLES)

    async def run(self) -> None:
        """Go through all stages. Raises _StoppedError at the first that makes the next ones impossible."""
        folder = await self._stack.enter_async_context(private_folder())
        with self._at(Stage.ENGINE):
            wav = folder / "speech.wav"
            self._report.spoken = write_short_recording(wav)
        client = await self._daemon(folder)
        with self._at(Stage.PIPEWIRE):
            self._report.passed(Stage.PIPEWIRE, await find_sound_server())
        with self._at(Stage.MICROPHONE):
            microphone = await self._stack.enter_async_context(virtual_microphone(own_name()))
            self._report.passed(Stage.MICROPHONE, f"{microphone.name} is there")
        await self._engine(client)
        page = await self._window(client)
        told = await self._dictate(client, microphone, wav, deliver="type" if page else "none")
        self._words(str(told.get("transcription") or ""))
        if page:
            await self._arrival(told, page)

    @contextmanager
    def _at(self, stage: Stage) -> Iterator[None]:
        """Turn an error into the failure of a stage; what the daemon answers names the stage by its code."""
        try:
            yield
        except (V2mError, ClientError) as error:
            failed = _STAGES.get(error.code, stage) if isinstance(error, CommandError) else stage
            self._report.fail(failed, str(error), error.hint or _FIXES[failed])
            raise _StoppedError from error

    async def _daemon(self, folder: Path) -> AsyncClient:
        with self._at(Stage.DAEMON):
            backend = load_settings().audio.backend
            settings = {
                "audio.device": own_name(),
                "audio.backend": "auto" if backend == "wav" else backend,  # a file hears no microphone
                "audio.policy": "released",  # armed, it would listen to the user's microphone until there is ours
                "audio.preroll_ms": "0",
                "notifications.enabled": "false",
                "output.when_moved": "hold",  # nothing may go into a window of the user's
            }
            client = await self._stack.enter_async_context(private_daemon(folder, settings))
            told = await client.call("PING")
            self._report.passed(Stage.DAEMON, f"v2m {told['version']} answers")
            return client

    async def _engine(self, client: AsyncClient) -> None:
        """Wait until the engine has loaded its model, where it does so before it is needed."""
        engine: dict[str, Any] = {}

        async def settled() -> bool:
            engine.update((await client.call("GET_STATUS"))["engine"])
            return bool(engine["state"] != "warming")

        with self._at(Stage.ENGINE):
            if not await until(settled, LOAD_S):
                raise ClientError("engine_failed", f"The model was not loaded after {LOAD_S:.0f} s.")
            if engine["state"] == "failed":
                raise ClientError("engine_failed", engine["detail"] or "The speech engine does not start.")

    async def _window(self, client: AsyncClient) -> Page | None:
        """Show our window with the focus; without one the rest can still be tried, and nothing is typed."""
        try:
            told = (await client.call("LIST_OUTPUTS", env=self._env))["session"]
            page = await self._stack.enter_async_context(own_window(Session(told["variables"], told["origin"])))
        except (OutputError, ClientError) as error:
            self._report.fail(Stage.OUTPUT, str(error), error.hint or _FIXES[Stage.OUTPUT])
            return None
        if await page.focused(FOCUS_S):
            return page
        self._report.fail(
            Stage.OUTPUT,
            "The window of this check did not get the focus.",
            "Click on it when it opens: v2m doctor --loop",
        )
        return None

    async def _dictate(
        self, client: AsyncClient, microphone: VirtualMicrophone, wav: Path, *, deliver: str
    ) -> dict[str, Any]:
        """Press the key, play the recording, let go; return what the daemon answers."""
        with self._at(Stage.MICROPHONE):
            await client.call("START_RECORDING", env=self._env)

            async def hears() -> bool:
                recording = (await client.call("GET_STATUS"))["recording"]
                return bool(recording and "first_sample" in recording["stages"])

            if not await until(hears, OPEN_S):
                raise ClientError("capture_failed", "No sound comes from the virtual microphone.")
            await microphone.play(wav, duration_s=SHORT[2] - SHORT[1])
        await until(_never, LET_GO_S)
        with self._at(Stage.ENGINE):
            told = await client.call("STOP_RECORDING", env=self._env, wait=True, deliver=deliver, timeout_s=TEXT_S)
        self._report.passed(Stage.MICROPHONE, "the recording was heard")
        engine = (await client.call("GET_STATUS"))["engine"]
        self._report.passed(Stage.ENGINE, f"{engine['name']} made a text")
        return told

    def _words(self, heard: str) -> None:
        self._report.heard = heard
        share = share_right(self._report.spoken, heard)
        detail = f"{100 * share:.0f} % right"
        if share >= WORDS_RIGHT:
            self._report.passed(Stage.WORDS, detail)
        else:
            self._report.fail(Stage.WORDS, f"{detail}: {heard or 'no text'}", _FIXES[Stage.WORDS])

    async def _arrival(self, told: dict[str, Any], page: Page) -> None:
        """Judge what the daemon says of the delivery, then what stands in the window."""
        delivered = told.get("delivered") or {}
        method, certainty = delivered.get("method"), delivered.get("certainty")
        if certainty not in ("confirmed", "sent"):
            detail = str(delivered.get("detail") or f"{method}: {certainty}")
            self._report.fail(Stage.OUTPUT, detail, _FIXES[Stage.OUTPUT])
            return
        self._report.passed(Stage.OUTPUT, f"{method}: {certainty}")
        expected = str(told["transcription"])
        read = await page.reads(expected, READ_S)
        if read.strip() == expected.strip():
            self._report.passed(Stage.READ_BACK, f"all {len(expected)} characters")
        else:
            detail = f"{len(read)} characters stand in the window, {len(expected)} were typed"
            self._report.fail(Stage.READ_BACK, detail, _FIXES[Stage.READ_BACK])


async def _never() -> bool:
    return False
