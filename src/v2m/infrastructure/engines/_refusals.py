"""What a speech service means by a status that is no success."""

import time
from email.utils import parsedate_to_datetime
from typing import Final

from v2m.domain.errors import EngineReason, EngineUnavailableError
from v2m.infrastructure._http_pool import Reply
from v2m.infrastructure.engines._answers import parse_object

DEFAULT_PAUSE_S: Final = 1.0  # where a service that is busy does not say how long
MAX_RETRY_AFTER_S: Final = 30 * 86_400.0  # a larger number is nonsense
MAX_QUOTE: Final = 200  # characters of what the service says
_FORMAT_WORDS: Final = ("response_format", "logprobs", "include", "timestamp_granularities")


def refusal(reply: Reply, *, host: str, variable: str, key: str) -> EngineUnavailableError:
    """Return the error for an answer that is no transcription; the key is never in it.

    QUOTA with `retry_after_s` may be asked again after that time, SERVER at any time.
    """
    says = _quoted(reply, key)
    base_url = "Is transcription.openai.base_url the address of a speech service, with its /v1?"
    match reply.status:
        case 401 | 403:
            # Not quoted: some services repeat a part of the key.
            what = f"refuses the key in {variable}" if key else f"asks for a key, and {variable} is not set"
            return _error(f"{host} {what}.", EngineReason.AUTH, f"Check {variable} or cloud.api_key_cmd.")
        case 402:
            return _error(f"{host} asks for payment{says}.", EngineReason.QUOTA, "Check your account there.")
        case 413:
            smaller = "cloud.upload_while_speaking sends smaller parts."
            return _error(f"The recording is too large for {host}.", EngineReason.REFUSED, smaller)
        case 429:
            return _quota(reply, host)
        case 404 | 405:
            model = "Check transcription.openai.base_url (with its /v1) and transcription.openai.model."
            return _error(f"{host} has no such address or model{says}.", EngineReason.REFUSED, model)
        case status if 300 <= status < 400:
            return _error(f"{host} sends us elsewhere (status {status}).", EngineReason.REFUSED, base_url)
        case status if status == 408 or status >= 500:
            pause_s = retry_after_s(reply)
            return EngineUnavailableError(
                f"{host} has a fault of its own (status {status}).",
                reason=EngineReason.SERVER,
                retry_after_s=pause_s,
                hint="Try again later.",
            )
        case status:
            model = "Check transcription.openai.model and transcription.language."
            return _error(f"{host} refuses the request (status {status}){says}.", EngineReason.REFUSED, model)


def dislikes_format(reply: Reply) -> bool:
    """Tell whether a service refuses the form in which an answer was asked for."""
    return reply.status in (400, 415, 422) and any(word.encode() in reply.body for word in _FORMAT_WORDS)


def retry_after_s(reply: Reply) -> float | None:
    """Return the seconds that a service asks to wait, from a number or a date; None where it does not say."""
    told = reply.headers.get("retry-after", "").strip()
    if told.isascii() and told.replace(".", "", 1).isdigit():
        return min(float(told), MAX_RETRY_AFTER_S)
    try:
        return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def _error(message: str, reason: EngineReason, hint: str) -> EngineUnavailableError:
    return EngineUnavailableError(message, reason=reason, hint=hint)


def _quota(reply: Reply, host: str) -> EngineUnavailableError:
    """Return the error for too many requests; a used-up account is not cured by waiting."""
    if b"insufficient_quota" in reply.body:
        return _error(f"The account at {host} is used up.", EngineReason.QUOTA, "Check your account there.")
    told = retry_after_s(reply)
    when = "" if told is None else f"; it asks to wait {told:.0f} s"
    return EngineUnavailableError(
        f"{host} takes no more requests for now{when}.",
        reason=EngineReason.QUOTA,
        retry_after_s=DEFAULT_PAUSE_S if told is None else told,
        hint="Wait, then v2m retry; or list a local engine in transcription.fallback.",
    )


def _quoted(reply: Reply, key: str) -> str:
    """Return what the service says about its refusal, in brackets; empty where it says nothing that can be shown."""
    answer = parse_object(reply.body) or {}
    error = answer.get("error", answer.get("detail"))
    says = error.get("message") if isinstance(error, dict) else error
    if not isinstance(says, str) or not says.strip():
        return ""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in says).split())
    line = (line.replace(key, "…") if key else line).rstrip(".")
    return f" ({line[:MAX_QUOTE]}{'…' if len(line) > MAX_QUOTE else ''})"
