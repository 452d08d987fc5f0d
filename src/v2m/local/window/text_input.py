"""The field of our Wayland window that takes text from input methods, and shows them what stands in it."""

from typing import Final

from v2m.infrastructure._wayland.connection import Connection
from v2m.infrastructure._wayland.wire import Arguments, string, uints
from v2m.local.window.page import Page

MANAGER: Final = "zwp_text_input_manager_v3"
SHOWN_BYTES: Final = 3900  # the protocol allows 4,000; a Wayland message has room for 4,084
_GET_TEXT_INPUT: Final = 1
_ENABLE, _DISABLE, _SURROUNDING, _CAUSE, _COMMIT = 1, 2, 3, 4, 7
_INPUT_METHOD, _OTHER = 0, 1  # change_cause


class TextInput:
    """Gathers one group of events and applies it at `done`, in the order that the protocol lays down."""

    def __init__(self, connection: Connection, seat: int, page: Page) -> None:
        self._connection = connection
        self._page = page
        self._erase = 0
        self._commit = ""
        self._entered = False
        self._cause = _OTHER
        if MANAGER in connection.globals:
            manager = connection.bind(MANAGER, 1)
            self._id = connection.create(self._event)
            connection.request(manager, _GET_TEXT_INPUT, uints(self._id, seat))
            page.watch(self._show)

    def _event(self, opcode: int, body: bytes) -> None:
        arguments = Arguments(body)
        match opcode:
            case 0:  # enter
                self._entered = True
                self._connection.request(self._id, _ENABLE)
                self._show()
            case 1:  # leave
                self._entered = False
                self._connection.request(self._id, _DISABLE)
                self._connection.request(self._id, _COMMIT)
                self._connection.flush()
            case 3:  # commit_string
                self._commit = arguments.string()
            case 4:  # delete_surrounding_text: before, after; after the cursor stands nothing
                self._erase = arguments.uint()
            case 5:
                self._done()
            case _:  # a preedit is not the text
                pass

    def _done(self) -> None:
        erase, text = self._erase, self._commit
        self._erase, self._commit = 0, ""
        self._cause = _INPUT_METHOD
        if erase:
            self._page.erase(erase)
        if text:
            self._page.insert(text)
        if not (erase or text):
            self._show()  # an input method may ask by committing nothing
        self._cause = _OTHER

    def _show(self) -> None:
        """Tell what stands before the cursor, which is the proof that a text has arrived."""
        if not self._entered:
            return
        before = self._page.text.encode()[-SHOWN_BYTES:].decode("utf-8", "ignore")
        end = len(before.encode())
        self._connection.request(self._id, _SURROUNDING, string(before) + uints(end, end))
        self._connection.request(self._id, _CAUSE, uints(self._cause))
        self._connection.request(self._id, _COMMIT)
        self._connection.flush()
