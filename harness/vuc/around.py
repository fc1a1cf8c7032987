# SPDX-License-Identifier: BSD-3-Clause
"""The server of one pytest process, and the checks around each case.

After a case, whatever it came to: its connections are closed; the process lives (or has ended well
where it ends with its connection); a fresh connection is served; nothing is held beyond the
baseline; the log has no sanitizer report. What fails is blamed on the case, and the next one gets
a new server. A server that fails RETRIES times in a row to come up is not started again.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from types import SimpleNamespace
from typing import Any

from .device import Device
from .duration import long, short
from .evidence import Fds
from .failure import Broken, Failure
from .profile import Profile
from .session import Connection
from .target import State, Target

RETRIES = 3
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:|WARNING: \w+Sanitizer")
SANITIZER_LINES = 30
FEW_LEAKS = 5
REPEATS = 2  # a leak grows with each further run of the case
CRASHES = {
    signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSYS,
    signal.SIGTRAP, signal.SIGPIPE,
}  # fmt: skip


def death(state: State, log: str) -> Failure:
    """The Failure that the end of a process is, or a sanitizer report of one that lives on."""
    lines = log.splitlines()
    if not state.sanitizer:
        code = "server.crash" if state.phase == "killed" else "server.exit"
        return Failure(code, f"the process: {state.text()}", before=lines)
    start = next((n for n, line in enumerate(lines) if SANITIZER.search(line)), 0)
    report = "\n".join(lines[start : start + SANITIZER_LINES])
    return Failure("server.sanitizer", f"the process: {state.text()}\n{report}")


def hang(target: Target, why: Failure) -> Failure:
    """The Failure that silence of a living server is, with the stacks of its threads."""
    lines = (target.stacks() or "no stacks: nobody may look at the process").splitlines()
    text = "the server lives and does not answer a new connection; its threads:\n"
    return Failure("server.hang", text + "\n".join(lines), came=why.came)


def private_trouble(target: Target) -> Failure | None:
    """What is wrong with a server of the case's own, which the case may have stopped."""
    if not target.started:
        return None
    state = target.state
    if state.sanitizer or (state.phase == "killed" and state.status in CRASHES):
        return death(state, target.log())
    return None


def drain(connection: Connection, patience: float) -> None:
    """Says that nothing more comes and receives what still does, until the server closes too or
    is silent for `patience` seconds. So the envelope checker sees every message, and a server has
    the time to end well; what one does when its client is suddenly gone is the matter of cases
    that close themselves.
    """
    end = monotonic() + long()
    try:
        if not connection.closed:
            connection.shutdown_write()
        while not connection.closed and monotonic() < end:
            if connection.receive(patience) is None:
                break
    except (Failure, OSError):
        pass


class Worker:
    """The server under test of this process; started when the first case wants it."""

    def __init__(self, profile: Profile):
        self.profile = profile
        self._target: Target | None = None
        self._device: Device | None = None
        self._failed: list[Failure] = []
        self._leaks = 0

    def ready(self) -> Target:
        """The server, running and with a baseline. Failure if it does not come up."""
        if self._target is None:
            self._give_up()
            self._target = self._started()
        return self._target

    def _give_up(self) -> None:
        if len(self._failed) < RETRIES:
            return
        last = self._failed[-1]
        text = f"not started again after {RETRIES} failures in a row; the last one: {last.text}"
        raise Failure(last.code, text,
                      sent=last.sent, allowed=last.allowed, came=last.came, before=last.before)

    def _started(self) -> Target:
        target = Target(self.profile)
        try:
            target.start()
            self.profile = replace(self.profile, sessions=target.find_sessions())
            self._survey(target)
            target.take_baseline()
        except Failure as failure:
            found = self._trouble(target, failure)
            self._failed.append(found)
            target.close()
            raise found from failure
        except BaseException:
            target.close()
            raise
        self._failed.clear()
        return target

    def _survey(self, target: Target) -> None:
        # Before the first case: later it may hold the only connection that the server serves.
        if self._device is None:
            self._device = Device(target)
            self._device.survey()

    def _trouble(self, target: Target, failure: Failure) -> Failure:
        # A server that does not come up hangs, or has died, or fails as the exchange says.
        if not target.started or failure.code.startswith("server."):
            return failure
        if failure.code == "reply.missing" and target.state.alive:
            return hang(target, failure)
        ended = target.state if failure.code == "reply.missing" else target.wait_exit()
        return failure if ended is None or ended.alive else death(ended, target.log())

    def device(self) -> Device:
        """The device, probed once for all servers of this process."""
        target = self.ready()
        if self._device is None:
            self._device = Device(target)
        self._device.target = target
        return self._device

    def has(self, feature: str) -> bool:
        """Is a feature of register.FEATURES there?"""
        if feature in self.profile.features:
            return self.profile.features[feature]
        starts = self.ready().starts
        found = self.device().has(feature)
        if self._target.starts != starts:
            self.discard()
        return found

    def discard(self) -> None:
        """The next case gets a new server."""
        if self._target is not None:
            self._target.close()
            self._target = None

    stop = discard

    def forget_programs(self) -> None:
        """What is sent from now on is no case's."""
        if self._target is not None:
            self._target.programs = None

    # ---- after a case ----

    def after(self, context: Context) -> Failure | None:
        """What is wrong with the server now that all that the case opened is closed."""
        if context.trouble is not None:
            return context.trouble
        if self._target is None or not context.used:
            return None
        target = self._target
        if self.profile.sessions == "one":
            return self._ended(target, context)
        return self._served(target)

    def _ended(self, target: Target, context: Context) -> Failure | None:
        # sessions = "one": a process that was connected to ends, and ends well.
        state = target.wait_exit() if context.connected else target.state
        if state is None:
            return hang(target, Failure("server.hang", came="no end after its connection's"))
        well = state.phase in ("gone", "unknown") or (state.phase, state.status) == ("exited", 0)
        if state.sanitizer or not (well or state.alive):
            return death(state, target.log())
        return None

    def _served(self, target: Target) -> Failure | None:
        state = target.state
        if state.sanitizer or not state.alive:
            return death(target.wait_exit(long() / 5) or state, target.log())
        try:
            with target.negotiate() as connection:
                connection.barrier()
        except Failure as failure:
            found = self._trouble(target, failure)
            if found is failure or found.code == "server.unreachable":
                ended = target.wait_exit(long() / 5)
                if ended is not None:
                    return death(ended, target.log())
                return Failure("server.unreachable", "a further connection is not served",
                               sent=failure.sent, allowed=failure.allowed,
                               came=failure.came or failure.code, before=failure.before)
            return found
        return None

    def suspects_leak(self) -> bool:
        """Does the server hold more than before, with all connections closed?"""
        return self._target is not None and bool(self._target.surplus(self._settling()))

    def _settling(self) -> float:
        # A server that was seen to leak again and again is not waited for as long any more.
        return long() / (5 if self._leaks < FEW_LEAKS else 25)

    def leak(self, again: Callable[[], Failure | None]) -> Failure | None:
        """Runs the case again (it returns what the checks found): what grows each time leaks,
        what does not was opened once and is the new baseline."""
        grown = [self._rebased()]
        for _ in range(REPEATS):
            failure = again()
            if failure is not None:
                return failure
            if self._target is None or not self._target.surplus(self._settling()):
                return None
            grown.append(self._rebased())
        names = [name for name in grown[0] if all(name in more for more in grown)]
        if not names:
            return None
        self._leaks += 1
        counts = ", ".join(str(more[names[0]]) for more in grown)
        return Failure(f"server.leak-{names[0]}",
                       f"each run of the case leaves {names[0]} behind: {counts}")

    def _rebased(self) -> dict[str, int]:
        with suppress(Failure):
            self._target.pass_by()
        more = self._target.surplus(0)
        self._target.baseline = self._target.resources()
        return more


class Context:
    """What one run of a case opened; close() closes it and keeps what has to be judged."""

    def __init__(self, worker: Worker, programs: list[str] | None = None):
        """`programs` gets what the connections of the case send (Connection.recorded)."""
        self.worker = worker
        self.programs = programs
        self.fds = Fds()
        self.used = False
        self.connected = False
        self.violations: list[SimpleNamespace] = []
        self.trouble: Failure | None = None
        self._connections: list[Connection] = []
        self._privates: list[Target] = []

    def target(self) -> Target:
        """The server under test. Connections that are opened on it directly are the case's."""
        found = self.worker.ready()
        found.programs = self.programs
        self.used = self.connected = True
        return found

    def device(self) -> Device:
        """The device, as it was probed."""
        self.used = True
        return self.worker.device()

    def connect(self, version: bool = True, **arguments: Any) -> Connection:
        """A connection that is closed with the case; negotiated unless version is False."""
        target = self.target()
        connection = target.connect()
        self._connections.append(connection)
        if version:
            connection.negotiate(**arguments)
        return connection

    def private_target(self, **arguments: Any) -> Target:
        """A server of the case's own, not started yet; arguments as for Target. Skips where the
        harness does not start servers."""
        if not self.worker.profile.argv:
            raise Broken("a case with a server of its own needs the feature `process`")
        target = Target(self.worker.profile, **arguments)
        target.programs = self.programs
        self._privates.append(target)
        return target

    def trace(self) -> list[str]:
        """The last messages of the connection that was opened last."""
        return self._connections[-1].trace() if self._connections else []

    def close(self) -> None:
        """Closes connections, descriptors and servers; what they showed stays here."""
        # A process that serves one connection is watched to the end that it has to come to.
        patience = long() / 5 if self.worker.profile.sessions == "one" else short()
        for connection in self._connections:
            drain(connection, patience)
            connection.close()
            self.violations += connection.violations()
        self.fds.close()
        self.worker.forget_programs()
        for target in self._privates:
            self.trouble = self.trouble or private_trouble(target)
            target.close()
