# SPDX-License-Identifier: BSD-3-Clause
"""What a server holds, seen from outside: one Sample for each number of units of a flood.

Sizes are KiB, processor time is microseconds. What the kernel does not show is None.
"""

from __future__ import annotations

import fcntl
import os
import resource
import struct
import termios
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .session import MAIN, Connection

STATUS = {"RssAnon": "anon", "RssFile": "file", "RssShmem": "shmem", "VmPTE": "page_tables",
          "VmSize": "space", "Threads": "threads"}
METRICS = ("anon", "file", "shmem", "page_tables", "space", "vmas", "fds", "threads", "log", "cpu")
LIMITS = {"nofile": resource.RLIMIT_NOFILE, "space": resource.RLIMIT_AS}


@dataclass(frozen=True)
class Sample:
    """What a process holds: memory by kind, page tables, address space; counts of areas,
    descriptors and threads; bytes of its log; processor time so far."""

    anon: int
    file: int
    shmem: int
    page_tables: int
    space: int
    vmas: int
    fds: int
    threads: int
    log: int
    cpu: int

    def text(self) -> str:
        """All of it on one line."""
        return ", ".join(f"{name} {getattr(self, name)}" for name in METRICS)


class Gone(OSError):
    """The process is not there any more."""


class Meter:
    """Looks at one process."""

    def __init__(self, pid: int, log: Path | None = None):
        self.proc = Path(f"/proc/{pid}")
        self.pid = pid
        self.log = log

    def sample(self) -> Sample:
        """What it holds now; Gone when it has ended."""
        try:
            return self._sample()
        except OSError as error:
            raise Gone(error.errno, f"the server has gone: {error.strerror}") from error

    def _sample(self) -> Sample:
        lines = (line.split() for line in (self.proc / "status").read_text().splitlines())
        status = {STATUS[words[0][:-1]]: int(words[1]) for words in lines
                  if words and words[0][:-1] in STATUS}
        with open(self.proc / "maps", "rb") as file:
            vmas = sum(1 for _ in file)
        log = self.log.stat().st_size if self.log and self.log.exists() else 0
        return Sample(vmas=vmas, fds=len(os.listdir(self.proc / "fd")), log=log, cpu=self.cpu(),
                      **status)

    def cpu(self) -> int:
        """Microseconds on a processor, of the threads that live."""
        total = 0
        for path in self.proc.glob("task/*/schedstat"):
            with suppress(OSError):
                total += int(path.read_text().split()[0])
        return total // 1000

    def used(self) -> int:
        """The same of those that have ended, too, in ticks of the clock; Gone when it has."""
        try:
            words = (self.proc / "stat").read_text().rpartition(")")[2].split()
        except OSError as error:
            raise Gone(error.errno, f"the server has gone: {error.strerror}") from error
        return (int(words[11]) + int(words[12])) * 1_000_000 // os.sysconf("SC_CLK_TCK")

    def fds(self) -> Counter[str]:
        """Its descriptors by kind: socket, memfd, eventfd, file ..."""
        kinds: Counter[str] = Counter()
        for path in (self.proc / "fd").iterdir():
            with suppress(OSError):
                kinds[_kind(os.readlink(path))] += 1
        return kinds

    @contextmanager
    def limited(self, name: str, value: int) -> Iterator[None]:
        """It may have no more than that of a resource of LIMITS (descriptors, bytes of address
        space) while this lasts. OSError where that is not allowed."""
        before = resource.prlimit(self.pid, LIMITS[name])
        resource.prlimit(self.pid, LIMITS[name], (value, before[1]))
        try:
            yield
        finally:
            with suppress(OSError):
                resource.prlimit(self.pid, LIMITS[name], before)


def _kind(link: str) -> str:
    if link.startswith("/memfd:"):
        return "memfd"
    if link.startswith("anon_inode:"):
        return link.partition(":")[2].strip("[]")
    return "file" if link.startswith("/") else link.partition(":")[0]


def queues(session: Connection, channel: int = MAIN) -> tuple[int, int]:
    """What lies in a socket of a connection: bytes that were sent and are not read, in units of
    the kernel, and bytes that came."""
    def ask(request: int) -> int:
        answer = fcntl.ioctl(session.fileno(channel), request, struct.pack("i", 0))
        return struct.unpack("i", answer)[0]

    return ask(termios.TIOCOUTQ), ask(termios.FIONREAD)


def kernel_areas() -> int | None:
    """Memory areas (vm_area_struct) that the kernel has for all processes; None where it does
    not tell."""
    with suppress(OSError):
        for line in Path("/proc/slabinfo").read_text().splitlines():
            if line.startswith("vm_area_struct"):
                return int(line.split()[1])
    return None
