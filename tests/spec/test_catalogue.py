"""The specification is executable: each promise of a finished part names the test or bench that keeps it."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.spec

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = tomllib.loads((ROOT / "tests/spec/catalogue.toml").read_text())
ROWS = CATALOGUE["row"]


def promised() -> set[str]:
    """Ids of the table rows in docs/specification.md."""
    text = (ROOT / "docs/specification.md").read_text()
    return set(re.findall(r"^\| ([A-H]\d+) \|", text, re.MULTILINE))


def functions(path: Path) -> set[str]:
    """Names of the functions of a file, and `Class::method`."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{item.name}" for item in node.body if isinstance(item, ast.FunctionDef)}
    return names


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
        path, _, function = name.partition("::")
        assert (ROOT / path).is_file(), f"{identity}: no file {path}"
        assert function in functions(ROOT / path), f"{identity}: no {function} in {path}"
