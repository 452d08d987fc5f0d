"""No setting without a reader: each key is looked up where the program is put together."""

import ast
import inspect
from pathlib import Path

import pytest

import v2m
from v2m.config import describe
from v2m.infrastructure.desktop.notifications import DesktopNotifier

pytestmark = pytest.mark.unit

ROOT = Path(v2m.__file__).parent
WHOLE_TABLES = {"notifications": set(inspect.signature(DesktopNotifier.__init__).parameters)}


def read_in(*files: str) -> set[str]:
    """Names that are read as attributes or spelt as text in these files."""
    names = set()
    for file in files:
        for node in ast.walk(ast.parse((ROOT / file).read_text())):
            if isinstance(node, ast.Attribute):
                names.add(node.attr)
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.add(node.value)
    return names


@pytest.mark.parametrize("key", [key.key for key in describe()])
def test_every_setting_is_read(key):
    names = read_in("core/di/container.py", "core/di/adapters.py")
    table, _, name = key.rpartition(".")
    if table in WHOLE_TABLES:
        assert name in WHOLE_TABLES[table]
    elif table == "paths":
        assert name.removesuffix("_dir") in names  # by the methods that know what empty means
    else:
        assert {name, f"{name}_s"} & names


def test_a_setting_that_nobody_reads_would_be_noticed():
    assert "no_such_setting" not in read_in("core/di/container.py", "core/di/adapters.py")
