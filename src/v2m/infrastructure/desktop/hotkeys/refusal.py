"""Why no key is bound, for the user."""


class RefusedError(Exception):
    """The desktop will not have these keys; `str()` is a sentence."""


class UnreachableError(Exception):
    """The desktop does not answer; `str()` is a sentence, empty where it has just ended."""
