"""The two calls of the C library that take rights away from a process; both raise OSError."""

import ctypes
import os
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)

# linux/prctl.h
SET_DUMPABLE: Final = 4
SET_SECCOMP: Final = 22
SET_NO_NEW_PRIVS: Final = 38


def system_call(number: int, *arguments: int | bytes | None) -> int:
    """Do a system call that the C library has no function for. Raises OSError."""
    return _checked(_LIBC.syscall(ctypes.c_long(number), *map(_word, arguments)))


def prctl(option: int, *arguments: int) -> None:
    """Change something about this process. Raises OSError."""
    _checked(_LIBC.prctl(option, *map(_word, (*arguments, 0, 0, 0, 0)[:4])))


def _word(argument: int | bytes | None) -> object:
    return ctypes.c_ulong(argument) if isinstance(argument, int) else argument


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
