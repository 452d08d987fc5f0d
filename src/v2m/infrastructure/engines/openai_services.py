"""Which speech services are known by name, and how a client of one is made; loads no HTTP library for that."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from v2m.domain.errors import ModelMissingError
from v2m.domain.offers import ANY, WHISPER
from v2m.infrastructure._secrets import ApiKey

if TYPE_CHECKING:
    from v2m.infrastructure.engines.openai_http import OpenAiSpeech


@dataclass(frozen=True, slots=True)
class Preset:
    """A service that is known by name; what is empty must be configured."""

    base_url: str
    model: str
    variable: str  # that holds its key
    languages: tuple[str, ...] = WHISPER
    key_required: bool = True


# By the services' documentation, November 2026.
PRESETS: Final = {
    "groq": Preset("https://api.groq.com/openai/v1", "whisper-large-v3-turbo", "GROQ_API_KEY"),
    "openai": Preset("https://api.openai.com/v1", "gpt-4o-transcribe", "OPENAI_API_KEY"),
    "custom": Preset("", "whisper-1", "OPENAI_API_KEY", ANY, key_required=False),
}


def listening_arguments(*, upload_while_speaking: bool) -> list[str]:
    """Return how the listening process is to cut: `--rule value` each, after those of the settings.

    Either stretches that are worth a request of their own, or the whole recording without its silence:
    ten minutes of FLAC are 19 MB at most, and services take 25.
    """
    if upload_while_speaking:
        return ["--min-s", "8"]
    return ["--min-s", "inf", "--max-pause-s", "30", "--max-s", "600"]


def build_speech(
    preset: Preset,
    *,
    base_url: str = "",
    model: str = "",
    key: str = "",
    key_command: Sequence[str] = (),
    key_file: Path | None = None,
    ca_file: Path | None = None,
    timeout_s: float,
    user_agent: str,
) -> "OpenAiSpeech":
    """Return a client; what is empty is the preset's. Connects to nothing and reads no key yet.

    Raises:
        ModelMissingError: the HTTP library is not installed.
    """
    try:
        from v2m.infrastructure.engines.openai_http import OpenAiSpeech
    except ModuleNotFoundError as error:
        raise ModelMissingError("Speech services need a library for HTTP.", hint="pip install 'v2m[cloud]'") from error
    return OpenAiSpeech(
        base_url=base_url or preset.base_url,
        model=model or preset.model,
        api_key=ApiKey(preset.variable, value=key, command=key_command, file=key_file, required=preset.key_required),
        timeout_s=timeout_s,
        user_agent=user_agent,
        ca_file=ca_file,
    )
