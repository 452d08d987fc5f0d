"""No sockets from now on, by a seccomp filter: not for TCP, UDP and DNS, and none to the desktop, the bus or our own.

Landlock refuses TCP only. Refused beside sockets is what it leaves open: changing modes, owners, times and attributes
of files, reaching into other processes and their limits, priorities and processors, running programs from memory,
memory and messages that programs share, the kernel's keys, namespaces, and io_uring, which would go around the filter.
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
# linux/bpf_common.h: load a word; jump if equal, if greater or equal, if any of these bits is set; return.
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16  # struct seccomp_data, little endian
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | errno.EACCES
_UNKNOWN: Final = 0x00050000 | errno.ENOSYS
_X32: Final = 0x40000000  # the other numbering of an x86-64 kernel
_AF_UNIX: Final = 1
_NAMESPACES: Final = 0x7E020000  # linux/sched.h: CLONE_NEW…


@dataclass(frozen=True, slots=True)
class _Machine:
    """The kernel's name of a machine (linux/audit.h) and its numbers of system calls."""

    name: int
    socket: int
    addresses: tuple[int, ...]  # bind, connect, listen
    # ptrace, process_vm_readv, process_vm_writev, pidfd_getfd, io_uring_setup; execve, execveat;
    # process_madvise, perf_event_open, setpriority, ioprio_set, unshare, setns; add_key, request_key, keyctl
    processes: tuple[int, ...]
    # shmget, shmat, shmctl, semget, semop, semctl, semtimedop, msgget, msgsnd, msgrcv, msgctl, mq_open, mq_unlink
    shared: tuple[int, ...]
    # With the first argument 0 they are about the caller: prlimit64, sched_setaffinity, sched_setparam,
    # sched_setscheduler, sched_setattr, migrate_pages, move_pages
    own: tuple[int, ...]
    clone: int
    clone3: int  # its flags are where a filter cannot look
    # truncate; chmod, fchmod, fchmodat, fchmodat2; chown, fchown, lchown, fchownat; utime, utimes, futimesat,
    # utimensat; setxattr, lsetxattr, fsetxattr, setxattrat; removexattr, lremovexattr, fremovexattr, removexattrat
    files: tuple[int, ...]


_MACHINES: Final = {
    "x86_64": _Machine(
        name=0xC000003E,
        socket=41,
        addresses=(49, 42, 50),
        processes=(101, 310, 311, 438, 425, 59, 322, 440, 298, 141, 251, 272, 308, 248, 249, 250),
        shared=(29, 30, 31, 64, 65, 66, 220, 68, 69, 70, 71, 240, 241),
        own=(302, 203, 142, 144, 314, 256, 279),
        clone=56,
        clone3=435,
        files=(76, 90, 91, 268, 452, 92, 93, 94, 260, 132, 235, 261, 280, 188, 189, 190, 463, 197, 198, 199, 466),
    ),
    "aarch64": _Machine(  # has fewer ways to do the same
        name=0xC00000B7,
        socket=198,
        addresses=(200, 203, 201),
        processes=(117, 270, 271, 438, 425, 221, 281, 440, 241, 140, 30, 97, 268, 217, 218, 219),
        shared=(194, 196, 195, 190, 193, 191, 192, 186, 189, 188, 187, 180, 181),
        own=(261, 122, 118, 119, 274, 238, 239),
        clone=220,
        clone3=435,
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
    refused = [*machine.processes, *machine.shared, *machine.files]
    refused += [] if local else [machine.socket, *machine.addresses]
    lines = [  # the name of the line, if one jumps there; what to do; where to go if so and if not; a number
        ("", _LOAD, "", "", _MACHINE_AT),
        ("", _IF_EQUAL, "", "refuse", machine.name),
        ("", _LOAD, "", "", _NUMBER_AT),
        ("", _IF_AT_LEAST, "refuse", "", _X32),
        *(("", _IF_EQUAL, "refuse", "", number) for number in refused),
        *(("", _IF_EQUAL, "own", "", number) for number in machine.own),
        *([("", _IF_EQUAL, "family", "", machine.socket)] if local else []),
        ("", _IF_EQUAL, "clone", "", machine.clone),
        ("", _IF_EQUAL, "unknown", "allow", machine.clone3),  # so that the C library takes clone
        ("own", _LOAD, "", "", _FIRST_ARGUMENT_AT),
        ("", _IF_EQUAL, "allow", "refuse", 0),
        ("family", _LOAD, "", "", _FIRST_ARGUMENT_AT),
        ("", _IF_EQUAL, "allow", "refuse", _AF_UNIX),
        ("clone", _LOAD, "", "", _FIRST_ARGUMENT_AT),
        ("", _IF_ANY_BIT, "refuse", "allow", _NAMESPACES),
        ("allow", _RETURN, "", "", _ALLOW),
        ("refuse", _RETURN, "", "", _REFUSE),
        ("unknown", _RETURN, "", "", _UNKNOWN),
    ]
    places = {name: at for at, (name, *_) in enumerate(lines) if name}
    code = b""
    for at, (_, what, then, otherwise, value) in enumerate(lines):
        jumps = [places[name] - at - 1 if name else 0 for name in (then, otherwise)]
        code += struct.pack("=HBBI", what, *jumps, value)
    return code
