"""Listed words that the embedded engine gets wrong, with and without the list, and what the list does to the rest.

The list is made before anything is decoded: names inside sentences, and words that the engine's tokeniser cuts in
pieces, which are those it seldom saw; where an utterance has neither, its longest word. The recordings are human
speech, as they are and with white noise 10 dB below, where listed words fail more often. 200 cities that nobody
speaks of show what a list costs that does not fit.
"""

import re
import time
import zlib
import zoneinfo
from collections.abc import Sequence
from functools import cache
from statistics import mean
from typing import Final, NamedTuple

import jiwer
import numpy as np
from whisper_normalizer.english import EnglishTextNormalizer

from bench._rows import Row
from support.speech import Clip, clips, wheel_assets, wheel_clips
from v2m.domain.text.vocabulary import Vocabulary, corrected, parse_vocabulary
from v2m.domain.transcript import Hypothesis
from v2m.infrastructure.engines._moonshine_tokens import Tokenizer, load_pieces
from v2m.infrastructure.engines.moonshine import TOKENIZER, MoonshineEngine

FOLDER: Final = wheel_assets() / "tiny-en"
SNR_DB: Final = 10
UNRELATED: Final = 200
MOST_LEFT_PERCENT: Final = 50
MOST_HARM_POINTS: Final = 0.1
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_normalise: Final = cache(EnglishTextNormalizer())


class Score(NamedTuple):
    """Wrong words: of those on the list, and of the rest (insertions included); and how many there are of each."""

    listed: int
    rest: int
    of_listed: int
    of_rest: int

    @property
    def rest_percent(self) -> float:
        """Wrong words among the rest."""
        return 100 * self.rest / self.of_rest


def measure(rounds: int = 1) -> list[Row]:
    """Decode each recording clean, and with `rounds` different noises, with and without lists."""
    recordings = [clip for clip in clips() if clip.kind == "speech"]
    known = [clip.text for clip in recordings]
    recordings += [
        clip for clip in wheel_clips() if clip.kind == "speech" and not any(clip.text in text for text in known)
    ]
    words = listed_words(recordings)
    rows = conditions(recordings, words, "clean", [clip.pcm for clip in recordings])
    noisy = [noised(clip, seed) for seed in range(rounds) for clip in recordings]
    return rows + conditions(recordings * rounds, words, f"noise {SNR_DB} dB", noisy)


def conditions(recordings: Sequence[Clip], words: Sequence[str], name: str, audio: Sequence[bytes]) -> list[Row]:
    """Return the rows of one kind of audio."""
    listed, cities = parse_vocabulary(words), parse_vocabulary(unrelated(recordings))
    (bare, bare_ms), (favoured, favoured_ms), (other, other_ms) = decode(audio, (Vocabulary(), listed, cities))
    without, with_list, harmed = (score(recordings, heard, words) for heard in (bare, favoured, other))
    by_text = score(recordings, [corrected(heard, listed) for heard in bare], words)
    containing = sum(any(marks(_normalise(clip.text).split(), words)) for clip in recordings)
    counted = f"{without.listed} → {with_list.listed} of {without.of_listed} in {containing} utterances"
    rest = f"{without.rest_percent:.2f} → {with_list.rest_percent:.2f} %"
    all_words = without.of_listed + without.of_rest
    more = with_list.rest_percent - without.rest_percent
    harm = 100 * (harmed.listed + harmed.rest - without.listed - without.rest) / all_words
    by_sound = f"and {by_text.rest_percent - without.rest_percent:+.2f} points in the rest"
    left, left_by_sound = (100 * one.listed / max(1, without.listed) for one in (with_list, by_text))
    added, added_by_others = (mean(times) - mean(bare_ms) for times in (favoured_ms, other_ms))
    return [
        Row(f"{name}: listed words still wrong", left, "%", MOST_LEFT_PERCENT, counted),
        Row(f"{name}: more wrong in the rest", more, "points", MOST_HARM_POINTS, rest),
        Row(f"{name}: more wrong, {UNRELATED} others listed", harm, "points", MOST_HARM_POINTS),
        Row(f"{name}: still wrong by sound alone", left_by_sound, "%", note=by_sound),
        Row(f"{name}: added per utterance, CPU", added, "ms", note=most(favoured_ms, bare_ms)),
        Row(f"{name}: the same, {UNRELATED} others", added_by_others, "ms", note=most(other_ms, bare_ms)),
    ]


def listed_words(recordings: Sequence[Clip]) -> list[str]:
    """Return what a user might list: names, and words that are no single token; else the longest of the utterance."""
    tokenizer = Tokenizer(load_pieces(FOLDER / TOKENIZER))
    found: dict[str, None] = {}
    for clip in recordings:
        likely, others = [], []
        for match in _WORD.finditer(clip.text):
            word, before = match.group(), clip.text[: match.start()].rstrip()
            inside = bool(before) and before[-1] not in ".?!" and not clip.text.isupper()
            is_name = inside and word[0].isupper() and word != "I"
            tokens = min(len(tokenizer.encode(word.lower())), len(tokenizer.encode(word.capitalize())))
            if len(word) > 2 and not any(map(str.isdigit, _normalise(word))):
                (likely if is_name or tokens > 1 else others).append(word if inside else word.lower())
        found.update(dict.fromkeys(likely or sorted(others, key=len)[-1:]))
    return list(found)


def unrelated(recordings: Sequence[Clip]) -> list[str]:
    """Return names of cities (of time zones) that are not spoken of, the same ones each time."""
    spoken = " ".join(clip.text for clip in recordings).casefold()
    zones = {zone.rpartition("/")[2].replace("_", " ") for zone in zoneinfo.available_timezones() if "/" in zone}
    cities = [city for city in zones if city.replace(" ", "").isalpha() and city.casefold() not in spoken]
    return sorted(cities, key=lambda city: zlib.crc32(city.encode()))[:UNRELATED]


def noised(clip: Clip, seed: int) -> bytes:
    """Return a recording with white noise, the same for each clip and seed."""
    samples = np.frombuffer(clip.pcm, "<i2").astype(np.float64)
    generator = np.random.default_rng(zlib.crc32(clip.id.encode()) + seed)
    level = np.sqrt(np.mean(samples**2)) * 10 ** (-SNR_DB / 20)
    return np.clip(samples + level * generator.standard_normal(len(samples)), -32768, 32767).astype("<i2").tobytes()


def decode(audio: Sequence[bytes], vocabularies: Sequence[Vocabulary]) -> list[tuple[list[Hypothesis], list[float]]]:
    """Return what the engine hears with each list, and the milliseconds of CPU for each utterance."""
    engines = [MoonshineEngine(folder=FOLDER, vocabulary=vocabulary) for vocabulary in vocabularies]
    results: list[tuple[list[Hypothesis], list[float]]] = [([], []) for _ in engines]
    for engine in engines:
        engine.load()
    for pcm in audio:
        for engine, (heard, times_ms) in zip(engines, results, strict=True):
            stream = engine.open_stream("en")
            stream.feed(pcm)
            began = time.process_time()
            heard.append(stream.finish())
            times_ms.append((time.process_time() - began) * 1000)
    return results


def score(recordings: Sequence[Clip], heard: Sequence[Hypothesis], words: Sequence[str]) -> Score:
    """Count wrong words after the Whisper normaliser."""
    listed = rest = of_listed = of_rest = 0
    for clip, hypothesis in zip(recordings, heard, strict=True):
        reference = _normalise(clip.text).split()
        output = jiwer.process_words(" ".join(reference), _normalise(hypothesis.text) or "nothing")
        right = {
            at
            for chunk in output.alignments[0]
            if chunk.type == "equal"
            for at in range(chunk.ref_start_idx, chunk.ref_end_idx)
        }
        on_list = marks(reference, words)
        listed += sum(mark and at not in right for at, mark in enumerate(on_list))
        rest += sum(not mark and at not in right for at, mark in enumerate(on_list)) + output.insertions
        of_listed += sum(on_list)
        of_rest += len(on_list) - sum(on_list)
    return Score(listed, rest, of_listed, of_rest)


def marks(reference: Sequence[str], words: Sequence[str]) -> list[bool]:
    """Tell for each word of a normalised reference whether it is on the list, or part of an entry."""
    found = [False] * len(reference)
    for word in words:
        parts = _normalise(word).split()
        for at in range(len(reference) - len(parts) + 1):
            if list(reference[at : at + len(parts)]) == parts:
                found[at : at + len(parts)] = [True] * len(parts)
    return found


def most(times_ms: Sequence[float], than_ms: Sequence[float]) -> str:
    """Say what it took at most."""
    return f"at most {max(with_ms - bare_ms for with_ms, bare_ms in zip(times_ms, than_ms, strict=True)):.0f} ms"
