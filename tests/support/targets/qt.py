"""A Qt window with one field: `qt.py LOG [text|password]`. Needs PySide6."""

import os
import sys

from record import Record

os.environ["QT_QPA_PLATFORM"] = "wayland" if os.environ.get("WAYLAND_DISPLAY") else "xcb"

from PySide6.QtCore import QSocketNotifier
from PySide6.QtGui import QTextCursor
from PySide6.QtWidgets import QApplication, QLineEdit, QPlainTextEdit


class TextEdit(QPlainTextEdit):
    """A field of several lines."""

    def __init__(self, record):
        super().__init__()
        self._record = record
        self._preedit = ""
        self.textChanged.connect(lambda: record.changed(self.toPlainText()))

    def inputMethodEvent(self, event):  # noqa: N802 - Qt's name
        if event.preeditString() != self._preedit:
            self._preedit = event.preeditString()
            self._record.note(preedit=self._preedit)
        super().inputMethodEvent(event)

    def text(self):
        return self.toPlainText()

    def set(self, text, anchor, cursor):
        self.setPlainText(text)
        place = self.textCursor()
        place.setPosition(anchor)
        place.setPosition(cursor, QTextCursor.MoveMode.KeepAnchor)
        self.setTextCursor(place)


class PasswordEdit(QLineEdit):
    """A field for a secret."""

    def __init__(self, record):
        super().__init__()
        self.setEchoMode(QLineEdit.EchoMode.Password)
        self.textChanged.connect(record.changed)

    def set(self, text, _anchor, _cursor):
        self.setText(text)


def main():
    log, kind = (*sys.argv[1:], "text")[:2]
    application = QApplication(sys.argv[:1])
    application.setDesktopFileName("v2m-qt")
    record = Record(log)
    field = TextEdit(record) if kind == "text" else PasswordEdit(record)
    field.setWindowTitle(f"v2m target {kind}")
    field.resize(640, 480)

    def obey():
        for order in record.taken():
            field.set(order["set"], order["anchor"], order["cursor"])
            record.changed(field.text())
            record.note(done=order["order"])

    orders = QSocketNotifier(record.orders, QSocketNotifier.Type.Read)
    orders.activated.connect(obey)
    application.focusChanged.connect(lambda _, now: now and record.ready())
    field.show()
    field.activateWindow()
    application.exec()


if __name__ == "__main__":
    main()
