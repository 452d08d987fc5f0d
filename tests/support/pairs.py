"""Which applications are typed into by which outputs, and what has to arrive exactly there."""

from support.desktop import SwayDesktop, XDesktop
from support.texts import KINDS, LATIN_KINDS
from v2m.infrastructure.output.wayland.input_method import InputMethodOutput, parts
from v2m.infrastructure.output.wayland.paste import PasteOutput
from v2m.infrastructure.output.wayland.virtual_keyboard import VirtualKeyboardOutput
from v2m.infrastructure.output.x11.paste import PasteX11Output
from v2m.infrastructure.output.x11.xtest import XtestOutput

ALL = tuple(KINDS)
DESKTOPS = {"wayland": SwayDesktop, "x11": XDesktop}
APPLICATIONS = {"wayland": ("terminal", "gtk", "qt", "firefox"), "x11": ("terminal", "gtk", "qt")}
OUTPUTS = {  # the kinds of text that have to be exact in every application
    "wayland": {InputMethodOutput: ALL, VirtualKeyboardOutput: ALL, PasteOutput: ALL},
    "x11": {XtestOutput: LATIN_KINDS, PasteX11Output: ALL},
}
KEYS = (VirtualKeyboardOutput, XtestOutput)
# XTEST brings characters that the layout lacks by changing the keyboard map, which a busy application may come to know
# too late; such texts are counted by `scripts/bench exactness`, on a machine that does nothing else.
SAMPLED = {XtestOutput: ("words", "ascii")}
SHOWING = ("gtk", "firefox")  # they show input methods what stands around the cursor


def confirms(output_class, application):
    """Whether an output learns from an application that it has the text."""
    return output_class is PasteX11Output or (output_class is InputMethodOutput and application in SHOWING)


def opened(desktop, application):
    """Open an application with an empty field that has the focus."""
    return desktop.terminal() if application == "terminal" else desktop.target(application)


def fitting(output_class, application, text):
    """Return as much of a text as the output brings there.

    One commit, where a terminal would not show two. Into Firefox no longer burst of keys than the output is at its best
    with: from about 2,000 characters on it sorts emoji wrongly among letters.
    """
    if (output_class, application) == (InputMethodOutput, "terminal"):
        return parts(text)[0]
    if (output_class, application) == (VirtualKeyboardOutput, "firefox"):
        return text[: output_class.at_best.characters]
    return text
