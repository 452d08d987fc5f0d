"""A program of an X11 desktop that uses the clipboard as others do, well or badly: `x11_selection.py DOING …`.

own FILE…          owns CLIPBOARD; each file is one target, its name with `|` for `/`; large ones go by INCR
own-hanging        owns CLIPBOARD and never answers
read TARGET FILE   asks for CLIPBOARD and writes the data to a file (INCR, too)
multiple FILE      asks for TARGETS, TIMESTAMP, a text and something that is not there in one MULTIPLE request
hang TARGET        asks, takes the first piece, and no more
watch              a clipboard manager: reads each new CLIPBOARD text at once and prints it, as JSON lines
focus              watches the focused window; prints at the end what focus events it had
grab [SECONDS]     has all keys to itself, as a lock screen does

Prints `ready` once it owns, has grabbed or watches. Ends when its standard input does.
"""

import json
import select
import sys
import time
from pathlib import Path

from Xlib import X, Xatom, display
from Xlib.ext import xfixes

PIECE = 1 << 16


class Client:
    def __init__(self):
        self.display = display.Display()
        self.root = self.display.screen().root
        self.window = self.root.create_window(0, 0, 1, 1, 0, 0, event_mask=X.PropertyChangeMask)
        self.clipboard = self.atom("CLIPBOARD")

    def atom(self, name):
        return self.display.intern_atom(name)

    def events(self, until=lambda: False, timeout_s=None):
        """Yield events until a condition holds or the time is over; without a time, until standard input ends."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        waited = [self.display] if deadline else [self.display, sys.stdin]
        while not until():
            while self.display.pending_events():
                yield self.display.next_event()
                if until():
                    return
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            readable, _, _ = select.select(waited, [], [], left)
            if left == 0 or (sys.stdin in readable and not sys.stdin.buffer.read1(1)):
                return

    def ask(self, target, place="ANSWER", time_=X.CurrentTime):
        """Return the SelectionNotify, None after two seconds."""
        self.window.convert_selection(self.clipboard, target, self.atom(place), time_)
        for event in self.events(timeout_s=2):
            if event.type == X.SelectionNotify and event.target == target:
                return event
        return None

    def take(self, place="ANSWER"):
        found = self.window.get_full_property(self.atom(place), X.AnyPropertyType, sizehint=PIECE)
        self.window.delete_property(self.atom(place))
        self.display.flush()
        return found

    def read(self, target):
        """Return the data, None when there is none."""
        event = self.ask(target)
        if event is None or not event.property:
            return None
        found = self.take()
        if found.property_type != self.atom("INCR"):
            return bytes(found.value)
        data = b""
        for event in self.events(timeout_s=20):
            if event.type == X.PropertyNotify and event.state == X.PropertyNewValue:
                piece = self.take()
                if not piece.value:
                    return data
                data += bytes(piece.value)
        return None


def say(word):
    print(word, flush=True)


def own(client, contents):
    client.window.set_selection_owner(client.clipboard, X.CurrentTime)
    client.display.sync()
    say("ready")
    sending = {}  # property → (requestor, rest)
    for event in client.events():
        if event.type == X.SelectionClear:
            say("lost")
        elif event.type == X.SelectionRequest and contents is not None:
            answer(client, event, contents, sending)
        elif event.type == X.PropertyNotify and event.state == X.PropertyDelete:
            key = (event.window.id, event.atom)
            if key in sending:
                requestor, kind, rest = sending[key]
                requestor.change_property(event.atom, kind, 8, rest[:PIECE])
                sending[key] = requestor, kind, rest[PIECE:]
                if not rest:
                    del sending[key]
        client.display.flush()


def answer(client, request, contents, sending):
    from Xlib.protocol import event

    place = request.property
    if request.target == client.atom("TARGETS"):
        request.requestor.change_property(place, Xatom.ATOM, 32, [client.atom("TARGETS"), *contents])
    elif request.target in contents:
        data = contents[request.target]
        if len(data) > PIECE:
            request.requestor.change_attributes(event_mask=X.PropertyChangeMask)
            request.requestor.change_property(place, client.atom("INCR"), 32, [len(data)])
            sending[request.requestor.id, place] = request.requestor, request.target, data
        else:
            request.requestor.change_property(place, request.target, 8, data)
    else:
        place = X.NONE
    request.requestor.send_event(
        event.SelectionNotify(
            time=request.time,
            requestor=request.requestor,
            selection=request.selection,
            target=request.target,
            property=place,
        )
    )


def multiple(client, path):
    names = ["TARGETS", "TIMESTAMP", "UTF8_STRING", "image/none"]
    pairs = [atom for name in names for atom in (client.atom(name), client.atom(f"P_{name}"))]
    client.window.change_property(client.atom("ANSWER"), client.atom("ATOM_PAIR"), 32, pairs)
    client.ask(client.atom("MULTIPLE"))
    answered = client.window.get_full_property(client.atom("ANSWER"), X.AnyPropertyType).value
    found = {}
    for name in names[:3]:
        value = client.window.get_full_property(client.atom(f"P_{name}"), X.AnyPropertyType)
        kind = client.display.get_atom_name(value.property_type)
        data = value.value.decode() if isinstance(value.value, bytes) else list(value.value)
        found[name] = [kind, [client.display.get_atom_name(one) for one in data] if name == "TARGETS" else data]
    found["refused"] = not answered[7]
    Path(path).write_text(json.dumps(found))


def watch(client):
    client.display.xfixes_query_version()
    client.display.xfixes_select_selection_input(
        client.window, client.clipboard, xfixes.XFixesSetSelectionOwnerNotifyMask
    )
    client.display.sync()
    say("ready")
    changed = client.display.extension_event.SetSelectionOwnerNotify
    for event in client.events():
        if (event.type, getattr(event, "sub_code", 0)) == changed or event.type == changed:
            data = client.read(client.atom("UTF8_STRING"))
            say(json.dumps(None if data is None else data.decode()))


def watch_focus(client):
    focused = client.display.get_input_focus().focus
    around = focused
    while around and around.id != client.root.id:
        around.change_attributes(event_mask=X.FocusChangeMask)
        around = around.query_tree().parent
    client.display.sync()
    say("ready")
    seen = [event.type for event in client.events() if event.type in (X.FocusIn, X.FocusOut)]
    say(json.dumps(seen))


def main():
    doing, *rest = sys.argv[1:]
    client = Client()
    match doing:
        case "own":
            own(client, {client.atom(Path(path).name.replace("|", "/")): Path(path).read_bytes() for path in rest})
        case "own-hanging":
            own(client, None)
        case "read":
            Path(rest[1]).write_bytes(client.read(client.atom(rest[0])))
        case "multiple":
            multiple(client, rest[0])
        case "hang":
            event = client.ask(client.atom(rest[0]))
            say("ready" if event and event.property else "nothing")
            list(client.events())
        case "watch":
            watch(client)
        case "focus":
            watch_focus(client)
        case "grab":
            grabbed = client.root.grab_keyboard(True, X.GrabModeAsync, X.GrabModeAsync, X.CurrentTime)
            say("ready" if grabbed == X.GrabSuccess else "refused")
            for _ in client.events(timeout_s=float(rest[0]) if rest else None):
                pass


if __name__ == "__main__":
    main()
