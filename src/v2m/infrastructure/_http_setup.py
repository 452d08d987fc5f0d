"""What an HTTP client is built from: the address, the proxy on the way there, the authorities it believes."""

import ipaddress
import ssl
import urllib.request
from contextlib import suppress
from pathlib import Path

import httpx2

from v2m.domain.errors import EngineReason
from v2m.infrastructure._http_faults import LastingError


def parse_address(url: str) -> httpx2.URL | None:
    """Return an address of the web, None where it cannot be one."""
    try:
        address = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError):
        return None
    usable = address.scheme in ("http", "https") and address.host and (address.port or 0) < 65_536
    return address if usable else None


def build_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return what connections are checked with: the system's authorities, or those of a file.

    Raises:
        EngineUnavailableError: the file cannot be used.
    """
    if ca_file is None:
        return httpx2.create_ssl_context()
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise LastingError(
            f"cloud.ca_file ({ca_file}) holds no certificates that can be read.",
            reason=EngineReason.NETWORK,
            hint="It takes a file in PEM form: -----BEGIN CERTIFICATE-----",
        ) from error


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for an address, as curl would take it; none for this machine.

    Raises:
        EngineUnavailableError: the address is none, or the proxy is of a kind that cannot be used: going
            around it would be a leak.
    """
    address = parse_address(url)
    if address is None:
        raise LastingError(
            f"{url!r} is no address of a service.",
            reason=EngineReason.REFUSED,
            hint="Set transcription.openai.base_url, such as https://api.example.com/v1.",
        )
    proxies = urllib.request.getproxies()
    named = proxies.get(address.scheme) or proxies.get("all")
    if not named or is_loopback(address.host) or urllib.request.proxy_bypass(address.netloc.decode()):
        return None
    named = named if "://" in named else f"http://{named}"
    proxy = parse_address(named)
    if proxy is None:  # not quoted whole: it may hold a password
        raise LastingError(
            f"The environment names a proxy that v2m cannot use: {named.partition('://')[0]}.",
            reason=EngineReason.NETWORK,
            hint=f"Set HTTPS_PROXY to an http:// address, or NO_PROXY={address.host}.",
        )
    return named


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")
