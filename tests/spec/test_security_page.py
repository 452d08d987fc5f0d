"""Every claim of the threat model names a test that exists."""

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.spec

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "security.md"
LINK = re.compile(r"\[[^\]]+\]\(\.\./tests/([\w/]+\.py)#(\w+)\)")
SILENT = {"What is worth something", "Not promised"}  # sections without a claim


def links(text: str) -> list[tuple[str, str]]:
    return LINK.findall(text)


def claims(text: str) -> dict[str, list[str]]:
    """Return the bullets and paragraphs of each section."""
    found = {}
    for section in text.split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        found[title] = [each for each in re.split(r"\n(?=\* )|\n\n", body) if each.strip()]
    return found


def test_every_test_that_is_named_exists() -> None:
    named = links(PAGE.read_text(encoding="utf-8"))
    assert len(named) >= 30
    for file, name in named:
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}: {name}"


def test_every_claim_names_one() -> None:
    for title, parts in claims(PAGE.read_text(encoding="utf-8")).items():
        if title in SILENT:
            continue
        bullets = [part for part in parts if part.startswith("* ")] or ["\n".join(parts)]
        assert [part for part in bullets if not links(part)] == [], title


def test_the_page_is_one_page() -> None:
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) <= 130
