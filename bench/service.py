"""The daemon under a real user manager, killed again and again: how long until somebody is answered.

Needs root, as tests/support/systemd_user.py does. The clients run in the manager's namespaces, as its user.
"""

import json
import sys
from pathlib import Path
from statistics import median

from bench._rows import Row

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from support.systemd_user import running_user_systemd

KILLS = 20
AGAIN_S = 2.0  # "accepting again within 2 s"
_CLIENT = """
import json, subprocess, sys, time
from v2m.client import Client, ClientError
def pid():
    with Client(timeout_s=20) as client:
        return client.call("GET_STATUS")["pid"]
def systemctl(*words):
    subprocess.run(["systemctl", "--user", *words, "toakd.service"], check=True)
took, refused = [], 0
for _ in range(int(sys.argv[1])):
    systemctl("reset-failed")
    former = pid()
    systemctl("kill", "--kill-whom=main", "--signal=KILL")
    began = time.monotonic()
    while True:
        try:
            if pid() != former:
                break
        except ClientError as error:
            refused += error.code == "not_running"
    took.append(time.monotonic() - began)
systemctl("stop")
began = time.monotonic()
pid()
print(json.dumps({"took": took, "refused": refused, "cold": time.monotonic() - began}))
"""


def measure(rounds: int = KILLS) -> list[Row]:
    """Kill it `rounds` times."""
    with running_user_systemd() as user:
        user.v2m("install", check=True)
        found = json.loads(
            user.run(sys.executable, "-c", _CLIENT, rounds, timeout_s=60 + 10 * rounds, check=True).stdout
        )
    took = found["took"]
    return [
        Row("kill -9 → a client is answered, median", median(took), "s"),
        Row("kill -9 → a client is answered, longest", max(took), "s", bar=AGAIN_S, note=f"{rounds} kills"),
        Row("connections refused meanwhile", found["refused"], "", bar=0, note="systemd holds the socket"),
        Row("no daemon: first client → answered", found["cold"], "s"),
    ]
