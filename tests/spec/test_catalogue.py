"""The specification is executable: each promise of a finished part names the test or bench that keeps it."""

import re
import tomllib

import pytest

from support.naming import ROOT, fault

pytestmark = pytest.mark.spec

CATALOGUE = tomllib.loads((ROOT / "tests/spec/catalogue.toml").read_text())
ROWS = CATALOGUE["row"]


def promised() -> set[str]:
    """Ids of the table rows in docs/specification.md."""
    text = (ROOT / "docs/specification.md").read_text()
    return set(re.findall(r"^\| ([A-H]\d+) \|", text, re.MULTILINE))


def test_every_promise_has_a_row_and_every_row_a_promise():
    assert len(promised()) == 89
    assert set(ROWS) == promised()


@pytest.mark.parametrize("identity", sorted(ROWS))
def test_a_promise_of_a_finished_part_names_tests_that_exist(identity):
    row = ROWS[identity]
    tests = row.get("tests", [])
    if row["part"] in CATALOGUE["finished_parts"]:
        assert tests, f"{identity} belongs to a finished part and names no test"
    for name in tests:
        assert not fault(name), f"{identity}: {fault(name)}"
