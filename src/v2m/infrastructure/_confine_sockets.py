"""No sockets from now on, by a seccomp filter: not for TCP, UDP and DNS, and none to the desktop, the bus or our own.

Landlock refuses TCP only. Refused beside sockets is what it leaves open: changing modes, owners, times and attributes
of files, reaching into other processes, and io_uring, which would go around the filter.
Descriptors that are open stay usable. https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

import ctypes
import errno
import platform
import struct
from dataclasses import dataclass
from typing import Final

from v2m.infrastructure._confine_calls import SET_NO_NEW_PRIVS, SET_SECCOMP, prctl

_FILTER_MODE: Final = 2
# linux/bpf_common.h: load a word; jump if equal, or if greater or equal; return.
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16  # struct seccomp_data, little endian
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | errno.EACCES
_X32: Final = 0x40000000  # the other numbering of an x86-64 kernel
_AF_UNIX: Final = 1


@dataclass(frozen=True, slots=True)
class _Machine:
    """The kernel's name of a machine (linux/audit.h) and its numbers of system calls."""

    name: int
    socket: int
    addresses: tuple[int, ...]  # bind, connect, listen
    processes: tuple[int, ...]  # ptrace, process_vm_readv, process_vm_writev, pidfd_getfd, io_uring_setup
    # truncate; chmod, fchmod, fchmodat, fchmodat2; chown, fchown, lchown, fchownat; utime, utimes, futimesat,
    # utimensat; setxattr, lsetxattr, fsetxattr, setxattrat; removexattr, lremovexattr, fremovexattr, removexattrat
    files: tuple[int, ...]


_MACHINES: Final = {
    "x86_64": _Machine(
        name=0xC000003E,
        socket=41,
        addresses=(49, 42, 50),
        processes=(101, 310, 311, 438, 425),
        files=(76, 90, 91, 268, 452, 92, 93, 94, 260, 132, 235, 261, 280, 188, 189, 190, 463, 197, 198, 199, 466),
    ),
    "aarch64": _Machine(  # has fewer ways to do the same
        name=0xC00000B7,
        socket=198,
        addresses=(200, 203, 201),
        processes=(117, 270, 271, 438, 425),
        files=(45, 52, 53, 452, 54, 55, 88, 5, 6, 7, 463, 14, 15, 16, 466),
    ),
}


def refuse_sockets(*, local: bool = False) -> bool:
    """Have them refused with EACCES for this thread and all that it starts, for good; False on other machines.

    `local` leaves those within this machine.

    Raises:
        OSError: the kernel has no filters.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None or struct.calcsize("P") != 8:
        return False
    program = _program(machine, local=local)
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: how many instructions, where they are.
    about = ctypes.create_string_buffer(struct.pack("@HHIQ", len(program) // 8, 0, 0, ctypes.addressof(code)))
    prctl(SET_NO_NEW_PRIVS, 1)
    prctl(SET_SECCOMP, _FILTER_MODE, ctypes.addressof(about))
    return True


def _program(machine: _Machine, *, local: bool) -> bytes:
    """Return the filter; a call of another machine's numbering is refused whatever it is."""
    refused = [*machine.processes, *machine.files, *([] if local else [machine.socket, *machine.addresses])]
    lines = [
        (_LOAD, "next", "next", _MACHINE_AT),
        (_IF_EQUAL, "next", "refuse", machine.name),
        (_LOAD, "next", "next", _NUMBER_AT),
        (_IF_AT_LEAST, "refuse", "next", _X32),
        *((_IF_EQUAL, "refuse", "next", number) for number in refused),
    ]
    if local:
        lines += [
            (_IF_EQUAL, "next", "allow", machine.socket),
            (_LOAD, "next", "next", _FIRST_ARGUMENT_AT),
            (_IF_EQUAL, "allow", "refuse", _AF_UNIX),
        ]
    ends = {"allow": len(lines), "refuse": len(lines) + 1}
    code = b""
    for at, (what, then, otherwise, value) in enumerate(lines):
        jumps = [ends.get(place, at + 1) - at - 1 for place in (then, otherwise)]
        code += struct.pack("=HBBI", what, *jumps, value)
    return code + struct.pack("=HBBI", _RETURN, 0, 0, _ALLOW) + struct.pack("=HBBI", _RETURN, 0, 0, _REFUSE)
