"""The tables of settings about speech: engines, languages, services, words of the user."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from v2m._settings_tables import Table
from v2m._settings_values import (
    Address,
    EngineName,
    Engines,
    FilePath,
    Language,
    Languages,
    Script,
    Share,
    SlotLanguage,
    Temperature,
)
from v2m.domain.text.vocabulary import parse_vocabulary


class Vad(Table):
    """When a stretch of sound is speech."""

    threshold: Share = Field(description="Probability from which a window of sound is speech.")
    release_threshold: Share = Field(description="Probability below which speech ends.")
    min_speech_ms: int = Field(ge=0, le=10_000, description="Shorter speech is noise.")
    min_silence_ms: int = Field(ge=0, le=10_000, description="A shorter pause does not end a stretch of speech.")
    speech_pad_ms: int = Field(ge=0, le=2000, description="How much sound around speech is decoded with it.")
    max_segment_s: int = Field(ge=2, le=60, description="Longer speech is cut at its quietest window.")

    @field_validator("release_threshold")
    @classmethod
    def _below(cls, value: float, others: ValidationInfo) -> float:
        if value > others.data.get("threshold", 1.0):
            raise ValueError("must not be above transcription.vad.threshold")
        return value


class WhisperVad(Table):
    """The second voice detector, inside faster-whisper."""

    threshold: Share = Field(description="Probability from which Whisper's own filter keeps sound.")
    min_speech_duration_ms: int = Field(ge=0, le=10_000, description="Shorter speech is dropped by that filter.")
    min_silence_duration_ms: int = Field(ge=0, le=10_000, description="A shorter pause is kept by that filter.")
    speech_pad_ms: int = Field(ge=0, le=2000, description="How much sound around speech that filter keeps.")


class Whisper(Table):
    """faster-whisper: 99 languages, best on a GPU."""

    model: str = Field(min_length=1, description="Name of a model (`v2m models list`) or a folder with one.")
    device: Literal["auto", "cpu", "cuda"] = Field(description="Where it computes; cpu takes over when cuda fails.")
    compute_type: Literal[
        "auto", "default", "int8", "int8_float16", "int8_float32", "int8_bfloat16", "float16", "bfloat16", "float32"
    ] = Field(description="Precision; auto is int8_float16 on cuda and int8 on cpu.")
    device_index: int = Field(ge=0, le=63, description="Which GPU.")
    num_workers: int = Field(ge=1, le=16, description="How many decodes the model may run side by side.")
    beam_size: int = Field(ge=1, le=20, description="How many hypotheses are followed.")
    best_of: int = Field(ge=1, le=20, description="How many are sampled at a temperature above 0.")
    temperature: Temperature = Field(description="Tried in order until the text is not a loop.")
    vad_filter: bool = Field(description="Whether Whisper's own voice detector filters too.")
    keep_warm: bool = Field(description="Whether the model stays in memory; else it is loaded for each recording.")
    vad_parameters: WhisperVad


class Sherpa(Table):
    """sherpa-onnx: Parakeet, Zipformer and others."""

    model: str = Field(description="Name of a model (`v2m models list`) or a folder with one.")
    provider: Literal["cpu", "cuda"] = Field(description="Where it computes.")
    decoding: Literal["auto", "greedy_search", "modified_beam_search"] = Field(
        description="How it searches; auto takes the beam search where there are words to favour."
    )
    hotwords_score: float = Field(ge=0, le=10, description="How strongly your words are favoured.")


class OnnxAsr(Table):
    """onnx-asr: Parakeet, Canary and others."""

    model: str = Field(description="Name of a model (`v2m models list`) or a folder with one.")
    quantization: str = Field(pattern="^[a-z0-9_]*$", description="Which files of the model, such as int8.")
    provider: Literal["cpu", "cuda"] = Field(description="Where it computes.")


class OpenAi(Table):
    """A speech service that speaks OpenAI's protocol. What you say leaves this machine."""

    base_url: Address = Field(description="Address of the service; empty: the preset's.")
    preset: Literal["groq", "openai", "custom"] = Field(description="Which service; custom needs base_url.")
    model: str = Field(description="Model of the service; empty: the preset's.")
    timeout_s: float = Field(ge=1, le=600, description="How long after the key's release a text is waited for.")

    @field_validator("preset")
    @classmethod
    def _addressed(cls, value: str, others: ValidationInfo) -> str:
        if value == "custom" and others.data.get("base_url") == "":
            raise ValueError("needs transcription.openai.base_url")
        return value


class Cloud(Table):
    """What holds for every service on the network."""

    upload_while_speaking: bool = Field(
        description="Whether closed stretches of 8 s and more are sent while you still speak."
    )
    api_key_cmd: Script = Field(description="Program that prints the key, as a list, such as pass, show, groq.")
    api_key_file: FilePath = Field(description="File that holds the key; it must be yours, mode 0600.")
    ca_file: FilePath = Field(description="Certificate authorities of your own service; empty: the system's.")


class Transcription(Table):
    """Which engine turns speech into text."""

    backend: Literal["auto", EngineName] = Field(description="The speech engine; auto is moonshine.")
    fallback: Engines = Field(
        description="Engines that take over when the first fails, in order; one on the network only if you list it."
    )
    language: Language = Field(description="Language spoken, such as en; auto lets the engine find out.")
    languages: Languages = Field(description="Languages that auto may find; empty: all the engine knows.")
    residency: Literal["warm", "idle-unload", "on-record"] = Field(
        description="Whether the model stays in memory: always, until idle_unload_min, or for one recording."
    )
    idle_unload_min: float = Field(ge=0.01, le=1440, description="After so many idle minutes the model is let go.")
    model_dir: FilePath = Field(description="Folder of another Moonshine model; empty: the one that came with v2m.")
    threads: int = Field(ge=1, le=64, description="How many threads the engine may use.")
    script: Script = Field(description="What the engine scripted says, one text per recording.")
    script_delay_s: float = Field(ge=0, le=3600, description="How long the engine scripted takes.")
    vad: Vad
    whisper: Whisper
    sherpa: Sherpa
    onnx_asr: OnnxAsr
    openai: OpenAi


class Vocabulary(Table):
    """Your words."""

    words: Script = Field(description="Names and terms you use, perhaps with how they sound: ComfyUI = comfy you eye.")

    @field_validator("words")
    @classmethod
    def _understood(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_vocabulary(value)
        return value


class Profile(Table):
    """What one profile slot (`toak --start 3`) does differently."""

    language: SlotLanguage = Field(description="Language spoken with this slot; empty: transcription.language.")


class Profiles(Table):
    """The nine slots that a hotkey can name."""

    slot_1: Profile = Field(alias="1")
    slot_2: Profile = Field(alias="2")
    slot_3: Profile = Field(alias="3")
    slot_4: Profile = Field(alias="4")
    slot_5: Profile = Field(alias="5")
    slot_6: Profile = Field(alias="6")
    slot_7: Profile = Field(alias="7")
    slot_8: Profile = Field(alias="8")
    slot_9: Profile = Field(alias="9")

    def languages(self) -> dict[int, str]:
        """Return the language of each slot that sets one."""
        slots = enumerate((getattr(self, name) for name in type(self).model_fields), start=1)
        return {slot: profile.language for slot, profile in slots if profile.language}
