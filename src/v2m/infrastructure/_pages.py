"""What spools ask of the memory map and the mmap module does not offer: foreign calls, which release the GIL."""

import ctypes
import errno
import mmap
import os
from typing import Final

_MADV_POPULATE_WRITE: Final = 23  # Linux 5.14
_MAP_FIXED: Final = 0x10
_MAP_FAILED: Final = ctypes.c_void_p(-1).value


def populate(address: int, length: int) -> bool:
    """Make pages present and writable without changing them; False where the kernel cannot (before 5.14).

    Raises:
        OSError: there is no room for one of them: to touch it would end the process.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if length <= 0 or libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(length), _MADV_POPULATE_WRITE) == 0:
        return True
    number = ctypes.get_errno()
    if number == errno.EINVAL:
        return False
    if number == errno.EFAULT:  # how this call says what would have been a SIGBUS
        number = errno.ENOSPC
    raise OSError(number, os.strerror(number))


def map_over(address: int, length: int, *, fd: int, offset: int) -> None:
    """Replace a part of a shared mapping in one step: at no time is nothing there. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    access, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | _MAP_FIXED
    if libc.mmap(address, length, access, flags, fd, offset) == _MAP_FAILED:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
