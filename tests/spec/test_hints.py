"""What an error or a page tells a user to type exists: verbs and options of `v2m`, packages to install."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from v2m.infrastructure.output._tools import hint
from v2m.main import local_verbs
from v2m.ui import raw
from v2m.ui.verbs import build_group

pytestmark = pytest.mark.spec

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "PROTOCOL.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLACEHOLDERS = {"ID": "17", "CMD": "PING", "VERB": "status"}
# What does not exist yet stands there: the one teaches how to add a verb, and has its own test.
AHEAD = {"extending.md", "specification.md"}
# A verb and what belongs to it: options and their values, an id, JSON or text in quotes, or `-`.
COMMAND = re.compile(
    r"\bv2m (?:--\w+|(?:models|bench|policy) \w+|\w+)"
    r"(?: (?:-{1,2}[\w-]+|\d+|[A-Z]{2,}|'[^']*'|\"[^\"]*\"|-)(?![\w]))*"
)
PACKAGES = re.compile(
    r"(?:apt(?:-get)? install|Install(?: the package)?) (?!the )((?:[a-z][\w.+-]*(?:, | and |,| )?)+)"
)
OTHER_WORDS = {"and", "then", "install", "v2m", "again"}


def hints_of(path: Path) -> Iterator[str]:
    """Yield each hint a module can give, with 17 for what is filled in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    given = [node.value for node in nodes if isinstance(node, ast.keyword) and node.arg == "hint"]
    given += [node.value for node in nodes if isinstance(node, ast.Return) and node.value and returns_hint(tree, node)]
    names = {"hint"} | {inner.id for value in given for inner in ast.walk(value) if isinstance(inner, ast.Name)}
    for node in nodes:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            given += [node.value for target in targets if isinstance(target, ast.Name) and target.id in names]
    for value in given:
        yield from texts(value)


def returns_hint(tree: ast.AST, node: ast.Return) -> bool:
    """Whether this is the answer of a function that makes hints."""
    functions = (each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) and "hint" in each.name)
    return any(node in ast.walk(function) for function in functions)


def texts(value: ast.AST) -> Iterator[str]:
    """Yield the strings of an expression."""
    if isinstance(value, ast.JoinedStr):
        yield "".join(part.value if isinstance(part, ast.Constant) else "17" for part in value.values)
    elif isinstance(value, ast.Constant):
        if isinstance(value.value, str):
            yield value.value
    else:
        for child in ast.iter_child_nodes(value):
            yield from texts(child)


def code_of(page: Path) -> Iterator[str]:
    """Yield what a page sets as code: spans, and lines of blocks."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from (line.removeprefix("$ ") for line in block.splitlines())
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`([^`\n]+)`", prose)


HINTS = sorted({(path.name, text) for path in (ROOT / "src").rglob("*.py") for text in hints_of(path)})
IN_HINTS = sorted({(name, found) for name, text in HINTS for found in COMMAND.findall(text)})
IN_PAGES = sorted(
    (page.name, line.strip())
    for page in PAGES
    if page.name not in AHEAD
    for line in {line.partition(" | ")[0] for line in code_of(page)}
    if re.match(r"\s*v2m [\w-]", line)
)


def check(command: str) -> None:
    """Fail unless the client understands this command line."""
    _, *words = shlex.split(command.replace("…", ""), comments=True)
    words = [PLACEHOLDERS.get(word, word) for word in words]
    if words[0].startswith("-"):
        assert words[0] in {"--help", "--version"}, command
        return
    if words == ["call"]:
        return
    if raw.is_raw(words) or words[0] == "call":
        name = words[words[0] == "call"]
        assert name in raw_names(), f"{command}: there is no command {name}"
        return
    parser: click.Command | None = build_group(local_verbs())
    verb, rest = "", words
    while isinstance(parser, click.Group) and rest and not rest[0].startswith("-"):
        verb, parser, rest = parser.resolve_command(click.Context(parser), rest)
    assert parser is not None
    if not rest:  # the verb is only named
        return
    try:
        parser.make_context(verb or "", [word for word in rest if word != "--help"])
    except click.ClickException as error:
        pytest.fail(f"{command}: {error.format_message()}")


def raw_names() -> set[str]:
    from v2m.application.commands import COMMANDS

    return {str(name) for name in COMMANDS}


def test_hints_and_pages_are_found() -> None:
    assert len(HINTS) > 50
    assert len(IN_HINTS) > 20
    assert len(IN_PAGES) > 30


@pytest.mark.parametrize(("module", "command"), IN_HINTS)
def test_a_command_in_a_hint_exists(module: str, command: str) -> None:
    check(command)


@pytest.mark.parametrize(("page", "command"), IN_PAGES)
def test_a_command_on_a_page_exists(page: str, command: str) -> None:
    check(command)


@pytest.mark.parametrize(
    "command",
    [
        "v2m wishes",
        "v2m models wish 17",
        "v2m models download 17 17",
        "v2m retry 17 --no-such-option",
        "v2m retry ID ID ID",
        "v2m WISH",
    ],
)
def test_a_command_that_does_not_exist_would_be_noticed(command: str) -> None:
    with pytest.raises((pytest.fail.Exception, AssertionError, click.UsageError)):
        check(command)


# --- packages ---


def known_packages() -> set[str]:
    """Return what scripts/setup installs, and what a page names as a package."""
    setup = (ROOT / "scripts/setup").read_text(encoding="utf-8")
    block = re.search(r"^packages=\((.*?)^\)", setup, re.MULTILINE | re.DOTALL)
    assert block is not None
    return {*block[1].split(), *(word for page in PAGES for code in code_of(page) for word in code.split())}


def packages_in(text: str) -> set[str]:
    return {
        word
        for listed in PACKAGES.findall(text)
        for word in re.split(r"[, ]+", listed)
        if word.strip(".") and word not in OTHER_WORDS
    }


@pytest.mark.parametrize(
    ("module", "text"),
    [(name, text) for name, text in HINTS if PACKAGES.search(text) and "17" not in text],
)
def test_a_package_in_a_hint_is_one_that_setup_or_a_page_knows(module: str, text: str) -> None:
    assert {word.strip(".") for word in packages_in(text)} <= known_packages()


@pytest.mark.parametrize("tool", ["wtype", "xdotool"])
def test_a_missing_typing_tool_is_named_with_its_package(tool: str) -> None:
    assert packages_in(hint(tool)) == {tool}
    assert tool in known_packages()


@pytest.mark.parametrize("script", sorted((ROOT / "scripts/headless").glob("*.sh")), ids=lambda path: path.name)
def test_a_package_that_a_script_asks_for_is_installed_by_setup(script: Path) -> None:
    named = re.findall(r"apt install ([a-z][\w. +-]*)\"", script.read_text(encoding="utf-8"))
    assert {word for names in named for word in names.split()} <= known_packages()
