"""`v2m bench`: how long each stage of your dictations took, and how well which engine does on this machine."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from v2m.client import Client, ClientError
from v2m.domain.errors import V2mError
from v2m.local._figures import percentiles, plot, table
from v2m.local._group import Show, Verb, build_group

if TYPE_CHECKING:
    from v2m.local._engine_run import EngineRun
    from v2m.local._recordings import Recording

ABOUT: Final = "Measure your dictations and the speech engines of this machine."
STAGES: Final = {  # as history rows name them
    "open": "key → microphone asked",
    "first_sample": "key → first sample",
    "released": "key-up → microphone released",
    "transcribed": "key-up → text",
    "handed_over": "key-up → text handed over",
    "delivered": "key-up → last character",
}
LIBRARIES: Final = {  # what each engine needs; the embedded one is always there
    "moonshine": "onnxruntime",
    "whisper": "faster_whisper",
    "sherpa": "sherpa_onnx",
    "onnx-asr": "onnx_asr",
}
PAGE: Final = 200


def build_command(show: Show) -> click.Group:
    """Return `bench` with its verbs."""
    last = click.Option(["-n", "--last"], type=click.IntRange(1, 10_000), default=1000, help="So many at most")
    folder = click.Argument(["folder"], metavar="FOLDER", type=click.Path(path_type=Path))
    some = click.Argument(["folder"], metavar="[FOLDER]", required=False, type=click.Path(path_type=Path))
    engine = click.Option(["--engine"], type=click.Choice(list(LIBRARIES)), help="Default: the one of the settings")
    verbs: list[Verb] = [
        ("stages", _stages, [last], "Show p50, p95 and p99 of every stage of your last dictations, with a plot."),
        ("accuracy", _accuracy, [folder, engine], "Count the wrong words of an engine on recordings with texts."),
        ("engines", _engines, [some], "Compare the engines that are installed, on your recordings or on ours."),
    ]
    return build_group("bench", ABOUT, show, verbs)


# --- the verbs --------------------------------------------------------------------------------------------


def _stages(show: Show, *, last: int, as_json: bool) -> int:
    rows = [entry["stages"] for entry in _history(last) if entry["stages"]]
    found = {name: percentiles(values) for name in STAGES if (values := [row[name] for row in rows if name in row])}
    if not found:
        raise ClientError("usage", "There is no dictation to measure yet.", "v2m start, speak, v2m stop")
    data = {name: {"n": one.count, "p50": one.p50, "p95": one.p95, "p99": one.p99} for name, one in found.items()}
    lines = plot({STAGES[name]: one for name, one in found.items()})
    return show({"unit": "ms", "stages": data}, lines, as_json=as_json)


def _accuracy(show: Show, *, folder: Path, engine: str | None, as_json: bool) -> int:
    from v2m.config import load_settings
    from v2m.local._recordings import load_recordings

    settings = load_settings()
    backend = settings.transcription.backend
    name = engine or ("moonshine" if backend == "auto" else backend)
    recordings = load_recordings(folder)
    run = asyncio.run(_run(settings, name, recordings))
    entry = _scored(run, recordings)
    files = [
        {"file": one.path.name, "spoken": one.text, "heard": heard.text}
        for one, heard in zip(recordings, run.heard, strict=True)
    ]
    return show({**entry, "files": files}, _table([entry]), as_json=as_json)


def _engines(show: Show, *, folder: Path | None, as_json: bool) -> int:
    from v2m.config import load_settings
    from v2m.local._recordings import load_recordings

    settings, recordings = load_settings(), load_recordings(folder)
    entries: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    for name, library in LIBRARIES.items():
        if find_spec(library) is None:
            missing[name] = f"pip install 'v2m[{name}]'"
            continue
        try:
            entries.append(_scored(asyncio.run(_run(settings, name, recordings)), recordings))
        except V2mError as error:
            missing[name] = f"{error} {error.hint or ''}".strip()
    talk = "\n".join(f"{name}: not here. {why}" for name, why in missing.items())
    return show({"engines": entries, "missing": missing}, _table(entries), talk, as_json=as_json)


# --- what they share --------------------------------------------------------------------------------------


def _history(last: int) -> list[dict[str, Any]]:
    """Return the newest dictations that came to a text, through the daemon."""
    found: list[dict[str, Any]] = []
    with Client() as client:
        while len(found) < last:
            asked: dict[str, Any] = {"limit": min(PAGE, last - len(found)), "with_text": True}
            if found:
                asked["before"] = found[-1]["dictation"]
            page = client.call("LIST_HISTORY", **asked)
            found += page["entries"]
            if not page["entries"] or not page["more"]:
                break
    return found


async def _run(settings: Any, name: str, recordings: "Sequence[Recording]") -> "EngineRun":  # noqa: ANN401
    from v2m.local._engine_run import run_engine

    return await run_engine(settings, name, recordings)


def _scorer() -> Callable[[Sequence[str], Sequence[str]], float] | None:
    """Return what counts wrong words per word after the Whisper normaliser; None where that is not installed."""
    if find_spec("jiwer") is None or find_spec("whisper_normalizer") is None:
        return None
    import jiwer
    from whisper_normalizer.english import EnglishTextNormalizer

    normalise = EnglishTextNormalizer()

    def score(spoken: Sequence[str], heard: Sequence[str]) -> float:
        return float(jiwer.wer([normalise(text) for text in spoken], [normalise(text) for text in heard]))

    return score


def _scored(run: "EngineRun", recordings: "Sequence[Recording]") -> dict[str, Any]:
    """Return one engine's figures; recordings in which nobody speaks are counted apart."""
    pairs = [(one.text, heard.text) for one, heard in zip(recordings, run.heard, strict=True)]
    spoken = [pair for pair in pairs if pair[0]]
    score = _scorer()
    return {
        "engine": run.heard[0].engine if run.heard else run.engine,
        "recordings": len(pairs),
        "seconds": round(sum(one.duration_s for one in run.heard), 1),
        "wrong_words": round(score(*zip(*spoken, strict=True)), 4) if score and spoken else None,
        "text_from_nothing": sum(bool(heard) for text, heard in pairs if not text),
        "times_real_time": round(run.speed, 1),
        "loaded_s": round(run.loaded_s, 2),
        "peak_mib": round(run.peak_mib) if run.peak_mib else None,
        "processors": os.cpu_count(),
    }


def _table(entries: Sequence[Mapping[str, Any]]) -> str:
    head = ("engine", "recordings", "seconds", "wrong words", "from silence", "× real time", "load s", "MiB")
    rows = [
        (
            entry["engine"],
            str(entry["recordings"]),
            f"{entry['seconds']:.0f}",
            "–" if entry["wrong_words"] is None else f"{100 * entry['wrong_words']:.1f} %",
            str(entry["text_from_nothing"]),
            f"{entry['times_real_time']:.1f}",
            f"{entry['loaded_s']:.1f}",
            "–" if entry["peak_mib"] is None else str(entry["peak_mib"]),
        )
        for entry in entries
    ]
    return table(head, rows)
