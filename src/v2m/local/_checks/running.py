"""Runs the checks at the same time, each with its deadline; one that hangs or breaks is told like the others."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, cast

from v2m.domain.errors import V2mError
from v2m.local._checks.cures import here
from v2m.local._checks.facts import Facts, UnknownSettingsError
from v2m.local._checks.finding import Check, Finding, Result, fail, skip
from v2m.local._checks.threads import in_thread

CHECKS_S: Final = 6.0  # for all of them; the facts before take 3 s at most, so that everything is told within 10 s


async def run_checks(checks: Sequence[Check], facts: Facts) -> list[Result]:
    """Return what each check found, in their order."""
    until = asyncio.get_running_loop().time() + CHECKS_S
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_find(check, facts, until)) for check in checks]
    found = [task.result() for task in tasks]
    return [Result(check, replace(each, fix=here(each.fix))) for check, each in zip(checks, found, strict=True)]


async def _find(check: Check, facts: Facts, until: float) -> Finding:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout_at(min(began + check.deadline_s, until)):
            return await _look(check, facts)
    except TimeoutError:
        return fail(
            f"No answer after {loop.time() - began:.0f} s: what this check looks at hangs.",
            f"v2m doctor --only {check.id}",
        )
    except UnknownSettingsError:
        return skip("The settings cannot be read, see config.")
    except V2mError as error:
        return fail(str(error), error.hint or "")
    except Exception as error:  # noqa: BLE001 - the wall of a check; what it says may hold anything
        return skip(f"The check itself broke ({type(error).__name__}).")


async def _look(check: Check, facts: Facts) -> Finding:
    if inspect.iscoroutinefunction(check.look):
        return await cast("Awaitable[Finding]", check.look(facts))
    look = cast("Callable[[Facts], Finding]", check.look)
    return await in_thread(lambda: look(facts))
