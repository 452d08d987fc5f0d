#!/usr/bin/python3
"""A GTK 3 window with one field: `gtk.py LOG [text|entry|password|limited|slow]`.

limited: an entry of ten characters; slow: a text view that takes a millisecond more for each change.
"""

import sys
import time

import gi

gi.require_version("Gtk", "3.0")
from gi.repository import GLib, Gtk  # noqa: E402
from record import Record  # noqa: E402

LIMIT = 10


class TextView:
    """A field of several lines."""

    def __init__(self, record, *, delay_s=0.0):
        self.widget = Gtk.TextView(wrap_mode=Gtk.WrapMode.WORD_CHAR)
        self._buffer = self.widget.get_buffer()
        self._record = record
        self._delay_s = delay_s
        self._buffer.connect("changed", self._changed)

    def text(self):
        return self._buffer.get_text(*self._buffer.get_bounds(), True)

    def set(self, text, anchor, cursor):
        self._buffer.set_text(text)
        self._buffer.select_range(*map(self._buffer.get_iter_at_offset, (cursor, anchor)))

    def _changed(self, _buffer):
        self._record.changed(self.text())
        time.sleep(self._delay_s)


class Entry:
    """A field of one line."""

    def __init__(self, record, **properties):
        self.widget = Gtk.Entry(**properties)
        self.widget.connect("changed", lambda entry: record.changed(entry.get_text()))

    def text(self):
        return self.widget.get_text()

    def set(self, text, anchor, cursor):
        self.widget.set_text(text)
        self.widget.select_region(anchor, cursor)


def field(kind, record):
    match kind:
        case "text":
            return TextView(record)
        case "slow":
            return TextView(record, delay_s=0.001)
        case "entry":
            return Entry(record)
        case "limited":
            return Entry(record, max_length=LIMIT)
        case "password":
            return Entry(record, visibility=False, input_purpose=Gtk.InputPurpose.PASSWORD)


def main():
    log, kind = (*sys.argv[1:], "text")[:2]
    record = Record(log)
    shown = field(kind, record)

    def obey(*_):
        for order in record.taken():
            shown.set(order["set"], order["anchor"], order["cursor"])
            record.changed(shown.text())
            record.note(done=order["order"])
        return True

    GLib.io_add_watch(record.orders, GLib.PRIORITY_DEFAULT, GLib.IOCondition.IN, obey)
    shown.widget.connect("preedit-changed", lambda _, text: record.note(preedit=text))
    window = Gtk.Window(title=f"v2m target {kind}")
    window.set_default_size(640, 480)
    window.add(shown.widget)
    window.connect("destroy", Gtk.main_quit)
    window.connect("notify::is-active", lambda *_: window.is_active() and record.ready())
    window.show_all()
    shown.widget.grab_focus()
    Gtk.main()


if __name__ == "__main__":
    main()
