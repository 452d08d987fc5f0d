"""The order of the test run: what takes long is not left to the end, where one worker would be alone with it."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.spec

ROOT = Path(__file__).resolve().parents[2]
FILES = ("tests/unit/test_policy.py", "tests/integration/test_exactness.py", "tests/desktop/test_exactness.py")


def test_files_with_desktops_come_first_and_the_rest_stays_in_its_order():
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *FILES]
    collected = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50)
    tests = [line for line in collected.stdout.splitlines() if "::" in line]
    folders = [test.split("/")[1] for test in tests]
    assert list(dict.fromkeys(folders)) == ["desktop", "integration", "unit"], collected.stderr
    assert folders == sorted(folders)


def test_the_runner_keeps_that_order():
    assert "--dist loadfile --no-loadscope-reorder" in (ROOT / "scripts" / "test").read_text()
