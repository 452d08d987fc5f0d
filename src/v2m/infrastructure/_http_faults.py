"""What goes wrong between this machine and a service, in the user's terms."""

import errno
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import httpx2

from v2m.domain.errors import EngineReason, EngineUnavailableError

HINT: Final = "Check the network and transcription.openai.base_url."
_UNREACHABLE: Final = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL}


class LastingError(EngineUnavailableError):
    """A fault that stays until somebody changes something; asking again does not help."""


def fault(error: Exception, host: str) -> EngineUnavailableError:
    """Return what an exception of the HTTP library means; it quotes nothing that was sent."""
    if isinstance(error, httpx2.TimeoutException):
        return EngineUnavailableError(f"{host} does not answer.", reason=EngineReason.TIMEOUT, hint=HINT)
    for cause in _causes(error):
        match cause:
            case ssl.SSLWantReadError() | ssl.SSLWantWriteError():  # no fault: TLS had to wait for the network
                continue
            case ssl.SSLError():
                return _tls_fault(cause, host)
            case socket.gaierror():
                return _network(f"The address of {host} cannot be found: no network, or no such name.")
            case ConnectionRefusedError():
                return _network(f"{host} refuses connections.")
            case OSError(errno=number) if number in _UNREACHABLE:
                return _network(f"{host} cannot be reached: there is no way through the network.")
    if isinstance(error, httpx2.ProxyError):
        return _network(f"The proxy on the way to {host} refuses.", hint="Check HTTPS_PROXY and NO_PROXY.")
    return _network(f"The connection to {host} broke off before there was a whole answer.")


def _network(message: str, hint: str = HINT) -> EngineUnavailableError:
    return EngineUnavailableError(message, reason=EngineReason.NETWORK, hint=hint)


def _tls_fault(error: ssl.SSLError, host: str) -> EngineUnavailableError:
    if not isinstance(error, ssl.SSLCertVerificationError):
        why = (error.reason or "the handshake failed").lower().replace("_", " ")
        return LastingError(
            f"No encrypted connection to {host}: {why}.",
            reason=EngineReason.NETWORK,
            hint="Is it https in transcription.openai.base_url where the service speaks http?",
        )
    expired = error.verify_code in (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
    own = "Check the clock of this machine." if expired else "For a service of your own: cloud.ca_file."
    return LastingError(
        f"{host} does not prove who it is: {error.verify_message.rstrip('.')}.", reason=EngineReason.NETWORK, hint=own
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and what led to it; several addresses of a host fail as a group."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                yield from _causes(inner)
        error = error.__cause__ or error.__context__
