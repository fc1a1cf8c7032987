# SPDX-License-Identifier: BSD-3-Clause
"""Descriptors that a case passes or receives, and what they tell about the server.

Everything here owns its descriptors and closes them with close(), at the end of a `with`, or with
the Fds that made it. Memory and Probe are the oracles of the library: what the kernel says that
the server still holds, whatever it replies. Sizes and offsets are bytes, timeouts seconds.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import tempfile
from collections.abc import Callable
from errno import EBADF
from typing import Any, Self

from . import _abi
from .duration import milliseconds


FILE_SIZE = 1 << 20  # of each descriptor that has a size


class Owned:
    """Something that is closed once, by close() or at the end of a `with`."""

    kind = "fd"

    def close(self) -> None:
        """Close what is owned; further calls do nothing."""
        raise NotImplementedError

    def fileno(self) -> int:
        """The descriptor to pass, still owned; OSError (EBADF) when it is closed."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Fd(Owned):
    """One descriptor. `kind` is the word that stands for it in listings."""

    def __init__(self, number: int, kind: str = "fd"):
        self._number = number
        self.kind = kind

    def fileno(self) -> int:
        if self._number < 0:
            raise OSError(EBADF, "the descriptor is closed")
        return self._number

    def take(self) -> int:
        """The number, the caller's from now on."""
        number, self._number = self.fileno(), -1
        return number

    def close(self) -> None:
        if self._number >= 0:
            os.close(self.take())


class EventFd(Fd):
    """An eventfd, as passed for an interrupt. The server writes, the case reads."""

    def __init__(self, initial: int = 0):
        super().__init__(os.eventfd(initial, os.EFD_NONBLOCK | os.EFD_CLOEXEC), "eventfd")

    def count(self) -> int:
        """How often it was signalled since the last reading; 0 = not. Never waits."""
        try:
            return os.eventfd_read(self.fileno())
        except BlockingIOError:
            return 0

    def wait(self, timeout: float | None = None) -> int:
        """The same, once it has been signalled; 0 after the timeout (None: long)."""
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        poll.poll(milliseconds(timeout))
        return self.count()


class Memory(Owned):
    """Guest memory on a memfd, with the lease and seal oracles (vuc.h says when to ask them)."""

    kind = "memfd"

    def __init__(self, size: int):
        self.size = size
        self._memory = _abi.create("memory_create", "vuc_memory", size)

    def fileno(self) -> int:
        return _abi.call("memory_fd", self._memory)

    def sent(self) -> None:
        """Close our copy of the passed description: what is held from now on, the server holds."""
        _abi.lib.vuc_memory_close_fd(self._memory)

    def held(self) -> bool:
        """Does anybody hold a descriptor or a mapping of it? Ask after sent()."""
        return bool(_abi.call("memory_held", self._memory))

    def mapped(self) -> bool:
        """Does anybody have a shared mapping of it? Ends the use of the memory: it is sealed."""
        return bool(_abi.call("memory_mapped", self._memory))

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes at `offset`."""
        buffer = ctypes.create_string_buffer(size)
        _abi.call("memory_read", self._memory, offset, buffer, size)
        return buffer.raw

    def write(self, offset: int, data: bytes) -> None:
        """Store the bytes at `offset`."""
        _abi.call("memory_write", self._memory, offset, data, len(data))

    def fill(self, seed: int) -> None:
        """Fill all of it with the pattern of the seed."""
        _abi.call("memory_fill", self._memory, seed)

    def differs(self, seed: int) -> int:
        """The number of bytes that differ from the pattern of the seed."""
        return _abi.call("memory_differs", self._memory, seed)

    def truncate(self, size: int) -> None:
        """Change the size of the file below (or above) what was passed."""
        _abi.call("memory_truncate", self._memory, size)
        self.size = size

    def close(self) -> None:
        if self._memory:
            _abi.lib.vuc_memory_free(self._memory)
            self._memory = None


class Probe(Owned):
    """The write end of a pipe, passed where the server has no use for it."""

    kind = "probe"

    def __init__(self) -> None:
        self._probe = _abi.create("probe_create", "vuc_probe")

    def fileno(self) -> int:
        return _abi.call("probe_fd", self._probe)

    def sent(self) -> None:
        """Close our copy of the write end."""
        _abi.lib.vuc_probe_close_fd(self._probe)

    def released(self, timeout: float | None = None) -> bool:
        """Has everybody closed the write end? Waits for it up to the timeout (None: long)."""
        self.sent()
        return bool(_abi.call("probe_released", self._probe, milliseconds(timeout)))

    def bytes(self) -> int:
        """How many bytes came through the pipe so far (an interrupt writes 8)."""
        return _abi.call("probe_bytes", self._probe)

    def close(self) -> None:
        if self._probe:
            _abi.lib.vuc_probe_free(self._probe)
            self._probe = None


def _reopened(number: int, flags: int) -> int:
    # Another description of what `number` refers to; closes `number`.
    try:
        return os.open(f"/proc/self/fd/{number}", flags | os.O_CLOEXEC)
    finally:
        os.close(number)


def _pipe() -> int:
    read, write = os.pipe2(os.O_CLOEXEC)
    os.close(write)
    return _reopened(read, os.O_RDWR | os.O_NONBLOCK)


def _broken_pipe() -> int:
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.close(read)
    return write


def _broken_socket() -> int:
    ours, other = socket.socketpair()
    other.close()
    return ours.detach()


def _epoll() -> int:
    with select.epoll() as epoll:
        return os.dup(epoll.fileno())


def _file(flags: int) -> int:
    with tempfile.NamedTemporaryFile(prefix="vuc-") as file:
        os.truncate(file.name, FILE_SIZE)
        return os.open(file.name, flags | os.O_CLOEXEC)


def _memfd() -> int:
    number = os.memfd_create("vuc", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.truncate(number, FILE_SIZE)
    return number


# Everything that can be passed, also instead of what is wanted.
KINDS: dict[str, Callable[[], int]] = {
    "pipe": _pipe,
    "broken-pipe": _broken_pipe,
    "socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).detach(),
    "broken-socket": _broken_socket,
    "directory": lambda: os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC),
    "epoll": _epoll,
    "eventfd": lambda: os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC),
    "memfd": _memfd,
    "read-only-memfd": lambda: _reopened(_memfd(), os.O_RDONLY),
    "file": lambda: _file(os.O_RDWR),
    "read-only-file": lambda: _file(os.O_RDONLY),
    "write-only-file": lambda: _file(os.O_WRONLY),
    "o_path": lambda: _file(os.O_PATH),
    "null": lambda: os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC),
}


class Fds(Owned):
    """Makes what a case passes, and closes all of it at the end."""

    def __init__(self) -> None:
        self._made: list[Owned] = []

    def keep(self, one: Any) -> Any:
        """Close `one` together with the others; returns it."""
        self._made.append(one)
        return one

    def memory(self, size: int) -> Memory:
        """Guest memory of `size` bytes, zero at first."""
        return self.keep(Memory(size))

    def probe(self) -> Probe:
        """A pipe that tells when the server has closed what it was passed."""
        return self.keep(Probe())

    def probes(self, count: int) -> list[Probe]:
        """Several of them."""
        return [self.probe() for _ in range(count)]

    def eventfd(self, initial: int = 0) -> EventFd:
        """An eventfd with that count."""
        return self.keep(EventFd(initial))

    def eventfds(self, count: int) -> list[EventFd]:
        """Several of them, not signalled."""
        return [self.eventfd() for _ in range(count)]

    def kind(self, name: str) -> Fd:
        """A descriptor of some other kind: one of KINDS."""
        return self.keep(Fd(KINDS[name](), name))

    def close(self) -> None:
        while self._made:
            self._made.pop().close()


def oracles() -> tuple[set[str], str]:
    """The oracles that tell the truth on this kernel ("lease", "seal", "pipe"), and what was
    wrong with the others, one per line."""
    why = ctypes.create_string_buffer(1024)
    mask = _abi.call("oracle_selftest", why, len(why))
    names = _abi.ENUMS["vuc_oracle"].items()
    told = {key.removeprefix("VUC_ORACLE_").lower() for key, bit in names if mask & bit}
    return told, why.value.decode(errors="replace").strip()
