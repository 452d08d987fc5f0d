"""Settings that hold without a restart: what each of them reaches.

`prepare` builds what is new and may fail; what it returns is committed at once, between two dictations.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from v2m.application.dictate import Dictations
from v2m.application.recorder import Limits, Recorder
from v2m.application.second_thoughts import SecondThoughts
from v2m.application.settings import Change, Configuration
from v2m.application.status import Status
from v2m.application.switches import MicrophoneSwitch, TranscriberSwitch
from v2m.application.tongue import Tongue
from v2m.config import Settings
from v2m.core.di.adapters import (
    make_key_erasers,
    make_microphone,
    make_notifier,
    make_other_outputs,
    make_outputs,
)
from v2m.core.di.ears import Ears
from v2m.core.di.policy import make_policy
from v2m.core.di.settings import Found
from v2m.core.di.speech import known_languages, make_transcriber
from v2m.core.di.ways_out import Overrides, WaysOut
from v2m.core.logging import configure
from v2m.domain.ports import History
from v2m.infrastructure._spool import SpoolDirectory
from v2m.utils.paths import journal_stream

_SECRETS: Final = ("gemini_api_key", "groq_api_key", "openai_api_key")


@dataclass(slots=True)
class _Plan:
    """What is to be done when the settings hold, afterwards, or instead."""

    commits: list[Callable[[], object]] = field(default_factory=list)
    settles: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    discards: list[Callable[[], Awaitable[None]]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Live:
    """Everything that a changed setting reaches."""

    settings: Settings  # that hold
    overrides: Overrides  # ports that a test brought itself stay
    ears: Ears
    microphone: MicrophoneSwitch
    transcriber: TranscriberSwitch
    spools: SpoolDirectory
    history: History
    out: WaysOut
    thoughts: SecondThoughts
    tongue: Tongue
    recorder: Recorder
    dictations: Dictations
    status: Status

    def prepare(self, settings: Settings, keys: frozenset[str]) -> Change:
        """Build what these keys need; nothing changes yet. Raises ConfigError."""
        plan = _Plan()
        for patterns, step in _STEPS:
            if any(fnmatchcase(key, pattern) for key in keys for pattern in patterns):
                step(self, settings, plan)

        def commit() -> None:
            for each in plan.commits:
                each()
            self.settings = settings

        return Change(commit, lambda: _all(plan.settles), lambda: _all(plan.discards))


def make_configuration(found: Found, live: Live) -> Configuration:
    """Return what changes settings; what is wrong with them at the start is told."""
    ears = live.ears
    configuration = Configuration(
        source=found.store,
        settings=found.settings,
        seen=found.seen,
        prepare=live.prepare,
        dictations=live.dictations,
        typing=live.out.typing,
        events=ears.events,
        announcer=ears.announcer,
        degradations=ears.degradations,
    )
    if found.problem is not None:
        configuration.complain(found.problem)
    return configuration


async def _all(steps: Iterable[Callable[[], Awaitable[None]]]) -> None:
    for step in steps:
        await step()


def limits(settings: Settings) -> Limits:
    """Return when a recording is closed although nobody released the key."""
    audio = settings.audio
    silences = audio.lost_release_silence_s, audio.toggled_silence_s
    return Limits(audio.max_recording_s, *silences, warn_before_s=audio.warn_before_s)


def shown(settings: Settings) -> dict[str, Mapping[str, str]]:
    """Return what GET_STATUS tells of the settings: the microphone, and where each secret comes from."""
    keys = {key.upper(): settings.sources[key] for key in _SECRETS if getattr(settings, key)}
    microphone: dict[str, Any] = settings.audio.model_dump(include={"backend", "device", "policy"})
    return {"microphone": microphone, "keys": keys}


def _log_level(_: Live, settings: Settings, plan: _Plan) -> None:
    plan.commits.append(lambda: configure(settings.daemon.log_level, journal_stream=journal_stream()))


def _limits(live: Live, settings: Settings, plan: _Plan) -> None:
    audio = settings.audio
    plan.commits += [
        lambda: live.recorder.use(limits(settings), tail_ms=audio.tail_ms),
        lambda: live.dictations.use(min_recording_ms=audio.min_recording_ms),
    ]
    if audio.max_recording_s != live.settings.audio.max_recording_s:
        plan.commits.append(lambda: live.spools.use(max_recording_s=audio.max_recording_s))


def _microphone(live: Live, settings: Settings, plan: _Plan) -> None:
    if live.overrides.microphone is not None:
        return
    new = make_microphone(settings)
    former = [new]  # until the switch is turned

    def turn() -> None:
        former[0] = live.microphone.turn(new)

    async def settle() -> None:
        await former[0].aclose()
        if not live.dictations.paused:
            await live.microphone.warm()

    plan.commits.append(turn)
    plan.settles.append(settle)
    plan.discards.append(new.aclose)


def _engine(live: Live, settings: Settings, plan: _Plan) -> None:
    if live.overrides.transcriber is not None:
        return
    new = make_transcriber(settings, live.ears.engine_changed, live.ears.sent)
    former = [new]

    def turn() -> None:
        former[0] = live.transcriber.turn(new)

    plan.commits.append(turn)
    plan.settles.append(lambda: live.transcriber.let_go(former[0]))
    plan.discards.append(new.aclose)


def _tongue(live: Live, settings: Settings, plan: _Plan) -> None:
    known = known_languages(settings)
    language, profiles = settings.transcription.language, settings.profile.languages()
    plan.commits.append(lambda: live.tongue.use(language=language, profiles=profiles, known=known))


def _outputs(live: Live, settings: Settings, plan: _Plan) -> None:
    if live.overrides.outputs is not None:
        return
    deliverer, gone = live.out.deliverer, []
    # One that is there stays, with what it has been granted; that to a file has the file's name from the settings.
    known = {output.name: output for output in deliverer.outputs if output.name != "file"}
    outputs = make_outputs(settings, live.ears.dictating, known)
    others = make_other_outputs(settings, live.ears.dictating, known)
    erasers = [*live.out.desk.erasers[:1], *make_key_erasers(outputs)]

    def use() -> None:
        gone.extend(deliverer.use(outputs, others))
        if live.overrides.erasers is None:
            live.thoughts.use(erasers)

    async def close() -> None:
        for output in gone:
            await output.aclose()

    plan.commits.append(use)
    plan.settles.append(close)


def _policy(live: Live, settings: Settings, plan: _Plan) -> None:
    policy = make_policy(settings)
    plan.commits += [
        lambda: live.out.aim.use(policy, settings.output.when_moved),
        lambda: live.out.explainer.use(policy),
    ]


def _notifier(live: Live, settings: Settings, plan: _Plan) -> None:
    if live.overrides.notifier is None:
        new = make_notifier(settings)
        plan.commits.append(lambda: live.ears.announcer.use(new))
        plan.discards.append(new.aclose)


def _history(live: Live, settings: Settings, plan: _Plan) -> None:
    kept = settings.history
    plan.commits.append(
        lambda: live.history.retain(
            retention_days=kept.retention_days,
            keep_audio_s=kept.keep_audio_s,
            keep_trouble_audio_s=kept.keep_audio_trouble_s,
        )
    )


def _status(live: Live, settings: Settings, plan: _Plan) -> None:
    plan.commits.append(lambda: live.status.use(**shown(settings)))


# Which keys a step is for, in the order in which steps are committed. Every key of `LIVE` stands in one of them.
_STEPS: Final[tuple[tuple[tuple[str, ...], Callable[[Live, Settings, _Plan], None]], ...]] = (
    (("daemon.log_level",), _log_level),
    (("audio.*_ms", "audio.*_s"), _limits),
    (
        (
            "audio.backend",
            "audio.device",
            "audio.policy",
            "audio.resample_quality",
            "audio.wav_path",
            "audio.preroll_ms",
        ),
        _microphone,
    ),
    (("transcription.[!l]*", "transcription.languages", "cloud.*", "vocabulary.*", "*_api_key"), _engine),
    (("transcription.*", "profile.*"), _tongue),
    (("output.method", "output.exclude", "output.file", "policy"), _outputs),
    (("output.newline", "output.trailing_space", "output.when_moved", "policy"), _policy),
    (("notifications.*",), _notifier),
    (("history.*",), _history),
    (("audio.backend", "audio.device", "audio.policy", "*_api_key"), _status),
)
