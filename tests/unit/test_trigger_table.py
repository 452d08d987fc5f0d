"""The trigger's tables, in C and in Python, hold the numbers of the daemon and of the client."""

import re
import runpy
from pathlib import Path

import pytest

from v2m.client import EXIT_CODES, MAX_PAYLOAD_SIZE
from v2m.core.ipc_protocol import HEADER_BYTES, SLOT_BYTES, ControlByte
from v2m.utils.paths import MAX_SOCKET_PATH_BYTES

pytestmark = pytest.mark.unit

TRIGGER = Path(__file__).resolve().parents[2] / "native" / "trigger"
FAILED = 70
VERBS = {name.lower(): name for name in ControlByte.__members__} | {"discard": "ABORT"}


def c_trigger() -> tuple[dict[str, int], dict[str, int], dict[str, int], str]:
    """Return constants, verbs, refusals and the help text, read from the source."""
    source = (TRIGGER / "toak.c").read_text(encoding="utf-8")
    constants = {
        name: int(value, 0) for name, value in re.findall(r"\b([A-Z][A-Z_0-9]+) = (0x[0-9a-f]+|\d+)\b", source)
    }
    pairs = {word: constants[name] for word, name in re.findall(r'\{"(\w+)", ([A-Z_]+)\}', source)}
    verbs = {word: value for word, value in pairs.items() if word in VERBS}
    refusals = {word: value for word, value in pairs.items() if word not in VERBS}
    text = re.search(r"HELP\[\] =(.*?);\n", source, re.DOTALL)
    assert text
    return constants, verbs, refusals, "".join(re.findall(r'"(.*?)\\n"', text[1]))


def python_trigger() -> tuple[dict[str, int], dict[str, int], dict[str, int], str]:
    """Return the same of the fallback."""
    module = runpy.run_path(str(TRIGGER / "fallback.py"))
    constants = {name: value for name, value in module.items() if name.isupper() and isinstance(value, int)}
    refusals = {code.decode(): value for code, value in module["REFUSALS"].items()}
    return constants, module["VERBS"], refusals, module["HELP"].replace("\n", "")


@pytest.fixture(params=[c_trigger, python_trigger], ids=["toak.c", "fallback.py"])
def tables(request):
    return request.param()


def test_control_bytes_are_those_of_the_protocol(tables):
    constants, verbs, _, _ = tables
    assert {byte.name: byte.value for byte in ControlByte}.items() <= constants.items()
    assert constants["START_SLOT_1"] == SLOT_BYTES[0]
    assert len(SLOT_BYTES) == 9
    assert verbs == {word: ControlByte[name].value for word, name in VERBS.items()}


def test_exit_codes_are_those_of_the_client(tables):
    constants, _, refusals, _ = tables
    assert {code: refusals.get(code, FAILED) for code in EXIT_CODES} == EXIT_CODES
    assert refusals.keys() <= EXIT_CODES.keys()
    statuses = {"USAGE", "NOT_RUNNING", "FAILED", "TRY_AGAIN", "PERMISSION", "BAD_CONFIG"}
    assert {constants[name] for name in statuses} == set(EXIT_CODES.values())


def test_limits_are_those_of_the_protocol(tables):
    constants, _, _, _ = tables
    assert constants["HEADER_BYTES"] == HEADER_BYTES
    assert constants.get("PATH_BYTES", MAX_SOCKET_PATH_BYTES) == MAX_SOCKET_PATH_BYTES
    assert constants["PATIENCE_US"] == 250_000


def test_both_builds_give_the_same_help():
    assert c_trigger()[3] == python_trigger()[3]


def test_the_longest_answer_is_that_of_the_protocol():
    assert python_trigger()[0]["MAX_PAYLOAD_SIZE"] == MAX_PAYLOAD_SIZE
    assert "MAX_PAYLOAD_SIZE = 1 << 20" in (TRIGGER / "toak.c").read_text(encoding="utf-8")
    assert MAX_PAYLOAD_SIZE == 1 << 20
