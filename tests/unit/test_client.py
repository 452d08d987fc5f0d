"""The client library against a real socket: both clients, every way an answer can fail to come."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from support.answering import AnsweringServer, answering, good, refused
from support.daemon import frame
from v2m.client import (
    EXIT_CODES,
    MAX_PAYLOAD_SIZE,
    AsyncClient,
    Client,
    ClientError,
    CommandError,
    DaemonNotRunningError,
    DaemonTimeoutError,
    exit_code,
    send_command,
)
from v2m.domain.errors import V2mError

pytestmark = pytest.mark.unit

Call = Callable[..., dict[str, Any]]


@pytest.fixture
def server() -> Iterator[AnsweringServer]:
    with answering() as running:
        yield running


def blocking_call(path: Any, cmd: str, patience_s: float | None = None, /, **data: Any) -> dict[str, Any]:
    with Client(path, patience_s) as client:
        return client.call(cmd, **data)


def async_call(path: Any, cmd: str, patience_s: float | None = None, /, **data: Any) -> dict[str, Any]:
    async def one() -> dict[str, Any]:
        async with AsyncClient(path, patience_s) as client:
            return await client.call(cmd, **data)

    return asyncio.run(one())


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Give up root's rights for a while, for whom every socket is open."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


both = pytest.mark.parametrize("call", [blocking_call, async_call])


@both
def test_ping_returns_the_data_of_the_answer(server: AnsweringServer, call: Call) -> None:
    assert call(server.path, "PING")["message"] == "PONG"


@both
def test_what_is_sent_is_one_frame_of_command_and_data(server: AnsweringServer, call: Call) -> None:
    server.answers["TYPE_TEXT"] = good(method="x")
    call(server.path, "TYPE_TEXT", text="Grüße, 日本語 😀", cmd="a key may be named so")
    body = '{"cmd": "TYPE_TEXT", "data": {"text": "Grüße, 日本語 😀", "cmd": "a key may be named so"}}'.encode()
    assert server.raw == [len(body).to_bytes(4, "big") + body]


@both
def test_a_refusal_carries_code_message_hint_and_state(server: AnsweringServer, call: Call) -> None:
    server.answers["STOP_RECORDING"] = refused("no_speech", "Nothing was heard.", "v2m retry 1")
    with pytest.raises(CommandError, match="Nothing was heard") as caught:
        call(server.path, "STOP_RECORDING")
    error = caught.value
    assert (error.code, error.hint, error.state) == ("no_speech", "v2m retry 1", "recording")


@both
def test_without_a_daemon_the_error_names_the_start_command(tmp_path: Any, call: Call) -> None:
    with pytest.raises(DaemonNotRunningError) as caught:
        call(tmp_path / "nothing", "PING")
    assert caught.value.hint == "v2m daemon start"


@both
def test_a_socket_nobody_listens_on_is_not_running(server: AnsweringServer, call: Call) -> None:
    server.close()
    with pytest.raises(DaemonNotRunningError):
        call(server.path, "PING")
    server.__init__(server.path.with_name("again"))  # type: ignore[misc]  # so that the fixture can close one


@both
def test_a_daemon_that_does_not_answer_is_a_timeout(server: AnsweringServer, call: Call) -> None:
    server.answers["PING"] = None
    with pytest.raises(DaemonTimeoutError):
        call(server.path, "PING", 0.05)


@both
def test_a_full_backlog_is_a_timeout_and_not_a_hang(tmp_path: Any, call: Call) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(path)
        deaf.listen(0)
        filler = []
        while True:
            one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            filler.append(one)
            try:
                one.connect(path)
            except BlockingIOError:
                break
        with pytest.raises(DaemonTimeoutError):
            call(path, "PING")
        for one in filler:
            one.close()


@both
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0",
        b"\0\0\0\x05{",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"HTTP/1.1 200 OK",
        b"\0\0\0\x02hi",
        b"\0\0\0\x02[]",
    ],
)
def test_an_answer_that_is_none_is_an_error_and_never_a_hang(
    server: AnsweringServer, call: Call, answer: bytes
) -> None:
    server.answers["PING"] = answer
    with pytest.raises(ClientError) as caught:
        call(server.path, "PING")
    assert caught.value.code == "internal"


@both
def test_an_answer_of_the_cap_arrives_whole(server: AnsweringServer, call: Call) -> None:
    room = MAX_PAYLOAD_SIZE - len(frame(good(text=""))) + 4
    server.answers["PING"] = good(text="x" * room)
    assert len(call(server.path, "PING")["text"]) == room


@both
def test_a_request_above_the_cap_is_refused_before_a_byte_is_written(server: AnsweringServer, call: Call) -> None:
    with pytest.raises(ClientError, match="1048576") as caught:
        call(server.path, "TYPE_TEXT", text="x" * MAX_PAYLOAD_SIZE)
    assert caught.value.code == "bad_request"
    assert server.raw == []
    assert server.connections == 0


@both
@pytest.mark.parametrize("value", ["\udcff", {1, 2}, object()])
def test_what_is_no_json_is_refused_before_a_byte_is_written(
    server: AnsweringServer, call: Call, value: object
) -> None:
    with pytest.raises(ClientError) as caught:
        call(server.path, "TYPE_TEXT", text=value)
    assert caught.value.code == "bad_request"
    assert server.connections == 0


@both
def test_a_refusal_that_comes_before_the_request_was_read_is_seen(tmp_path: Any, call: Call) -> None:
    """At the connection cap the daemon answers and closes without reading."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(frame(refused("busy")))

        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(CommandError) as caught:
            call(path, "TYPE_TEXT", text="x" * 900_000)
        thread.join()
    assert caught.value.code == "busy"


@both
def test_another_users_socket_is_permission(server: AnsweringServer, call: Call) -> None:
    server.path.chmod(0)
    with as_ordinary_user(), pytest.raises(ClientError) as caught:
        call(server.path, "PING")
    assert caught.value.code == "permission"


@both
@pytest.mark.parametrize("path", ["relative", "/" + "x" * 120])
def test_a_socket_path_that_cannot_be_is_bad_config(monkeypatch: pytest.MonkeyPatch, call: Call, path: str) -> None:
    monkeypatch.setenv("V2M_SOCKET", path)
    with pytest.raises(ClientError) as caught:
        call(None, "PING")
    assert exit_code(caught.value.code) == 78


@both
def test_the_daemons_own_time_limit_is_waited_for(server: AnsweringServer, call: Call) -> None:
    def slowly(_: Any) -> Any:
        time.sleep(0.2)
        return refused("timeout")

    server.answers["STOP_RECORDING"] = slowly
    with pytest.raises(CommandError):
        call(server.path, "STOP_RECORDING", timeout_s=0.2)


def test_one_connection_serves_many_calls(server: AnsweringServer) -> None:
    with Client(server.path) as client:
        for _ in range(5):
            client.call("PING")
    assert server.connections == 1


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_a_connection_that_the_daemon_closed_is_opened_again(server: AnsweringServer, kind: str) -> None:
    def hung_up() -> None:
        server.hang_up()
        deadline = time.monotonic() + 10
        while server._open and time.monotonic() < deadline:
            time.sleep(0.001)

    if kind == "blocking":
        with Client(server.path) as client:
            client.call("PING")
            hung_up()
            assert client.call("PING")["message"] == "PONG"
    else:

        async def twice() -> None:
            async with AsyncClient(server.path) as client:
                await client.call("PING")
                hung_up()
                assert (await client.call("PING"))["message"] == "PONG"

        asyncio.run(twice())
    assert server.connections == 2


def test_an_answer_after_the_timeout_does_not_meet_the_next_call(server: AnsweringServer) -> None:
    release = threading.Event()

    def late(_: Any) -> Any:
        release.wait(10)
        return good(message="late")

    server.answers["GET_STATUS"] = late
    with Client(server.path, timeout_s=0.05) as client:
        with pytest.raises(DaemonTimeoutError):
            client.call("GET_STATUS")
        release.set()
        assert client.call("PING")["message"] == "PONG"


def test_calls_of_several_tasks_get_their_own_answers(server: AnsweringServer) -> None:
    server.answers["TYPE_TEXT"] = lambda request: good(echo=request["data"]["text"])

    async def many() -> None:
        async with AsyncClient(server.path) as client, asyncio.TaskGroup() as group:
            tasks = [group.create_task(client.call("TYPE_TEXT", text=str(n))) for n in range(20)]
        assert [task.result()["echo"] for task in tasks] == [str(n) for n in range(20)]

    asyncio.run(many())


def test_a_cancelled_call_leaves_the_client_usable(server: AnsweringServer) -> None:
    server.answers["GET_STATUS"] = None

    async def cancel() -> None:
        async with AsyncClient(server.path) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.call("GET_STATUS")
            assert (await client.call("PING"))["message"] == "PONG"

    asyncio.run(cancel())


EVENTS = [{"event": "snapshot", "data": {"state": "idle"}, "seq": 0}, {"event": "level", "data": {}, "seq": 1}]


def test_events_come_until_the_daemon_ends(server: AnsweringServer) -> None:
    server.answers["SUBSCRIBE"] = EVENTS
    assert list(Client(server.path).events(["level"])) == EVENTS
    assert server.requests == [{"cmd": "SUBSCRIBE", "data": {"events": ["level"]}}]


def test_events_come_to_asyncio_too(server: AnsweringServer) -> None:
    server.answers["SUBSCRIBE"] = EVENTS

    async def collect() -> list[Any]:
        return [event async for event in AsyncClient(server.path).events()]

    assert asyncio.run(collect()) == EVENTS


def test_a_refused_subscription_is_an_error(server: AnsweringServer) -> None:
    server.answers["SUBSCRIBE"] = refused("bad_request")
    with pytest.raises(CommandError):
        list(Client(server.path).events(["nonsense"]))


def test_events_and_calls_use_different_connections(server: AnsweringServer) -> None:
    server.answers["SUBSCRIBE"] = EVENTS
    with Client(server.path) as client:
        for _ in client.events():
            assert client.call("PING")["message"] == "PONG"
    assert server.connections == 2


def test_send_command_finds_the_socket_by_itself(server: AnsweringServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2M_SOCKET", str(server.path))
    assert send_command("PING")["state"] == "idle"


def test_every_error_of_the_domain_has_an_exit_status() -> None:
    kinds, codes = [V2mError], set()
    while kinds:
        kind = kinds.pop()
        codes.add(kind.code)
        kinds += kind.__subclasses__()
    assert codes <= EXIT_CODES.keys()
    assert set(EXIT_CODES.values()) == {64, 69, 70, 75, 77, 78}
    assert exit_code("a code of a newer daemon") == 70
