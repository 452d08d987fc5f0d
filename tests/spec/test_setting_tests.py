"""Every setting of these tables has a test in which another value is another behaviour."""

import tomllib
from fnmatch import fnmatchcase

import pytest

from support.naming import ROOT, fault
from v2m.config import describe, describe_rules

pytestmark = pytest.mark.spec

FILE = tomllib.loads((ROOT / "tests/spec/setting_tests.toml").read_text())
TABLES = FILE.pop("tables")
TESTS = {key: tests for chapter in FILE.values() for key, tests in chapter.items()}
KEYS = [key.key for key in (*describe(), *describe_rules()) if key.key.partition(".")[0] in TABLES]


@pytest.mark.parametrize("key", KEYS)
def test_every_setting_has_a_test(key):
    assert any(fnmatchcase(key, pattern) for pattern in TESTS), f"{key} is changed in no test: name one in the list"


@pytest.mark.parametrize("pattern", TESTS)
def test_the_list_names_settings_and_tests_that_exist(pattern):
    assert any(fnmatchcase(key, pattern) for key in KEYS), f"{pattern} is no setting"
    assert TESTS[pattern], f"{pattern} names no test"
    for name in TESTS[pattern]:
        assert not fault(name), f"{pattern}: {fault(name)}"


def test_a_missing_file_or_test_would_be_noticed():
    assert fault("tests/unit/test_nowhere.py::test_x") == "no file tests/unit/test_nowhere.py"
    assert fault("tests/unit/test_config.py::test_x") == "no test_x in tests/unit/test_config.py"
    assert fault("tests/unit/test_config.py::test_durations") == ""
