"""Which models fit this machine and a language, the best first, each with why."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from v2m.domain.errors import LanguageError
from v2m.domain.offers import OFFERS, can_do, primary
from v2m.infrastructure.models.catalogue import EMBEDDED, LAST, Model

SHARE: Final = 0.5  # of the memory: a model stays in it beside everything else
AT_MOST: Final = 4
PACKAGES: Final = {"whisper": "faster_whisper", "sherpa": "sherpa_onnx", "onnx-asr": "onnx_asr"}
_KIB: Final = 1024


@dataclass(frozen=True, slots=True)
class Machine:
    """What decides how large a model may be."""

    cores: int
    memory_mb: int
    has_gpu: bool  # one of NVIDIA with its driver: the engines know no other


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A model, why it, and the commands that bring it."""

    model: Model
    reasons: tuple[str, ...]
    commands: tuple[str, ...]


def read_machine(proc: Path = Path("/proc")) -> Machine:
    """Return what this process may use of the machine; reads three files."""
    memory_kib = 0
    for line in (proc / "meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemTotal:"):
            memory_kib = int(line.split()[1])
    gpus = proc / "driver/nvidia/gpus"
    has_gpu = gpus.is_dir() and any(gpus.iterdir())
    return Machine(len(os.sched_getaffinity(0)), memory_kib * _KIB // 1_000_000, has_gpu=has_gpu)


def is_importable(package: str) -> bool:
    """Tell whether a package is installed; imports nothing."""
    return find_spec(package) is not None


def suggest(
    models: Iterable[Model], machine: Machine, language: str, *, has: Callable[[str], bool] = is_importable
) -> list[Suggestion]:
    """Return a few models that can do the language and fit the machine, the best first, none behind what is there.

    Raises:
        LanguageError: no model can do it.
    """
    able = [model for model in models if can_do(model.languages, language)]
    if not able:
        raise LanguageError(f"No model that v2m knows can do the language {language!r}.", hint="v2m models list")
    fitting = [model for model in able if _rank(model, machine) < LAST and _fits(model, machine)]
    fitting.sort(key=lambda model: _rank(model, machine))
    behind = next((place for place, model in enumerate(fitting, 1) if model.id == EMBEDDED), AT_MOST)
    best = fitting[: min(behind, AT_MOST)]
    return [Suggestion(model, _reasons(model, machine), _commands(model, has)) for model in best]


def remarks(machine: Machine, language: str, embedded: Model) -> list[str]:
    """Return what has to be said beside the suggestions."""
    gpu = "an NVIDIA GPU" if machine.has_gpu else "no NVIDIA GPU"
    size = f"{machine.cores} cores, {machine.memory_mb / 1000:.1f} GB of memory, {gpu}"
    said = [f"This machine: {size}; language {primary(language)}."]
    if not can_do(embedded.languages, language):
        said.append(f"{embedded.title}, which comes with v2m, understands English only: it would write nonsense.")
    return said


def _rank(model: Model, machine: Machine) -> int:
    return model.gpu if machine.has_gpu else model.cpu


def _fits(model: Model, machine: Machine) -> bool:
    is_quick = machine.has_gpu or machine.cores >= model.cores
    return is_quick and model.memory_mb <= machine.memory_mb * SHARE


def _reasons(model: Model, machine: Machine) -> tuple[str, ...]:
    count = len(model.languages)
    tongues = (
        "English only" if model.languages == ("en",) else f"{count} languages" if count > 1 else model.languages[0]
    )
    needs = f"needs about {model.memory_mb / 1000:.1f} GB of {machine.memory_mb / 1000:.1f} GB of memory"
    return (model.why, f"{tongues}; {needs}; licence {model.licence}.")


def _commands(model: Model, has: Callable[[str], bool]) -> tuple[str, ...]:
    """Return the commands that are still needed."""
    if model.id == EMBEDDED:
        return ()
    package = PACKAGES.get(model.engine)
    install = () if package is None or has(package) else (OFFERS[model.engine].install,)
    return (*install, f"v2m models download {model.id}")
