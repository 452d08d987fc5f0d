"""Every reader of what others wrote gives a value or its own error, whatever the bytes; `scripts/fuzz` goes on."""

import asyncio
import gzip
import json
import resource
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.cloud import FLAC, served
from support.daemon import ROOT
from support.fuzzing import TARGETS, seeds
from support.speech_server import answers
from v2m.config import kinds
from v2m.domain.errors import EngineReason, EngineUnavailableError

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(120)]

EXAMPLES = {"codec": 500, "worker": 500, "configuration": 100, "answers": 500, "spool": 300, "rows": 80}
GOOD = seeds()
KINDS = kinds()


@st.composite
def mutated(draw, good):
    """Return good bytes with pieces changed, removed, doubled and inserted; or any bytes."""
    stream = bytearray(draw(st.sampled_from(good)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(stream)))
        match draw(st.integers(0, 3)):
            case 0:
                stream[place : place + 1] = draw(st.binary(min_size=1, max_size=4))
            case 1:
                del stream[place : place + draw(st.integers(1, 300))]
            case 2:
                stream[place:place] = draw(st.binary(max_size=8))
            case _:
                stream += stream[place:][:4096]
    return bytes(stream)


@pytest.mark.parametrize("name", TARGETS)
def test_no_bytes_break_it(name):
    quick = settings(
        max_examples=EXAMPLES[name],
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )

    @quick
    @given(mutated(GOOD[name]) | st.binary(max_size=600))
    def run(data):
        TARGETS[name](data)

    run()


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_good_is_taken(name):
    for data in GOOD[name]:
        TARGETS[name](data)


# --- settings, by their names: random bytes seldom are one ----------------------------------------------

JUNK = st.one_of(
    st.text(max_size=12),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.lists(st.text(max_size=4) | st.integers(), max_size=3),
    st.dictionaries(st.text(min_size=1, max_size=4), st.integers(), max_size=2),
)


def toml(value):
    """Return a value as TOML writes it."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return "nan" if value != value else str(value).replace("inf", "inf")
        case int():
            return str(value)
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{toml(key)} = {toml(each)}' for key, each in value.items())}}}"
    return json.dumps(value.encode("utf-8", "replace").decode()).replace("\x7f", "\\u007f")


@settings(max_examples=200, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(sorted(KINDS)), JUNK, min_size=1, max_size=4))
def test_no_value_of_a_setting_breaks_the_configuration(values):
    TARGETS["configuration"]("\n".join(f"{key} = {toml(value)}" for key, value in values.items()).encode())


# --- answers that no fuzzer thinks of -------------------------------------------------------------------

DEEP = 200_000
NASTY = {
    "deep lists": b'\0{"text": "x", "segments": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects": b"\0" + b'{"a":' * DEEP,
    "a huge number": b'\0{"text": "x", "segments": [{"avg_logprob": ' + b"9" * 4000 + b"}]}",
    "a number for a text": b'\0{"text": 5}',
    "half a letter": b'\0{"text": "\\ud800"}',
    "not UTF-8": b'\0{"text": "\xff"}',
    "many segments": b'\0{"text": "x", "segments": [' + b'{"avg_logprob": -1},' * 50_000 + b"{}]}",
    "a text of a megabyte": b'\0{"text": "' + b"word " * 200_000 + b'"}',
}


@pytest.mark.parametrize("name", NASTY)
def test_a_nasty_answer_is_a_text_or_an_error(name):
    TARGETS["answers"](NASTY[name])


BOMB = gzip.compress(bytes(200 << 20))  # 200 MiB in 200 KB


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "gzip, gzip", "br"])
def test_a_bomb_is_refused_before_it_is_unpacked(coding):
    async def scene():
        async with served(max_retries=0) as (service, speech):
            service.default = answers(200, BOMB, Content_Encoding=coding)
            with pytest.raises(EngineUnavailableError, match="compressed") as caught:
                await speech.transcribe(FLAC)
            return caught.value.reason

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert asyncio.run(scene()) is EngineReason.GARBLED
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kb < 50 << 10


# --- the command ----------------------------------------------------------------------------------------


def test_the_command_says_what_there_is_and_what_it_needs():
    import subprocess

    argv = [sys.executable, ROOT / "scripts" / "fuzz.py"]
    told = subprocess.run([*argv, "--help"], capture_output=True, text=True, check=True).stdout
    assert all(name in told for name in TARGETS)
    assert "pip install atheris" in told
    assert subprocess.run([*argv, "nothing"], capture_output=True).returncode == 2
