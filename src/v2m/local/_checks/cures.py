"""Commands that several checks offer."""

import shlex

from v2m._settings_layers import variable
from v2m.config import Settings


def set_to(settings: Settings, key: str, value: str) -> str:
    """Return the command that gives a setting another value, wherever it is set now."""
    if settings.sources.get(key) == "environment":
        return (
            f"unset {variable(key)}" if not value or value == "auto" else f"export {variable(key)}={shlex.quote(value)}"
        )
    return f"v2m config set {key} {shlex.quote(value)}"
