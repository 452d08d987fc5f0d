"""Names of tests in files that promise something, such as `tests/unit/test_x.py::test_y`."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def functions(path: Path) -> frozenset[str]:
    """Return the names of the functions of a file, and `Class::method`."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{item.name}" for item in node.body if isinstance(item, ast.FunctionDef)}
    return frozenset(names)


def fault(name: str) -> str:
    """Return why there is no test of this name; empty: there is."""
    path, _, function = name.partition("::")
    if not (ROOT / path).is_file():
        return f"no file {path}"
    return "" if function in functions(ROOT / path) else f"no {function} in {path}"
