"""System calls that a parser process gives up: a seccomp filter of plain BPF, made without a library.

What it refuses fails with `EPERM`, so a library that merely tries goes on. `clone3`, whose flags a filter cannot see,
and `openat2` say `ENOSYS`, upon which the C library uses the calls that can be looked into.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_KILL = 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32_BIT = 0x40000000
_SECCOMP_SET_MODE_FILTER = 1
_FLAG_ALL_THREADS = 1
_CLONE_THREAD = 0x00010000
_CLONE_VFORK = 0x00004000
_CLONE_NAMESPACES = 0x7E020000
_O_CREATE_OR_TRUNCATE = 0o1100
_PR_SET_PDEATHSIG = 1

_ARCHITECTURES = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}
"""Column in the tables below, the kernel's name of the architecture, and the number of `seccomp` itself."""

_NETWORK = """
    socket:41:198 socketpair:53:199 connect:42:203 bind:49:200 listen:50:201 accept:43:202 accept4:288:242
    sendto:44:206 sendmsg:46:211 sendmmsg:307:269 io_uring_setup:425:425 io_uring_enter:426:426
    io_uring_register:427:427
"""
_OTHER_PROCESSES = """
    tkill:200:130 rt_sigqueueinfo:129:138 rt_tgsigqueueinfo:297:240 pidfd_send_signal:424:424 pidfd_open:434:434
    pidfd_getfd:438:438 ptrace:101:117 process_vm_readv:310:270 process_vm_writev:311:271 process_madvise:440:440
    kcmp:312:272 setsid:112:157 setpgid:109:154 shmget:29:194 shmat:30:196 msgget:68:186 semget:64:190
    mq_open:240:180 fork:57:
"""
_FILE_CHANGES = """
    chmod:90: fchmod:91:52 fchmodat:268:53 fchmodat2:452:452 chown:92: fchown:93:55 lchown:94: fchownat:260:54
    utime:132: utimes:235: futimesat:261: utimensat:280:88 setxattr:188:5 lsetxattr:189:6 fsetxattr:190:7
    removexattr:197:14 lremovexattr:198:15 fremovexattr:199:16 setxattrat:463:463 removexattrat:466:466
    truncate:76:45 creat:85: mkdir:83: mkdirat:258:34 rmdir:84: unlink:87: unlinkat:263:35 rename:82:
    renameat:264:38 renameat2:316:276 link:86: linkat:265:37 symlink:88: symlinkat:266:36 mknod:133: mknodat:259:33
"""
_SYSTEM = """
    mount:165:40 umount2:166:39 open_tree:428:428 move_mount:429:429 fsopen:430:430 fsconfig:431:431 fsmount:432:432
    fspick:433:433 mount_setattr:442:442 pivot_root:155:41 chroot:161:51 swapon:167:224 swapoff:168:225
    reboot:169:142 sethostname:170:161 setdomainname:171:162 iopl:172: ioperm:173: init_module:175:105
    finit_module:313:273 delete_module:176:106 kexec_load:246:104 kexec_file_load:320:294 quotactl:179:60
    quotactl_fd:443:443 acct:163:89 settimeofday:164:170 adjtimex:159:171 clock_settime:227:112
    clock_adjtime:305:266 add_key:248:217 request_key:249:218 keyctl:250:219 unshare:272:97 setns:308:268
    perf_event_open:298:241 bpf:321:280 userfaultfd:323:282 fanotify_init:300:262 name_to_handle_at:303:264
    open_by_handle_at:304:265 personality:135:92 capset:126:91 setuid:105:146 setgid:106:144 setreuid:113:145
    setregid:114:143 setresuid:117:147 setresgid:119:149 setgroups:116:159 setfsuid:122:151 setfsgid:123:152
"""
_PROGRAMS = "vfork:58: execve:59:221 execveat:322:281 kill:62:129"
_UNSEEN = "clone3:435:435 openat2:437:437"


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def refuse_calls(*, programs: bool) -> bool:
    """Applies the filter to all threads; False where the kernel or the architecture has none.

    `no_new_privs` must be set before.

    Args:
        programs: whether the process may start others; which, is for Landlock to say. It still cannot fork: one that
            it makes holds it up until a program runs there.
    """
    known = _ARCHITECTURES.get(platform.machine())
    if known is None:
        return False
    column, architecture, seccomp = known
    code = b"".join(_instructions(column, architecture, programs=programs))
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    applied = libc.syscall(seccomp, _SECCOMP_SET_MODE_FILTER, _FLAG_ALL_THREADS, ctypes.byref(program))
    return int(applied) == 0


def _instructions(column: int, architecture: int, *, programs: bool) -> Iterable[bytes]:
    yield _one(_LOAD, _ARCHITECTURE)
    yield _one(_EQUAL, architecture, 1, 0)
    yield _one(_RETURN, _KILL)
    yield _one(_LOAD, _NUMBER)
    if column == 0:
        yield from _refused_if(_AT_LEAST, _X32_BIT)
    refused = (_NETWORK, _OTHER_PROCESSES, _FILE_CHANGES, _SYSTEM, "" if programs else _PROGRAMS)
    for number in _numbers(" ".join(refused), column):
        yield from _refused_if(_EQUAL, number)
    for number in _numbers(_UNSEEN, column):
        yield from _refused_if(_EQUAL, number, errno.ENOSYS)
    clones = _CLONE_THREAD | (_CLONE_VFORK if programs else 0)
    yield from _by_argument((56, 220)[column], 0, refused=_CLONE_NAMESPACES, needed=clones)
    yield from _by_argument((257, 56)[column], 2, refused=_O_CREATE_OR_TRUNCATE)
    if column == 0:
        yield from _by_argument(2, 1, refused=_O_CREATE_OR_TRUNCATE)
    yield from _by_value((302, 261)[column], 0, allowed=0)
    yield from _by_value((234, 131)[column], 0, allowed=os.getpid())
    yield from _by_value((157, 167)[column], 0, refused=_PR_SET_PDEATHSIG)
    yield _one(_RETURN, _ALLOW)


def _numbers(table: str, column: int) -> list[int]:
    """The calls of a table that an architecture has."""
    found = (entry.split(":")[1 + column] for entry in table.split())
    return [int(number) for number in found if number]


def _one(code: int, value: int, met: int = 0, unmet: int = 0) -> bytes:
    """One instruction: `met` and `unmet` are how many to skip."""
    return struct.pack("=HBBI", code, met, unmet, value)


def _refused_if(test: int, value: int, number: int = errno.EPERM) -> list[bytes]:
    return [_one(test, value, 0, 1), _one(_RETURN, _ERRNO | number)]


def _by_argument(call: int, place: int, *, refused: int, needed: int = 0) -> list[bytes]:
    """Refuses a call whose flags hold one of `refused`, or none of `needed`."""
    body = [_one(_LOAD, _ARGUMENTS + 8 * place), *_refused_if(_ANY_BIT, refused)]
    if needed:
        body += [_one(_ANY_BIT, needed, 1, 0), _one(_RETURN, _ERRNO | errno.EPERM)]
    return _guarded(call, body)


def _by_value(call: int, place: int, *, allowed: int | None = None, refused: int | None = None) -> list[bytes]:
    """Refuses a call by one argument: whatever is not `allowed`, or exactly `refused`."""
    test = [_one(_EQUAL, allowed, 1, 0)] if allowed is not None else [_one(_EQUAL, refused or 0, 0, 1)]
    return _guarded(call, [_one(_LOAD, _ARGUMENTS + 8 * place), *test, _one(_RETURN, _ERRNO | errno.EPERM)])


def _guarded(call: int, body: list[bytes]) -> list[bytes]:
    """`body` for one call only; whatever it does not refuse is allowed."""
    return [_one(_EQUAL, call, 0, len(body) + 1), *body, _one(_RETURN, _ALLOW)]
