"""The speech process reads its model and nothing of the user's, writes no file, opens no socket, and decodes."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.daemon import new_home, running_daemon, wait_until
from support.models import whisper_model
from support.onnx_models import parakeet_for_onnx_asr, parakeet_for_sherpa, streaming_zipformer, zipformer
from support.speech import running, transcribe, wheel_assets, wheel_clips
from support.systemd_user import running_user_systemd
from v2m.domain.errors import ModelMissingError
from v2m.infrastructure import _confine_sockets
from v2m.infrastructure._confine_files import with_targets
from v2m.infrastructure.engines._child import spawned
from v2m.infrastructure.engines._messages import Confined, Failed

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

WORDS = ["ComfyUI"]
SCRIPTED = {"V2M_TRANSCRIPTION__BACKEND": "scripted", "V2M_AUDIO__BACKEND": "wav"}
DAEMON = [sys.executable, "-m", "v2m.main", "--daemon"]
MAKERS = {
    "whisper": lambda folder: whisper_model(folder, seed=3),
    "sherpa": parakeet_for_sherpa,
    "sherpa-streaming": streaming_zipformer,
    "onnx-asr": parakeet_for_onnx_asr,
}
OPTIONS = {"whisper": {"device": "cpu", "temperature": [0.0], "cpu_threads": 1}}


def decode(engine, **options):
    """Have a process of its own decode a sentence; return what it says of itself, and the text."""

    async def scene():
        async with running(engine=engine, **options) as worker:
            can = worker.capabilities
            heard = await transcribe(worker, wheel_clips()[1].pcm)
            return can, heard.text

    return asyncio.run(scene())


# --- it still works -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MAKERS)
def test_every_kind_of_engine_loads_and_decodes_confined(kind, tmp_path):
    engine = kind.removesuffix("-streaming")
    model = str(MAKERS[kind](tmp_path / "model"))
    can, text = decode(engine, model=model, **OPTIONS.get(engine, {}))
    assert (can.confined, can.exposed) == (True, "")
    assert isinstance(text, str)


def test_the_embedded_engine_hears_what_was_said():
    can, text = decode("moonshine")
    assert can.confined
    assert text == wheel_clips()[1].text


def test_the_process_that_listens_for_a_service_is_confined_too():
    assert decode("none")[0].confined


def test_words_to_expect_need_no_file_on_a_disk(tmp_path):
    from support.speech import tended
    from v2m.infrastructure.engines._process import WorkerProcess

    model = str(zipformer(tmp_path / "model"))

    async def scene():
        worker = WorkerProcess(engine="sherpa", options={"model": model}, vocabulary=WORDS)
        async with tended(worker):
            return worker.capabilities

    can = asyncio.run(scene())
    assert (can.confined, can.hotwords) == (True, True)


def test_a_model_made_of_links_into_a_cache_can_be_read(tmp_path):
    cache, model = tmp_path / "blobs", tmp_path / "snapshot"
    cache.mkdir()
    model.mkdir()
    for number, file in enumerate((wheel_assets() / "tiny-en").iterdir()):
        (cache / str(number)).write_bytes(file.read_bytes())
        (model / file.name).symlink_to(f"../blobs/{number}")
    can, text = decode("moonshine", folder=str(model))
    assert can.confined
    assert text == wheel_clips()[1].text


def test_a_link_in_a_model_opens_the_file_it_points_at_and_no_folder(tmp_path):
    home, model = tmp_path / "home", tmp_path / "home" / "models" / "evil"
    (home / "folder").mkdir(parents=True)
    model.mkdir(parents=True)
    (home / "blob").touch()
    for name, target in {"file": "blob", "above": ".", "beside": "folder", "nowhere": "none"}.items():
        (model / name).symlink_to(f"../../{target}")
    (model / "itself").symlink_to("itself")
    assert with_targets([model]) == [model, home / "blob"]


def test_a_model_that_is_missing_is_told_as_before(tmp_path):
    with pytest.RaisesGroup(pytest.RaisesExc(ModelMissingError, match="is not installed")):
        decode("whisper", model="small", models_dir=str(tmp_path))
    with pytest.RaisesGroup(pytest.RaisesExc(ModelMissingError, match="lacks")):
        decode("moonshine", folder=str(tmp_path))


# --- what it cannot do --------------------------------------------------------------------------------

# The real process, whose engine is code of somebody who has taken it over.
TAKEN_OVER = """
import ctypes, json, os, platform, resource, socket, subprocess, sys, threading
from pathlib import Path
from v2m import worker
from v2m.domain.errors import EngineError

outside, model, daemon = sys.argv.pop(1), sys.argv.pop(1), sys.argv.pop(1)
kept = f"{outside}/kept"
libc = ctypes.CDLL(None, use_errno=True)
parent = os.getppid()
NEW_USER = 0x10000000
CALLS = {
    "x86_64": {"clone": 56, "mq_open": 240, "add_key": 248, "keyctl": 250, "ioprio_set": 251, "perf_event_open": 298},
    "aarch64": {"clone": 220, "mq_open": 180, "add_key": 217, "keyctl": 219, "ioprio_set": 30, "perf_event_open": 241},
}[platform.machine()]
EXECVEAT = 322 if platform.machine() == "x86_64" else 281


def connect(family, kind, address):
    with socket.socket(family, kind) as peer:
        peer.connect(address)


def call(function, *arguments):
    if function(*arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def run_from_memory():
    program = os.memfd_create("x")
    os.write(program, b"no program")  # AT_EMPTY_PATH: the descriptor itself
    call(libc.syscall, EXECVEAT, program, b"", None, None, 0x1000)


def watch():
    call(libc.syscall, CALLS["perf_event_open"], ctypes.create_string_buffer(128), parent, -1, -1, 0)


def child_in_a_namespace():
    made = libc.syscall(CALLS["clone"], NEW_USER | 17, None, None, None, None)
    if made == 0:
        os._exit(0)
    call(lambda: made)


def shared_memory():
    with open("/dev/shm/v2m-confined", "w"):
        pass


ATTEMPTS = {
    "read a file of the user": lambda: open(kept).read(),
    "list a folder of the user": lambda: os.listdir(outside),
    "read the keys of ssh": lambda: open(f"{outside}/.ssh/id").read(),
    "read the passwords' file": lambda: open("/etc/passwd").read(),
    "read the memory of its parent": lambda: open(f"/proc/{os.getppid()}/mem", "rb").read(1),
    "read the environment of its parent": lambda: open(f"/proc/{os.getppid()}/environ", "rb").read(1),
    "make a file": lambda: open(f"{outside}/new", "w"),
    "append to a file": lambda: open(kept, "a"),
    "cut a file": lambda: os.truncate(kept, 0),
    "remove a file": lambda: os.unlink(kept),
    "rename a file": lambda: os.rename(kept, f"{outside}/moved"),
    "link a file": lambda: os.link(kept, f"{outside}/linked"),
    "make a folder": lambda: os.mkdir(f"{outside}/folder"),
    "make a symbolic link": lambda: os.symlink("/", f"{outside}/link"),
    "make a pipe": lambda: os.mkfifo(f"{outside}/pipe"),
    "change a mode": lambda: os.chmod(kept, 0o777),
    "change a time": lambda: os.utime(kept, (0, 0)),
    "change an owner": lambda: os.chown(kept, 65534, 65534),
    "set an attribute": lambda: os.setxattr(kept, "user.v2m", b"x"),
    "write shared memory": shared_memory,
    "write into its own model": lambda: open(f"{model}/x", "w"),
    "connect by TCP": lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 9)),
    "connect by TCP over IPv6": lambda: connect(socket.AF_INET6, socket.SOCK_STREAM, ("::1", 9)),
    "send by UDP": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
    "ask for an address": lambda: call(libc.socket, socket.AF_NETLINK, socket.SOCK_RAW, 0),
    "connect to the daemon": lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, daemon),
    "run a program": lambda: subprocess.run(["/bin/true"], check=True),
    "run a program from memory": run_from_memory,
    "attach to its parent": lambda: call(libc.ptrace, 16, os.getppid(), 0, 0),
    "look at its parent's limits": lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE),
    "change its parent's priority": lambda: os.setpriority(os.PRIO_PROCESS, parent, os.getpriority(0, parent)),
    "move its parent to other processors": lambda: os.sched_setaffinity(parent, os.sched_getaffinity(parent)),
    "change its parent's scheduling": lambda: os.sched_setscheduler(parent, 0, os.sched_param(0)),
    "change its parent's place at the disk": lambda: call(libc.syscall, CALLS["ioprio_set"], 1, parent, 0),
    "watch its parent's processor": watch,
    "make System V memory": lambda: call(libc.shmget, 0, 4096, 0o1600),
    "make a System V semaphore": lambda: call(libc.semget, 0, 1, 0o1600),
    "make a System V queue": lambda: call(libc.msgget, 0, 0o1600),
    "make a POSIX queue": lambda: call(libc.syscall, CALLS["mq_open"], b"v2m", os.O_CREAT | os.O_RDWR, 0o600, None),
    "make a user of its own": lambda: call(libc.unshare, NEW_USER),
    "make a child with a user of its own": child_in_a_namespace,
    "join the network of its parent": lambda: call(libc.setns, os.pidfd_open(parent), 0x40000000),
    "make a key in the kernel": lambda: call(libc.syscall, CALLS["add_key"], b"user", b"v2m", b"x", 1, -4),
    "ask the kernel for a key": lambda: call(libc.syscall, CALLS["keyctl"], 0, -4, 0),
    "use io_uring": lambda: call(libc.syscall, 425, 1, ctypes.create_string_buffer(120)),
}
ALLOWED = {
    "read its model": lambda: os.listdir(model),
    "throw away output": lambda: open("/dev/null", "w").write("x"),
    "import what it has not imported": lambda: __import__("wave"),
    "have memory with a descriptor": lambda: open(f"/proc/self/fd/{os.memfd_create('x')}").read(),
    "start a thread": lambda: threading.Thread(target=int).start(),
    "choose its own processors": lambda: os.sched_setaffinity(0, os.sched_getaffinity(0)),
    "limit itself": lambda: resource.prlimit(0, resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE)),
}


def told(attempts):
    found = {}
    for name, attempt in attempts.items():
        try:
            attempt()
            found[name] = ""
        except OSError as error:
            found[name] = error.strerror
    return found


class Engine:
    def load(self):
        raise EngineError(json.dumps([told(ATTEMPTS), told(ALLOWED), dict(os.environ)]))


worker.build_engine = lambda *_: Engine()
worker.main()
"""
SECRETS = {
    "OPENAI_API_KEY": "planted",
    "V2M_CLOUD__API_KEY_CMD": "planted",
    "HF_TOKEN": "planted",
    "AWS_SECRET_ACCESS_KEY": "planted",
    "DB_PASSWORD": "planted",
    "https_proxy": "http://me:planted@proxy:3128",
}
NEEDED = {"CUDA_VISIBLE_DEVICES": "0", "OMP_NUM_THREADS": "2", "NO_PROXY": "localhost"}
REFUSALS = ("Permission denied", "Operation not permitted")


@pytest.fixture(scope="module")
def attempts(tmp_path_factory):
    """What somebody who has taken the process over can do, and whether files have changed."""
    outside, model = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("model")
    (outside / ".ssh").mkdir()
    (outside / ".ssh" / "id").write_text("secret")
    (outside / "kept").write_text("kept")
    (outside / "kept").chmod(0o600)
    for file in (wheel_assets() / "tiny-en").iterdir():
        shutil.copy(file, model)
    before = state_of(outside)

    async def scene(daemon):
        argv = [sys.executable, "-P", "-c", TAKEN_OVER, str(outside), str(model), daemon]
        argv += ["--engine", "moonshine", "--vad", "none"]
        async with spawned(argv, json.dumps([{"folder": str(model)}, []]).encode()) as child:
            return [message async for message in child.messages()]

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(outside / "s"))
        listener.listen()
        before = state_of(outside)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**SECRETS, **NEEDED}.items():
                patch.setenv(name, value)
            said = asyncio.run(scene(str(outside / "s")))
    assert said[0] == Confined(held=True, reason="")
    (failed,) = [message for message in said if isinstance(message, Failed)]
    refused, allowed, variables = json.loads(failed.message)
    return refused, allowed, before == state_of(outside), variables


def state_of(folder):
    return {path: (path.lstat().st_mode, path.lstat().st_mtime_ns, path.lstat().st_uid) for path in folder.rglob("*")}


def test_whoever_takes_it_over_reads_nothing_writes_nothing_and_reaches_nobody(attempts):
    refused, _, untouched, _ = attempts
    assert len(refused) == 45
    assert {name: why for name, why in refused.items() if not why.startswith(REFUSALS)} == {}
    assert untouched


def test_what_it_needs_it_can_do(attempts):
    assert set(attempts[1].values()) == {""}


def test_its_environment_holds_no_secret_and_what_libraries_need(attempts):
    variables = attempts[3]
    assert "planted" not in str(variables)
    assert variables.items() >= {**NEEDED, "PATH": os.environ["PATH"]}.items()


def test_the_filter_of_every_machine_is_a_whole_program():
    for machine in _confine_sockets._MACHINES.values():
        for local in (False, True):
            code = _confine_sockets._program(machine, local=local)
            lines = [code[at : at + 8] for at in range(0, len(code), 8)]
            for at, line in enumerate(lines[:-3]):
                jumps = (line[2], line[3]) if line[0] in (0x15, 0x35, 0x45) else (0, 0)
                assert all(at + 1 + jump < len(lines) for jump in jumps)
            assert {line[0] for line in lines[-3:]} == {0x06}


LOCAL_ONLY = """
import socket
from v2m.infrastructure._confine_sockets import refuse_sockets
assert refuse_sockets(local=True)
socket.socket(socket.AF_UNIX).close()
try:
    socket.socket(socket.AF_INET)
except PermissionError:
    print("refused")
"""


def test_for_a_graphics_card_sockets_within_the_machine_stay():
    done = subprocess.run([sys.executable, "-c", LOCAL_ONLY], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


# --- where it cannot be confined ----------------------------------------------------------------------

KERNELS = {
    "landlock_create_ruleset:error=ENOSYS": "no Landlock",
    "landlock_restrict_self:error=EPERM": "Landlock is refused",
}


@pytest.mark.parametrize("fault", KERNELS)
def test_a_kernel_that_cannot_is_told_in_the_status_and_the_log_and_it_goes_on(fault):
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace; scripts/setup installs it")
    name = fault.partition(":")[0]
    argv = [
        strace,
        "-D",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        f"trace={name}",
        "-e",
        f"inject={fault}",
        *DAEMON,
    ]
    with new_home(**SCRIPTED) as home, running_daemon(home, argv=argv) as daemon:
        engine = home.ask("GET_STATUS")["data"]["engine"]
        log = daemon.log
    assert (engine["state"], engine["confined"]) == ("ready", False)
    assert KERNELS[fault] in engine["exposed"]
    assert f"The speech process is not confined: {engine['exposed']}." in log


def test_a_confined_one_is_told_too():
    with new_home(**SCRIPTED) as home, running_daemon(home):
        engine = home.ask("GET_STATUS")["data"]["engine"]
    assert (engine["confined"], engine["exposed"]) == (True, "")


# --- memory -------------------------------------------------------------------------------------------

PEEK = "import sys; open(f'/proc/{sys.argv[1]}/mem', 'rb').close(); print('open')"
# Without root's right to look anyway.
ORDINARY = ["setpriv", "--inh-caps=-sys_ptrace", "--bounding-set=-sys_ptrace"] if os.getuid() == 0 else []


def peek(pid):
    """Open a process's memory as the same user."""
    done = subprocess.run([*ORDINARY, sys.executable, "-c", PEEK, str(pid)], capture_output=True, text=True)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_nobody_else_of_this_user_can_open_the_memory_of_daemon_and_worker():
    with subprocess.Popen([*ORDINARY, "sleep", "60"]) as other:
        wait_until(lambda: Path(f"/proc/{other.pid}/comm").read_text() == "sleep\n")
        found = peek(other.pid)
        other.kill()
    assert found == "open", "any other program's can be"
    with new_home(**SCRIPTED) as home, running_daemon(home, argv=[*ORDINARY, *DAEMON]) as daemon:
        found = [peek(pid) for pid in (daemon.pid, daemon.worker_pid())]
    assert [line.startswith("PermissionError") for line in found] == [True, True]


OPENED = """
import sys
from v2m.infrastructure._confine_memory import close_memory, open_memory_for_portals
close_memory()
open_memory_for_portals()
print(flush=True)
sys.stdin.read()
"""


def test_a_portal_must_look_so_its_memory_is_open_then_and_cores_stay_off():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*ORDINARY, sys.executable, "-c", OPENED], **pipes) as process:
        process.stdout.readline()
        found, limits = peek(process.pid), Path(f"/proc/{process.pid}/limits").read_text()
        process.stdin.close()
    assert found == "open"
    assert next(line for line in limits.splitlines() if "core" in line).split()[4:6] == ["0", "0"]


def test_under_systemds_own_filter_as_an_ordinary_user():
    with running_user_systemd() as user:
        user.v2m("install", check=True)
        user.v2m("daemon", "start", check=True)
        status = json.loads(user.v2m("status", "--json", check=True).stdout)["data"]
        peeked = user.run(sys.executable, "-c", PEEK, status["pid"])
    assert (status["engine"]["state"], status["engine"]["confined"]) == ("ready", True), status["engine"]
    assert "PermissionError" in peeked.stderr
