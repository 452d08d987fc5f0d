"""The packaged list of models is whole, and what is suggested from it fits machine and language."""

import ast
from pathlib import Path

import pytest

import v2m
from v2m.domain.errors import LanguageError
from v2m.domain.offers import EUROPEAN, OFFERS, WHISPER, can_do
from v2m.infrastructure.models import moonshine_files
from v2m.infrastructure.models.catalogue import EMBEDDED, HUB, LAST, Model, load_catalogue
from v2m.infrastructure.models.suggest import AT_MOST, SHARE, Machine, read_machine, suggest

pytestmark = pytest.mark.unit

MODELS = load_catalogue()
LAPTOP = Machine(cores=8, memory_mb=16_000, has_gpu=False)
SMALL = Machine(cores=2, memory_mb=2_000, has_gpu=False)
WITH_GPU = Machine(cores=16, memory_mb=64_000, has_gpu=True)
MACHINES = {"laptop": LAPTOP, "small": SMALL, "with a GPU": WITH_GPU}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_model_is_pinned_named_and_licensed(model: Model) -> None:
    assert model.engine == "moonshine" or model.engine in OFFERS
    assert model.id == f"{model.engine}-{model.name}"
    assert model.licence in ("MIT", "Apache-2.0", "CC-BY-4.0")
    assert model.is_pinned
    assert model.source.startswith("https://")
    assert all(file.size_bytes > 0 for file in model.files)
    assert len({file.name for file in model.files}) == len(model.files)
    assert model.memory_mb * 1e6 > model.size_bytes * 0.5
    if model.source.startswith(f"{HUB}/"):
        assert len(model.revision) == 40
        assert model.address(model.files[0]) == f"{model.source}/resolve/{model.revision}/{model.files[0].name}"
    if model.archive is not None:
        assert model.archive.url.startswith("https://")
        assert 0 < model.archive.size_bytes < model.size_bytes


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_model_knows_the_languages_of_its_name(model: Model) -> None:
    is_english = model.languages == ("en",)
    assert is_english == (".en" in model.id or "-en" in model.id)
    assert is_english or model.languages in (WHISPER, EUROPEAN)
    assert set(model.languages) <= set(WHISPER)


def test_a_model_that_is_suggested_says_why() -> None:
    for model in MODELS.values():
        assert model.why or (model.cpu == LAST and model.gpu == LAST)
        assert model.memory_mb


def test_one_digest_belongs_to_one_size() -> None:
    files = [file for model in MODELS.values() for file in model.files]
    assert len({file.sha256 for file in files}) == len({(file.sha256, file.size_bytes) for file in files})


def test_the_embedded_model_is_the_one_that_the_engine_compares_with() -> None:
    assert {file.name: file.sha256 for file in MODELS[EMBEDDED].files} == moonshine_files.SHA256


COMMANDS = {"local/models.py", "local/_checks/speech.py"}  # v2m models fetches, v2m doctor looks at what was fetched


def test_only_the_command_can_fetch() -> None:
    """No daemon, no worker and no engine knows the code that goes to the network for a model."""
    root = Path(v2m.__path__[0])
    importing = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in FETCHING
    }
    assert {path for path in importing if not path.startswith("infrastructure/models/")} == COMMANDS


FETCHING = {"v2m.infrastructure.models._transfer", "v2m.infrastructure.models.store"}


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
@pytest.mark.parametrize("language", [*EUROPEAN, "ja", "zh", "yue", "sw"])
def test_what_is_suggested_can_do_the_language_and_fits(machine: Machine, language: str) -> None:
    found = suggest(MODELS.values(), machine, language)
    assert 0 < len(found) <= AT_MOST
    for one in found:
        assert can_do(one.model.languages, language)
        assert language == "en" or one.model.languages != ("en",)
        assert one.model.memory_mb <= machine.memory_mb * SHARE
        assert one.commands[-1:] == (f"v2m models download {one.model.id}",) or one.model.id == EMBEDDED
        assert all(one.reasons)


@pytest.mark.parametrize(
    ("machine", "language", "best"),
    [
        (LAPTOP, "en", "sherpa-parakeet-tdt-0.6b-v3"),
        (LAPTOP, "de-AT", "sherpa-parakeet-tdt-0.6b-v3"),
        (LAPTOP, "ja", "whisper-small"),
        (SMALL, "en", "moonshine-base-en"),
        (SMALL, "de", "whisper-base"),
        (WITH_GPU, "en", "whisper-large-v3-turbo"),
        (WITH_GPU, "ja", "whisper-large-v3-turbo"),
    ],
)
def test_the_best_is_named_first(machine: Machine, language: str, best: str) -> None:
    assert suggest(MODELS.values(), machine, language)[0].model.id == best


def test_nothing_behind_the_embedded_model_is_suggested() -> None:
    for machine in (LAPTOP, SMALL):
        found = [one.model.id for one in suggest(MODELS.values(), machine, "en")]
        assert EMBEDDED not in found[:-1]
    assert suggest(MODELS.values(), SMALL, "en")[-1].commands == ()


def test_a_machine_without_memory_gets_no_suggestion() -> None:
    assert suggest(MODELS.values(), Machine(cores=1, memory_mb=256, has_gpu=False), "de") == []


def test_a_language_nobody_can_do_is_refused() -> None:
    with pytest.raises(LanguageError, match="tlh"):
        suggest(MODELS.values(), LAPTOP, "tlh")


def test_a_missing_package_is_installed_first() -> None:
    first = suggest(MODELS.values(), LAPTOP, "de", has=lambda package: package != "sherpa_onnx")[0]
    assert first.commands == ("pip install 'v2m[sherpa]'", f"v2m models download {first.model.id}")


def test_the_machine_is_read(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:       16000000 kB\nMemFree: 1 kB\n", encoding="ascii")
    found = read_machine(tmp_path)
    assert (found.memory_mb, found.has_gpu) == (16_384, False)
    assert found.cores > 0
    (tmp_path / "driver/nvidia/gpus/0000:01:00.0").mkdir(parents=True)
    assert read_machine(tmp_path).has_gpu
    assert read_machine().memory_mb > 0
