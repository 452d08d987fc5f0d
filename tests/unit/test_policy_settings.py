"""`[[policy]]`: from which layers rules come and in which order, and how a mistake is named with its line."""

import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import v2m.config
from v2m._settings_policy import PolicyRule
from v2m.config import Settings, describe, describe_rules, load_settings
from v2m.core.di.policy import make_policy
from v2m.domain.errors import ConfigError
from v2m.domain.policy import WISHES, Target

pytestmark = pytest.mark.unit

PACKAGED = tomllib.loads(Path(v2m.config.__file__).with_name("config.toml").read_text())["policy"]
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write the user's file in a home where nothing else is set."""
    for name in os.environ:
        if name.startswith(("V2M_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ".config/v2m"
    folder.mkdir(parents=True)

    def put(text: str) -> Path:
        (folder / "config.toml").write_text(text)
        return folder / "config.toml"

    return put


def said(settings: Settings) -> list[dict[str, Any]]:
    """The user's rules as they were given."""
    own = settings.policy[: len(settings.policy) - len(PACKAGED)]
    return [rule.model_dump(exclude_unset=True, exclude={"origin"}) for rule in own]


def refusal() -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        load_settings()
    message = str(refused.value)
    assert "\n" not in message
    assert "pydantic" not in message
    return refused.value


# --- what rules say, and where they come from ---------------------------------------------------------


def test_an_empty_home_has_the_packaged_rules(write: Write) -> None:
    settings = load_settings()
    assert len(settings.policy) == len(PACKAGED) > 3
    assert settings.policy[0].origin == "v2m's rule 1"
    assert settings.sources["policy"] == "default"


def test_every_key_of_a_rule_can_be_written(write: Write) -> None:
    rule = (
        'app = "foot*"\ntitle = ["ssh *", "mosh *"]\nrole = "terminal"\nlanguage = ["de", "tr"]\noutputs = "wtype"\n'
        'paste_key = "Ctrl+Shift+V"\nnewline = "space"\ncasing = "lower"\ntrailing_space = true\nrefine = false\n'
        "submit = true\n"
    )
    write(f"[[policy]]\n{rule}")
    assert said(load_settings()) == [
        {
            "app": ("foot*",), "title": ("ssh *", "mosh *"), "role": ("terminal",), "language": ("de", "tr"),
            "outputs": ("wtype",), "paste_key": "ctrl+shift+v", "newline": "space", "casing": "lower",
            "trailing_space": True, "refine": False, "submit": True,
        }
    ]  # fmt: skip
    assert {key.key for key in describe_rules()} == {f"policy.{name}" for name in tomllib.loads(rule)}


def test_rules_can_stand_in_one_line(write: Write) -> None:
    write('policy = [{ app = "foot", casing = "lower" }, { refine = false }]\n')
    assert said(load_settings()) == [{"app": ("foot",), "casing": "lower"}, {"refine": False}]


def test_stronger_layers_come_first_and_every_layer_counts(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write('[[policy]]\ncasing = "lower"\n\n[output]\nnewline = "newline"\n\n[[policy]]\nrefine = false\n')
    dotenv = path.with_name(".env")
    dotenv.write_text('V2M_POLICY=[{"casing": "sentence"}]\n')
    monkeypatch.setenv("V2M_POLICY", '[{"casing": "upper"}, {"outputs": "paste, wtype"}]')
    settings = load_settings({"policy": [{"submit": True}]})
    assert said(settings) == [
        {"submit": True},
        {"casing": "upper"},
        {"outputs": ("paste", "wtype")},
        {"casing": "sentence"},
        {"casing": "lower"},
        {"refine": False},
    ]
    assert settings.sources["policy"] == "arguments"
    assert [rule.origin for rule in settings.policy[:7]] == [
        "argument policy, rule 1",
        "environment variable V2M_POLICY, rule 1",
        "environment variable V2M_POLICY, rule 2",
        f"{dotenv}, line 1",
        f"{path}, line 1",
        f"{path}, line 7",
        "v2m's rule 1",
    ]


def test_a_users_rule_wins_over_a_packaged_one_and_says_where_it_stands(write: Write) -> None:
    path = write('\n[[policy]]  # mine\napp = "foot"\npaste_key = "shift+insert"\n')
    decision = make_policy(load_settings()).decide(Target(app="foot"))
    assert decision.manner.paste_key == "shift+insert"
    assert decision.reasons[0] == f"{path}, line 2 (app foot): paste_key shift+insert."


def test_an_empty_list_takes_nothing_away(write: Write) -> None:
    write("policy = []\n")
    assert len(load_settings().policy) == len(PACKAGED)


@pytest.mark.parametrize(
    ("rule", "target", "found"),
    [
        ('app = "krita"\ncasing = "upper"', Target(app="krita"), {"casing": "upper"}),
        ('title = "*Inbox*"\ncasing = "upper"', Target(app="x", title="My Inbox"), {"casing": "upper"}),
        ('role = "chat"\nnewline = "newline"', Target(app="slack"), {"newline": "newline"}),
        ('language = "de"\ntrailing_space = true', Target(language="de-CH"), {"trailing_space": True}),
        ('outputs = ["clipboard"]', Target(), {"outputs": ("clipboard",)}),
        ('paste_key = ""', Target(app="foot"), {"paste_key": ""}),
        ('app = "foot"\nrefine = false', Target(app="foot"), {"refine": False}),
        ('app = "foot"\nsubmit = true', Target(app="foot"), {"submit": True}),
    ],
)
def test_every_key_reaches_the_policy(write: Write, rule: str, target: Target, found: dict[str, object]) -> None:
    before = make_policy(load_settings()).decide(target).manner
    write(f"[[policy]]\n{rule}\n")
    after = make_policy(load_settings()).decide(target).manner
    changed = {name: getattr(after, name) for name in WISHES if getattr(after, name) != getattr(before, name)}
    assert changed == found


# --- refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ('[[policy]]\nap = "foot"\nrefine = true\n', 2, "rule 1: a rule has no key 'ap'; did you mean app?"),
        ('[[policy]]\nrefine = true\n\n[[policy]]\noutput = "paste"\n', 5, "rule 2: a rule has no key 'output'; did y"),
        ("[[policy]]\nzzz = 1\n", 2, "a rule has no key 'zzz'."),
        ('[[policy]]\norigin = "x"\nrefine = true\n', 2, "a rule has no key 'origin'"),
        ('[[policy]]\nrefine = true\n[policy.manner]\ncasing = "lower"\n', 1, "rule 1: a rule has no key 'manner'"),
        ('[[policy]]\noutputs = ["paste", "wtyp"]\n', 2, "not ['paste', 'wtyp']; did you mean wtype?"),
        ('[[policy]]\noutputs = "wtyp"\n', 2, "rule 1: outputs must be one or a list of input-method, virt"),
        ("[[policy]]\noutputs = []\n", 2, "outputs must be one or a list of"),
        ('[[policy]]\nrole = "termnal"\nrefine = true\n', 2, "terminal, ide, editor, office, mail, chat, browser, not"),
        ('[[policy]]\nrole = ["chat", "termnal"]\nrefine = true\n', 2, "did you mean terminal?"),
        ('[[policy]]\npaste_key = "ctrl+shfit+v"\n', 2, "paste_key 'ctrl+shfit+v' has no modifier 'shfit'; there are"),
        ('[[policy]]\npaste_key = "return"\n', 2, "paste_key 'return' ends in no key that pastes"),
        ("[[policy]]\npaste_key = 3\n", 2, "paste_key must be a chord such as ctrl+v, ctrl+shift+v or shift+insert"),
        ('[[policy]]\nnewline = "return"\n', 2, "rule 1: newline must be space or newline, not 'return'."),
        ('[[policy]]\ncasing = "lowr"\n', 2, "casing must be keep, lower, sentence or upper, not 'lowr'; did you me"),
        ('[[policy]]\ntrailing_space = "yes"\n', 2, "trailing_space must be true or false, not 'yes'."),
        ("[[policy]]\nrefine = 1\n", 2, "refine must be true or false, not 1."),
        ('[[policy]]\napp = ""\nrefine = true\n', 2, "app must be a pattern such as foot*, or a list of such."),
        ("[[policy]]\napp = []\nrefine = true\n", 2, "app must be a pattern such as foot*, or a list of such."),
        ("[[policy]]\napp = [1]\nrefine = true\n", 2, "app must be a pattern such as foot*"),
        (
            "[[policy]]\ntitle = 3\nrefine = true\n",
            2,
            "title must be a pattern such as foot*, or a list of such.",
        ),
        ('[[policy]]\n\napp = "foot"\n', 1, "rule 1: it wishes nothing: it has none of outputs, paste_key, newline,"),
        ("[[policy]]\n", 1, "it wishes nothing"),
        ('[[policy]]\nrefine = true\n[[policy]]\n[[policy]]\ncasing = "x"\n', 3, "rule 2: it wishes nothing"),
        ('policy = [\n  { app = "foot", casing = "x" },\n]\n', 1, "rule 1: casing must be"),
        ('[policy]\napp = "foot"\n', 2, "policy is a list of rules: write [[policy]] above each."),
        ('[policy]\npaste_key = "ctrl+v"\n', 2, "policy is a list of rules: write [[policy]] above each."),
        ("[policy]\n", 1, "policy must be a list of rules, each under [[policy]]."),
        ("policy = 3\n", 1, "policy must be a list of rules, each under [[policy]]."),
        ("policy = [1]\n", 1, "policy must be a list of rules, as in [[policy]]."),
        ('[[polcy]]\napp = "foot"\n', 1, "there is no setting polcy; did you mean policy?"),
    ],
)
def test_a_mistake_in_a_rule_is_named_with_its_line(write: Write, text: str, line: int, sentence: str) -> None:
    path = write(text)
    message = str(refusal())
    assert message.startswith(f"{path}, line {line}: ")
    assert sentence in message
    assert message.endswith((".", "?"))


def test_a_refused_rule_comes_with_the_keys_there_are(write: Write) -> None:
    write("[[policy]]\nzzz = 1\n")
    names = [key.key.removeprefix("policy.") for key in describe_rules()]
    assert refusal().hint == f"A rule takes {', '.join(names)}."


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("[", 'policy must be a list of rules, as in [{"app": "foot", "casing": "lower"}].'),
        ("", "policy must be a list of rules"),
        ("{}", "policy must be a list of rules"),
        ('["foot"]', "policy must be a list of rules"),
        ("[" * 100_000, "policy must be a list of rules"),
        ('[{"refine": true}, {"app": null, "refine": true}]', "rule 2: app must be a pattern such as foot*"),
        ('[{"paste_key": "super+v"}]', "rule 1: paste_key 'super+v' has no modifier 'super'"),
        ('[{"casing": "lower", "aap": "foot"}]', "rule 1: a rule has no key 'aap'; did you mean app?"),
    ],
)
def test_a_mistake_in_the_variable_is_named(
    write: Write, monkeypatch: pytest.MonkeyPatch, value: str, sentence: str
) -> None:
    monkeypatch.setenv("V2M_POLICY", value)
    message = str(refusal())
    assert message.startswith("environment variable V2M_POLICY: ")
    assert sentence in message


def test_a_mistake_in_a_dotenv_file_is_named_with_its_line(write: Write) -> None:
    dotenv = write("").with_name(".env")
    dotenv.write_text("# rules\nV2M_POLICY=[{}]\n")
    assert str(refusal()).startswith(f"{dotenv}, line 2: rule 1: it wishes nothing")


# --- documentation ------------------------------------------------------------------------------------


def test_what_a_rule_can_say_is_documented() -> None:
    assert [key.key for key in describe() if key.key.startswith("policy")] == ["policy"]
    for key in describe_rules():
        assert key.doc.endswith(".")
        assert key.allowed
        assert key.type
    described = {key.key.removeprefix("policy.") for key in describe_rules()}
    assert described == PolicyRule.model_fields.keys() - {"origin"}


def test_the_packaged_rules_can_be_given_as_json_too(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2M_POLICY", json.dumps(PACKAGED))
    settings = load_settings()
    half = len(PACKAGED)
    assert [rule.model_dump(exclude={"origin"}) for rule in settings.policy[:half]] == [
        rule.model_dump(exclude={"origin"}) for rule in settings.policy[half:]
    ]
