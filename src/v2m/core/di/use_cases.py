"""The use cases of dictation, built on the opened ports and connected with each other; nothing runs yet."""

from collections.abc import Mapping
from dataclasses import dataclass

from v2m.application.announce import Announcer
from v2m.application.dictate import Dictations
from v2m.application.handover import Handover
from v2m.application.ledger import Ledger
from v2m.application.pipeline import Pipeline
from v2m.application.preview import LivePreview
from v2m.application.recorder import Recorder
from v2m.application.recover import Recovery
from v2m.application.second_thoughts import SecondThoughts
from v2m.application.sign import Sign
from v2m.application.status import Status
from v2m.application.tongue import Tongue
from v2m.config import Settings
from v2m.core.di.beside import Beside, make_gauges
from v2m.core.di.ears import Ears
from v2m.core.di.live import limits, shown
from v2m.core.di.ports import Ports
from v2m.core.di.speech import known_languages
from v2m.core.di.ways_out import connect
from v2m.domain.delivery import Deliver, Delivery
from v2m.domain.offers import locale_language
from v2m.domain.ports import Transcriber
from v2m.utils.paths import set_variables


@dataclass(frozen=True, slots=True)
class UseCases:
    """What records, delivers, corrects, recovers and tells."""

    tongue: Tongue
    ledger: Ledger
    handover: Handover
    thoughts: SecondThoughts
    preview: LivePreview | None
    recorder: Recorder
    beside: Beside
    dictations: Dictations
    status: Status
    recovery: Recovery


def build_use_cases(settings: Settings, ports: Ports, ears: Ears) -> UseCases:
    """Return all of them; from now on there is a state that can be heard of."""
    tongue = _tongue(settings, ports.transcriber)
    ledger = Ledger(ports.history, on_trouble=ears.degraded("history"))
    handover, thoughts, preview = connect(ports.out, ears, ledger, ports.history, ports.spools)
    recorder = _recorder(settings, ports, tongue, ledger, ears)
    beside = Beside(settings, ears)
    dictations = _dictations(settings, ports, recorder, handover, ledger, ears, beside)
    return UseCases(
        tongue=tongue,
        ledger=ledger,
        handover=handover,
        thoughts=thoughts,
        preview=preview,
        recorder=recorder,
        beside=beside,
        dictations=dictations,
        status=_status(settings, ports, tongue, dictations, ears, beside),
        recovery=_recovery(ports, ledger, dictations, handover, ears.announcer),
    )


def _tongue(settings: Settings, transcriber: Transcriber) -> Tongue:
    locale = set_variables(("LC_ALL", "LC_MESSAGES", "LANG"))
    return Tongue(
        transcriber,
        language=settings.transcription.language,
        profiles=settings.profile.languages(),
        known=known_languages(settings),
        desktop=locale_language(*(locale.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))),
    )


def _recorder(settings: Settings, ports: Ports, tongue: Tongue, ledger: Ledger, ears: Ears) -> Recorder:
    audio = settings.audio
    return Recorder(
        microphone=ports.microphone,
        spools=ports.spools,
        transcriber=ports.transcriber,
        ledger=ledger,
        events=ears.events,
        announcer=ears.announcer,
        aim=ports.out.aim,
        sign=Sign(
            announcer=ears.announcer,
            events=ears.events,
            degraded=ears.degraded("capture"),
            restored=ears.restored("capture"),
        ),
        limits=limits(settings),
        tongue=tongue,
        tail_ms=audio.tail_ms,
        private=not settings.history.enabled,
    )


def _dictations(
    settings: Settings,
    ports: Ports,
    recorder: Recorder,
    handover: Handover,
    ledger: Ledger,
    ears: Ears,
    beside: Beside,
) -> Dictations:
    """Return what records and delivers; from now on there is a state that can be heard of."""
    dictations = Dictations(
        recorder=recorder,
        pipeline=Pipeline(handover=handover, ledger=ledger, events=ears.events, announcer=ears.announcer),
        transcriber=ports.transcriber,
        ledger=ledger,
        events=ears.events,
        announcer=ears.announcer,
        min_recording_ms=settings.audio.min_recording_ms,
        on_recording=beside.on_recording,
    )
    ears.state_changed = dictations.changed
    ears.recording = lambda: dictations.recording
    return dictations


def _status(
    settings: Settings, ports: Ports, tongue: Tongue, dictations: Dictations, ears: Ears, beside: Beside
) -> Status:
    return Status(
        dictations=dictations,
        deliverer=ports.out.deliverer,
        transcriber=ports.transcriber,
        tongue=tongue,
        degradations=ears.degradations,
        **shown(settings),
        hotkeys=beside.hotkeys,
        gauges=make_gauges(),
        history=ports.history,
    )


def _recovery(
    ports: Ports, ledger: Ledger, dictations: Dictations, handover: Handover, announcer: Announcer
) -> Recovery:
    async def again(dictation: int, text: str, where: Deliver, hint: Mapping[str, str], *, language: str) -> Delivery:
        return await dictations.see_through(lambda: handover.again(dictation, text, where, hint, language=language))

    return Recovery(
        history=ports.history,
        ledger=ledger,
        spools=ports.spools,
        transcriber=ports.transcriber,
        announcer=announcer,
        again=again,
        turn=handover.turn,
    )
