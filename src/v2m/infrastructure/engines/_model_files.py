"""Where an engine's model lies, and what is said when it, or the library that runs it, cannot be used."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from v2m.domain.errors import ModelMissingError


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model by the name that `v2m models` knows, or by its folder; nothing is ever fetched for it.

    `engine` is the setting's name of the engine (whisper), `models_dir` where downloaded models lie.
    """

    engine: str
    model: str | Path
    models_dir: Path | None = None

    @property
    def name(self) -> str:
        """What users know it as: its name, or the last part of its folder."""
        return Path(self.model).name

    def folder(self) -> Path:
        """Return the folder. Raises ModelMissingError with the command that fetches it."""
        if isinstance(self.model, Path) or "/" in self.model:
            folder = Path(self.model).expanduser()
            if folder.is_dir():
                return folder
            raise ModelMissingError(f"There is no folder {folder} with a speech model.", hint=self.advice())
        if self.models_dir is not None:
            for name in (f"{self.engine}-{self.model}", self.model):
                if (self.models_dir / name).is_dir():
                    return self.models_dir / name
        raise ModelMissingError(
            f"The speech model {self.model} is not installed.", hint=f"v2m models download {self.engine}-{self.model}"
        )

    def unusable(self, error: Exception | str) -> ModelMissingError:
        """Return the error for a model that is damaged, or is another engine's."""
        return ModelMissingError(
            f"The speech model in {self.folder()} cannot be loaded: {reason(error)}", hint=self.advice()
        )

    def advice(self) -> str:
        """Return what to do about a folder that holds no such model."""
        key = self.engine.replace("-", "_")
        return f"Set transcription.{key}.model to a folder with a whole model, or to a name of v2m models list."


def missing_extra(package: str, extra: str) -> Callable[[Exception], ModelMissingError]:
    """Return what makes the error for a library that is not installed, or cannot be loaded."""
    return lambda error: ModelMissingError(
        f"The package {package} is not installed: {reason(error)}", hint=f"pip install 'v2m[{extra}]'"
    )


def reason(error: Exception | str) -> str:
    """Return the first line of what a library says, of a bearable length."""
    return next((line.strip()[:200] for line in str(error).splitlines() if line.strip()), type(error).__name__)
