"""`v2m doctor` under a real user manager: what can be wrong with the units, and that its commands mend it."""

import shlex
from collections.abc import Iterator

import pytest

from support.daemon import BIN, wait_until
from support.doctor import Finding, findings
from support.systemd_user import UserSystemd, running_user_systemd

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def user() -> Iterator[UserSystemd]:
    with running_user_systemd() as manager:
        yield manager


def look(user: UserSystemd, check: str) -> Finding:
    return findings(user.v2m("doctor", "--json", "--only", check).stdout)[check]


def mends(user: UserSystemd, check: str, says: str) -> None:
    found = look(user, check)
    assert found["verdict"] in {"warn", "fail"}, found
    assert says in found["evidence"]
    again = f"{shlex.quote(str(BIN / 'v2m'))} doctor --json --only {check}"
    done = user.run("sh", "-c", f"{{ {found['fix']}\n}} >&2 || exit 99\n{again}")
    assert done.returncode != 99, done.stderr
    mended = findings(done.stdout)[check]
    assert mended["verdict"] == "ok", mended


def test_units_that_are_not_installed(user: UserSystemd) -> None:
    mends(user, "service-units", "not installed")
    assert look(user, "service-state")["verdict"] == "ok"
    assert look(user, "daemon")["verdict"] == "ok"


def test_units_of_another_version(user: UserSystemd) -> None:
    unit = user.units / "toakd.service"
    user.write(unit, unit.read_text() + "# by hand\n")
    mends(user, "service-units", "toakd.service is not what this v2m installs")


def test_a_service_that_is_not_enabled(user: UserSystemd) -> None:
    user.systemctl("disable", "toakd.service")
    mends(user, "service-state", "not enabled")


def test_a_daemon_that_crashed_too_often(user: UserSystemd) -> None:
    def given_up() -> bool:
        user.systemctl("kill", "--kill-whom=main", "-s", "KILL", "toakd.service", check=False)
        return user.show("ActiveState") == "failed"

    wait_until(given_up, what="systemd to give up")
    mends(user, "service-state", "toakd")
    assert look(user, "daemon")["verdict"] == "ok"


def test_a_hung_daemon(user: UserSystemd) -> None:
    """Behind the same socket, on which systemd listens."""
    user.systemctl("kill", "--kill-whom=main", "-s", "STOP", "toakd.service")
    mends(user, "daemon", "hangs or is stopped")


def test_a_hardening_of_another_version(user: UserSystemd) -> None:
    """Where it works it is written anew, where it does not it goes."""
    found = look(user, "hardening")
    assert found["verdict"] == "ok", found
    user.write(user.units / "toakd.service.d" / "hardening-ns.conf", "[Service]\nPrivateUsers=no\n")
    mends(user, "hardening", "not what this v2m installs" if "would work" in found["evidence"] else "does not work")


def test_the_bundle_tells_the_units_and_the_journal(user: UserSystemd) -> None:
    name = user.home / "report.zip"
    done = user.v2m("doctor", "--only", "clock", "--report", name)
    assert done.returncode == 0, done.stderr
    told = user.run("python3", "-m", "zipfile", "-e", name, user.home / "report", check=True)
    assert told.returncode == 0
    units = (user.home / "report" / "v2m-report" / "units.json").read_text()
    assert '"ActiveState": "active"' in units
    assert "ready" in (user.home / "report" / "v2m-report" / "log.json").read_text()
