# SPDX-License-Identifier: BSD-3-Clause
"""The server under test as a process: start or attach, connect, see how it is, stop.

A Target owns the process it started, a temporary directory with its socket and its logs (one per
start), and nothing else; stop() or the end of a `with` removes all of it. A server that ends with
its connection (sessions = "one") is started anew when the next one is wanted. Timeouts are
seconds; None is the long duration.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from errno import ENOTSUP, ESRCH, ETIMEDOUT
from pathlib import Path
from typing import Any, Self

from . import _abi
from .duration import long, milliseconds, short
from .failure import Broken, Failure
from .profile import Profile
from .session import DEFAULT, Connection

ROOT = Path(__file__).resolve().parents[2]
STACKS_SIZE = 1 << 16
PASS_S = 1.0
POLL_MS = 2  # between two looks at /proc, which nothing announces changes of
WARM_UPS = 2  # sessions before the baseline: what a server allocates once is there then
_PHASES = {
    value: key.removeprefix("VUC_TARGET_").lower()
    for key, value in _abi.ENUMS["vuc_target_phase"].items()
}


@dataclass(frozen=True)
class State:
    """How the process is. phase: running, exited (status = exit code), killed (status = signal),
    gone (dead, nobody knows how), unknown (no process to look at); pid 0 = unknown."""

    phase: str
    status: int
    pid: int
    sanitizer: bool

    @property
    def alive(self) -> bool:
        """Not known to be dead."""
        return self.phase in ("running", "unknown")

    def text(self) -> str:
        """The state in words."""
        words = {
            "exited": f"exited with {self.status}",
            "killed": f"killed by {_signal_name(self.status)}",
        }
        report = ", with a sanitizer report" if self.sanitizer else ""
        return words.get(self.phase, self.phase) + report


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@dataclass(frozen=True)
class Resources:
    """What the process holds: counts, KiB of memory by kind, milliseconds of processor time."""

    fds: int
    vmas: int
    threads: int
    rss_anon_kib: int
    rss_file_kib: int
    rss_shmem_kib: int
    page_tables_kib: int
    cpu_ms: int


COUNTED = ("fds", "vmas", "threads")
SHADOW = 1 << 40  # bytes of address space that only a sanitizer takes; its mappings come and go


def _program(word: str) -> str:
    """argv[0] with a slash is looked up from the working directory, then from this tree."""
    if "/" in word and not os.path.exists(word) and (ROOT / word).exists():
        return str(ROOT / word)
    return word


class Target:
    """One server. Not started before start(), `with`, or the first connect().

    argv replaces the profile's words ("{socket}" stands for the path of the socket; without it
    nothing is waited for), options are appended to them; fds are inherited under their numbers;
    limit_nofile is RLIMIT_NOFILE; env is added to the profile's and to ours.
    """

    def __init__(self, profile: Profile, *, argv: Sequence[str] | None = None,
                 options: Iterable[str] = (), fds: Iterable[int] = (),
                 limit_nofile: int | None = None, env: Mapping[str, str] | None = None):
        self.profile = profile
        self.argv = [*(profile.argv if argv is None else argv), *options]
        self.fds = list(fds)
        self.limit_nofile = -1 if limit_nofile is None else limit_nofile
        self.env = {**profile.env, **(env or {})}
        self.sessions = profile.sessions
        self.baseline: Resources | None = None
        self.starts = 0
        self.programs: list[str] | None = None  # gets what connections send from now on
        self._handle: Any = None
        self._connected = False  # has this process been connected to?
        self._directory: Path | None = None
        self._mark = 0

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- life ----

    @property
    def attached(self) -> bool:
        """Is it a server that somebody else started?"""
        return not self.argv

    @property
    def started(self) -> bool:
        """Is there a process (or an attachment) to ask?"""
        return self._handle is not None

    @property
    def socket(self) -> str:
        """The path on which it listens."""
        if self.attached:
            return str(self.profile.socket)
        return str(self._scratch() / "s")

    @property
    def log_path(self) -> Path:
        """Where the output of the present process goes."""
        return self._scratch() / f"log-{self.starts}"

    def _scratch(self) -> Path:
        # A short path: addresses of sockets end after 107 bytes.
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="vuc-", dir="/tmp"))
        return self._directory

    def start(self, timeout: float | None = None) -> None:
        """Start it (or attach) and wait until it listens. Broken if it can not be executed;
        Failure server.exit or server.unreachable if it does not come to listen."""
        if self._handle is not None:
            return
        self.baseline = None
        self._connected = False
        self._mark = 0
        if self.attached:
            self._handle = self._made("target_attach", os.fsencode(self.socket))
        else:
            self.starts += 1
            self._handle = self._made("target_start", ctypes.byref(self._how()))
        self._wait_ready(timeout)

    def _made(self, function: str, argument: Any) -> Any:
        try:
            return _abi.create(function, "vuc_target", argument)
        except OSError as error:
            what = self.socket if self.attached else " ".join(self.argv)
            raise Broken(f"{what}: {error.strerror}") from error

    def _how(self) -> Any:
        words = [word.replace("{socket}", self.socket) for word in self.argv]
        how = _abi.types["vuc_start"]()
        how.argv = _abi.strings([_program(words[0]), *words[1:]])
        how.env = _abi.strings([f"{name}={value}" for name, value in self.env.items()])
        listens = any("{socket}" in word for word in self.argv)
        how.socket_path = os.fsencode(self.socket) if listens else None
        how.log_path = os.fsencode(self.log_path)
        how.fds = (ctypes.c_int32 * len(self.fds))(*self.fds)
        how.nfds = len(self.fds)
        how.limit_nofile = self.limit_nofile
        return how

    def _wait_ready(self, timeout: float | None) -> None:
        result = _abi.lib.vuc_target_wait_ready(self._handle, milliseconds(timeout))
        if result == -ESRCH:
            raise Failure("server.exit", "it ended before it listened", came=self.state.text(),
                          before=self.log().splitlines())
        if result == -ETIMEDOUT:
            raise Failure("server.unreachable", f"it does not listen on {self.socket}",
                          before=self.log().splitlines())
        _abi.check(result, "target_wait_ready")

    def stop(self, timeout: float | None = None) -> State:
        """SIGTERM, after the timeout SIGKILL; how it ended. An attached one is let go of."""
        if self._handle is None:
            raise Broken("the server has not been started")
        row = _abi.types["vuc_target_state"]()
        result = _abi.lib.vuc_target_stop(self._handle, milliseconds(timeout), ctypes.byref(row))
        state = self.state if result == -ENOTSUP else _state_of(row)
        self._release()
        _abi.check(0 if result == -ENOTSUP else result, "target_stop")
        return state

    def restart(self) -> None:
        """Stop it at once, however it is, and start it anew. An attached one is attached again."""
        self._release()
        self.start()

    def close(self) -> None:
        """Stop it at once and remove its directory. Twice is fine."""
        self._release()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def _release(self) -> None:
        if self._handle is not None:
            _abi.lib.vuc_target_free(self._handle)
            self._handle = None

    # ---- connections ----

    def connect(self, timeout: float | None = None) -> Connection:
        """A connection that has not negotiated; the caller's. Starts the server if need be.
        Failure server.unreachable when it takes none."""
        self.start()
        if self._used_up():
            self.restart()
        try:
            connection = Connection.connect(self.socket, timeout)
        except OSError as error:
            raise Failure("server.unreachable", f"connect: {error.strerror}",
                          came=self.state.text()) from error
        self._connected = True
        connection.poc = self.profile.features.get("poc", False)
        if self.profile.readings and not connection.poc:  # a dialect that the model does not know
            connection.judged(self.profile.strict)
        if self.programs is not None:
            connection.recorded(self.programs)
        return connection

    def _used_up(self) -> bool:
        # A process that has seen its only connection close is given the time to end.
        if self.sessions != "one" or self.attached or not self._connected:
            return False
        return self.wait_exit() is not None

    def negotiate(self, capabilities: Any = DEFAULT, timeout: float | None = None,
                  **version: int) -> Connection:
        """A negotiated connection; the caller's."""
        connection = self.connect(timeout)
        try:
            connection.negotiate(capabilities=capabilities, **version)
        except BaseException:
            connection.close()
            raise
        return connection

    def find_sessions(self) -> str:
        """How many sessions it serves: the profile's word, else found out now, when it must have
        no other connections: "many" at a time, "sequential", or "one" per process."""
        if self.sessions is None:
            self.sessions = self._served()
            if not self.state.alive:
                self.restart()
        return self.sessions

    def _served(self) -> str:
        with self.negotiate() as first, self.connect() as second:
            sent = second.send(second.version(), maybe=True)
            first.barrier()
            if second.arrives(short()):
                return "many"
            first.close()
            try:
                second.success(sent)
            except Failure:
                return "one"
            return "sequential"

    # ---- how it is ----

    @property
    def state(self) -> State:
        """How it is now."""
        row = _abi.types["vuc_target_state"]()
        _abi.call("target_state", self._handle, ctypes.byref(row))
        return _state_of(row)

    def wait_exit(self, timeout: float | None = None) -> State | None:
        """How it ended; None if it has not until the timeout, or if there is no process to see."""
        result = _abi.lib.vuc_target_wait_exit(self._handle, milliseconds(timeout))
        if result in (-ETIMEDOUT, -ENOTSUP):
            return None
        _abi.check(result, "target_wait_exit")
        return self.state

    def signal(self, number: int) -> None:
        """Send a signal to the process that listens."""
        _abi.call("target_signal", self._handle, int(number))

    def stacks(self) -> str:
        """Where its threads are; empty when nobody can tell. Takes up to ten seconds."""
        text = ctypes.create_string_buffer(STACKS_SIZE)
        result = _abi.lib.vuc_target_stacks(self._handle, text, len(text))
        return text.value.decode(errors="replace") if result >= 0 else ""

    def mark(self) -> None:
        """What the log holds now is old: log() begins behind it."""
        self._mark = self._log_size()

    def log(self) -> str:
        """The output of the present process since the last mark; empty for an attached one."""
        if self.attached or not self._log_size():
            return ""
        with open(self.log_path, "rb") as file:
            file.seek(self._mark)
            return file.read().decode(errors="replace")

    def _log_size(self) -> int:
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def resources(self) -> Resources | None:
        """What it holds now; None where /proc does not tell."""
        row = _abi.types["vuc_resources"]()
        if _abi.lib.vuc_target_resources(self._handle, ctypes.byref(row)) < 0:
            return None
        return Resources(**{name: getattr(row, name) for name, _ in row._fields_})

    def rest(self, timeout: float | None = None) -> bool:
        """Wait until it has nothing more to do: all its threads sleep, in two looks between which
        they used no CPU time. False where that cannot be seen, or is not so until the timeout."""
        left, seen = milliseconds(timeout), None
        while left > 0 and self.resources() is not None:
            now = _asleep(self.state.pid)
            if now is not None and now == seen:
                return True
            seen = now
            self._pause()
            left -= POLL_MS
        return False

    def take_baseline(self) -> Resources | None:
        """Run some short sessions and remember what it holds without any; None for a server
        that does not outlive a session, or that nobody can look at."""
        if self.find_sessions() == "one":
            return None
        for _ in range(WARM_UPS):
            self.pass_by()
        self.baseline = self._settled()
        return self.baseline

    def pass_by(self) -> None:
        """A short session, from which the server has let go when its end comes back; as a rule
        it has then seen the end of those that were closed before. What is counted too early
        hides a leak of the same size, so even the impatient wait a while."""
        with self.negotiate() as connection:
            connection.barrier()
            connection.shutdown_write()
            with suppress(Failure):
                connection.expect_close(timeout=max(long() / 5, PASS_S))

    def _settled(self) -> Resources | None:
        # Two sessions of the same kind behind each other end with the same numbers.
        seen = self.resources()
        while seen is not None:
            self._pause()
            again = self.resources()
            if again is None or _counts(again) == _counts(seen):
                return again
            seen = again
        return None

    def surplus(self, timeout: float | None = None) -> dict[str, int]:
        """What it holds beyond the baseline (names of COUNTED), once the timeout is over or
        nothing is left; empty without a baseline. Ask when all connections are closed."""
        left = milliseconds(timeout)
        while True:
            now = self.resources() if self.baseline is not None else None
            if now is None:
                return {}
            more = {name: getattr(now, name) - getattr(self.baseline, name) for name in COUNTED}
            more = {name: count for name, count in more.items() if count > 0}
            if "vmas" in more and self._shadowed():
                del more["vmas"]
            if not more or left <= 0:
                return more
            self._pause()
            left -= POLL_MS

    def _shadowed(self) -> bool:
        try:
            pages = Path(f"/proc/{self.state.pid}/statm").read_text().split()[0]
        except OSError:
            return False
        return int(pages) * os.sysconf("SC_PAGESIZE") > SHADOW

    def _pause(self) -> None:
        # Waits on the end of the process, as long as one look at /proc may be away from the next.
        try:
            number = os.pidfd_open(self.state.pid)
        except OSError:
            return
        try:
            poll = select.poll()
            poll.register(number, select.POLLIN)
            poll.poll(POLL_MS)
        finally:
            os.close(number)


def _asleep(pid: int) -> list[list[str]] | None:
    """The CPU time of each thread when all of them sleep, else None (proc_pid_stat(5))."""
    times = []
    for path in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            state, *fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        if state != "S":
            return None
        times.append([path.parent.name, *fields[10:12]])
    return sorted(times) or None


def _counts(resources: Resources) -> tuple[int, ...]:
    return tuple(getattr(resources, name) for name in COUNTED)


def _state_of(row: Any) -> State:
    return State(_PHASES[row.phase], row.status, row.pid, bool(row.sanitizer))
