"""Asks the daemon and prints: data on stdout, talk on stderr, the exit status of the table."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from v2m.client import MAX_PAYLOAD_SIZE, Client, ClientError, DaemonNotRunningError, exit_code
from v2m.ui import answers
from v2m.ui._verbs import COMMANDS, DISPLAY_VARIABLES
from v2m.utils.paths import set_variables

Alone = Callable[[dict[str, Any]], dict[str, Any]]  # answers a command without the daemon. Raises ClientError

PAGE = 200  # rows asked for at once; a page of long dictations stays below the frame's cap


class UsageError(ClientError):
    """The command line makes no sense."""

    def __init__(self, message: str, hint: str = "v2m --help") -> None:
        super().__init__("usage", message, hint)


class NoTextError(ClientError):
    """Nothing was dictated yet."""

    def __init__(self) -> None:
        super().__init__("no_speech", "There is no dictation with text yet.", "v2m history")


def complete(cmd: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return the data to send: with this desktop's variables, and the file's path made absolute."""
    command, data = COMMANDS.get(cmd), dict(data)
    if command and command.field("env"):
        data.setdefault("env", set_variables(DISPLAY_VARIABLES))
    if isinstance(data.get("file_path"), str):
        data["file_path"] = str(Path(data["file_path"]).absolute())
    return data


def text_of(argument: str) -> str:
    """Return a text given on the command line; `-` is standard input without its last newline."""
    if argument != "-":
        return argument
    try:
        text = sys.stdin.buffer.read(MAX_PAYLOAD_SIZE + 1).decode()
    except UnicodeDecodeError as error:
        raise UsageError("The text on standard input is not UTF-8.", "iconv -t UTF-8") from error
    return text.removesuffix("\n")


def reply_to(cmd: str, data: dict[str, Any], alone: Alone | None = None) -> dict[str, Any]:
    """Return the daemon's whole answer; without one that of `alone`, else a refusal: the same shape, `state` null."""
    try:
        with Client() as client:
            if cmd == "LIST_HISTORY":
                return _history(client, data)
            return client.request(cmd, complete(cmd, data))
    except DaemonNotRunningError as error:
        return refusal(error) if alone is None else alone(data)
    except ClientError as error:
        return refusal(error)


def _history(client: Client, data: dict[str, Any]) -> dict[str, Any]:
    """Ask page by page until there are as many rows as were asked for."""
    wanted, entries = int(data.get("limit", 20)), list[dict[str, Any]]()
    asked = dict(data)
    while True:
        asked["limit"] = max(1, min(PAGE, wanted - len(entries)))
        reply = client.request("LIST_HISTORY", asked)
        if reply.get("status") != "success":
            return reply
        page = reply["data"]
        entries += page["entries"]
        if not page.get("more") or not page["entries"] or len(entries) >= wanted:
            return {**reply, "data": {**page, "entries": entries}}
        asked["before"] = page["entries"][-1]["dictation"]


def refusal(error: ClientError) -> dict[str, Any]:
    """Return an error in the shape of the daemon's answers."""
    about = {"code": error.code, "message": error.message, "hint": error.hint}
    return {"status": "error", "error": about, "data": {"state": error.state}}


def show(cmd: str, reply: dict[str, Any], *, as_json: bool) -> int:
    """Print an answer; return the exit status."""
    error = None if reply.get("status") == "success" else reply.get("error") or {"code": "internal"}
    if as_json:
        print(line_of_json(reply))
    elif error is not None:
        complain(str(error.get("message") or error["code"]), error.get("hint"))
    else:
        said = answers.human(cmd, reply["data"])
        if said.out is not None:
            print(said.out)
        if said.talk:
            print(said.talk, file=sys.stderr)
    return 0 if error is None else exit_code(str(error.get("code")))


def present(
    data: dict[str, Any], out: str | None, talk: str = "", *, as_json: bool, error: ClientError | None = None
) -> int:
    """Print what a verb found out without the daemon; return the exit status."""
    if as_json:
        print(line_of_json({"status": "success", "data": data} if error is None else {**refusal(error), "data": data}))
    else:
        if out is not None:
            print(out)
        if talk:
            print(talk, file=sys.stderr)
        if error is not None:
            complain(error.message, error.hint)
    return 0 if error is None else exit_code(error.code)


def complain(message: str, hint: str | None) -> None:
    """Say what went wrong and what to do on stderr."""
    print(f"v2m: {message}" + (f" ({hint})" if hint else ""), file=sys.stderr)


def line_of_json(value: dict[str, Any]) -> str:
    """Return one line; escaped where the terminal cannot show every character."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return json.dumps(value, ensure_ascii=not utf8)


def monitor(names: list[str]) -> int:
    """Print one line per event until the daemon ends, or nobody reads them."""
    from v2m.ui.reader import end_with_reader

    end_with_reader()
    try:
        for event in Client().events(names):
            print(line_of_json(event), flush=True)
    except ClientError as error:
        return show("SUBSCRIBE", refusal(error), as_json=False)
    complain("The daemon has ended.", None)
    return exit_code("not_running")
