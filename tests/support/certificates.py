"""Certificates for services on loopback, good and bad ones, and the authority that issues them."""

import atexit
import datetime
import tempfile
from functools import cache
from pathlib import Path

import trustme

DAY = datetime.timedelta(days=1)

_authority = cache(trustme.CA)


@cache
def authority() -> Path:
    """Return a file with the authority; it is there as long as the tests."""
    file = tempfile.NamedTemporaryFile(suffix=".pem")  # noqa: SIM115
    atexit.register(file.close)
    path = Path(file.name)
    _authority().cert_pem.write_to_path(path)
    return path


def issue(kind: str = "") -> trustme.LeafCert:
    """Return a certificate for localhost, or a bad one: "expired", "other host", "unknown authority"."""
    past = datetime.datetime.now(datetime.UTC) - DAY
    match kind:
        case "expired":
            return _authority().issue_cert("localhost", not_before=past - DAY, not_after=past)
        case "other host":
            return _authority().issue_cert("elsewhere.example")
        case "unknown authority":
            return trustme.CA().issue_cert("localhost")
    return _authority().issue_cert("localhost")
