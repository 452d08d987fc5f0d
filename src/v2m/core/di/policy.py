"""The policy that the settings describe."""

from v2m._settings_policy import PolicyRule
from v2m.config import Settings
from v2m.domain.policy import Manner, Policy, Rule


def make_policy(settings: Settings) -> Policy:
    """Return the rules in order, with what holds where none has a wish."""
    output = settings.output
    default = Manner(
        paste_key="",
        newline=output.newline,
        casing="keep",
        trailing_space=output.trailing_space,
        refine=True,
        submit=False,
    )
    return Policy([_rule(rule) for rule in settings.policy], default)


def _rule(rule: PolicyRule) -> Rule:
    wishes = Manner(
        outputs=rule.outputs,
        paste_key=rule.paste_key,
        newline=rule.newline,
        casing=rule.casing,
        trailing_space=rule.trailing_space,
        refine=rule.refine,
        submit=rule.submit,
    )
    return Rule(
        wishes=wishes,
        apps=rule.app,
        titles=rule.title,
        roles=rule.role,
        languages=rule.language,
        origin=rule.origin,
    )
