# SPDX-License-Identifier: BSD-3-Clause
"""A flood as a scene: the server of the case, whoever attacks it, an honest client beside it, and
what the server holds from unit to unit.

Each case attacks one resource and shows four things: what the server holds is bounded (I2); what is
too much is refused with one of the named errnos, or costs the connection, and never met with
silence (I3); what is given back can be had again (I4); and the honest client, which reads, maps,
has DMA done and compares the bytes all the while, is served (I1). Its latency is measured and
reported, and fails only where it is starved: on a busy machine nothing else can be told. Sizes are
KiB where they are the server's, else bytes; times are seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, suppress
from errno import EAGAIN, EDQUOT, EMFILE, ENFILE, ENOMEM, ENOSPC, errorcode
from itertools import pairwise
from time import monotonic, perf_counter
from typing import Any

from mapping import BASE, PAGE, RW

from vuc import Failure, message
from vuc.device import Device
from vuc.duration import long, short
from vuc.flood import Flood, Latency, Steady, Step, Took, calibration
from vuc.limits import Honest, Record, errno_names, rise, slope
from vuc.measure import METRICS, Gone, Meter, Sample, kernel_areas, queues
from vuc.session import DEFAULT, Connection
from vuc.target import SHADOW
from vuc.vdma import BUFFER, OPS, SLOT_BASE, SLOT_REGISTERS, STATES, Vdma, pattern

STEPS = 16  # samples of a curve
FULL = frozenset({ENOSPC, ENOMEM, EMFILE, ENFILE, EDQUOT, 0})  # nothing more can be had
HONEST_BASE = 1 << 40  # far from where floods map
HONEST_BYTES = 256
HONEST_SEED = 0x5C
NOFILE = 512  # descriptors of a server that is contained
ROUNDS = (20, 400)  # of the honest client without a flood: at the least, and times the scale
ROOM = {"anon": 2048, "file": 2048, "shmem": 512, "page_tables": 512, "vmas": 24, "fds": 4,
        "threads": 2}  # by which it may hold more for reasons of its own
LOG_ROOM = 1 << 16  # bytes
BACK = 0.05  # part of what a flood has cost that may stay behind it
STEEP = 4.0  # times: so much more at its end, a cost has grown
PROMPT = 0.1  # seconds
MEGA = 1_000_000
IDLE = 1_000_000  # microseconds of its own in which it has to come to rest
CPU_SEEN = 50_000  # microseconds below which costs are not compared
IDLE_LOOKS = 4  # times the long duration, after which it is only noted that nobody knows
SETTLED = 25  # looks at a server that gives things back in its own time
SHADOWED = ("vmas", "anon", "page_tables", "space")  # what a sanitizer blurs
MAP = message("DMA_MAP", flags=RW, address=BASE, size=PAGE)
UNMAP = message("DMA_UNMAP", address=BASE, size=PAGE)


class Scene:
    """The server, started, with a baseline, and everything that the case opened on it."""

    def __init__(self, name: str, private_target: Callable[..., Any], fds: Any, device: Device,
                 scale: float):
        self.record = Record(name, scale=scale)
        self.private_target = private_target
        self.fds = fds
        self.device = device
        self.scale = scale
        self.target: Any = None
        self.opened = ExitStack()
        self.before: Sample | None = None
        self.attacked: Sample | None = None
        self.steady: Steady | None = None
        self.unloaded = Latency()
        self.areas: int | None = None

    def close(self) -> None:
        """Close what the case opened; the server is the context's."""
        self.opened.close()

    def count(self, full: int, least: int = 256) -> int:
        """How many units, of `full` in full length."""
        return max(least, round(full * self.scale))

    # ---- who takes part ----

    def start(self, unit: str, *, options: Collection[str] = (), honest: bool = True,
              **arguments: Any) -> None:
        """Start the server, with the honest client if it serves more than one; what it holds now
        is the baseline. unit: what the curve counts."""
        self.target = self.private_target(options=options, **arguments)
        self.target.start()
        self.target.take_baseline()
        self.meter = Meter(self.target.state.pid, self.target.log_path)
        self.record.unit = unit
        self.record.calibration = round(calibration() * 1e6, 4)
        if honest and self.device.has("concurrent"):
            self.steady = self._honest()
        self.before = self.settled()
        self.areas = kernel_areas()
        self.kinds("start")

    def connect(self, **capabilities: Any) -> Connection:
        """A negotiated connection with these capabilities beside the usual; closed with the
        scene."""
        return self.opened.enter_context(
            self.target.negotiate(capabilities={**DEFAULT, **capabilities}))

    def raw(self) -> Connection:
        """A connection on which nothing has been said; closed with the scene."""
        return self.opened.enter_context(self.target.connect())

    def flood(self, session: Connection) -> Flood:
        """A flood on a connection."""
        return self.opened.enter_context(Flood(session))

    def attack(self, **capabilities: Any) -> Flood:
        """A flood on a connection of its own, with which the server is compared when all units
        are given back."""
        flood = self.flood(self.connect(**capabilities))
        self.attacked = self.settled()
        return flood

    # ---- the honest client ----

    def _honest(self) -> Steady:
        session = self.connect()
        steps = [*self._reads(), *self._maps(session)]
        alone = Steady(session, steps).stop(max(ROUNDS[0], round(ROUNDS[1] * self.scale)))
        if alone.error:
            raise Failure("effect", f"an honest client without any flood: {alone.text()}")
        self.unloaded = alone.latency
        steady = Steady(session, steps)
        self.opened.callback(steady.close)
        return steady

    def _reads(self) -> Iterator[Step]:
        # A place that stores what is written, or at least one that can be read.
        store = self.device.store
        if store is not None:
            value = 0xA5A5A5A5 & ((1 << 8 * store.width) - 1)
            place = {"region": store.region, "offset": store.offset}
            yield Step(message("REGION_WRITE", **place, data=store.bytes(value)))
            yield Step(message("REGION_READ", **place, count=store.width), store.bytes(value),
                       offset=16, timed=True)
        elif (region := self.device.readable()) is not None:
            yield Step(message("REGION_READ", region=region.index, count=1), timed=True)
        else:
            yield Step(message("DEVICE_GET_INFO"), timed=True)

    def _maps(self, session: Connection) -> Iterator[Step]:
        if not self.device.has("dma_maps"):
            return
        memory = self.fds.memory(PAGE)
        memory.fill(HONEST_SEED)
        place = {"address": HONEST_BASE, "size": PAGE}
        yield Step(message("DMA_MAP", flags=RW, **place), fd=memory)
        if self.device.has("provoke_dma"):
            yield from self._dma(session)
        yield Step(message("DMA_UNMAP", **place))

    def _dma(self, session: Connection) -> Iterator[Step]:
        # The device reads the page into its buffer, where the bytes are compared.
        slot = Vdma(session).slot(0)
        start = slot.prepare("READ", src=HONEST_BASE, length=HONEST_BYTES)
        place, width = SLOT_REGISTERS["STATE"]
        done = STATES.index("DONE").to_bytes(width, "little")
        yield Step(start)
        yield Step(message("REGION_READ", region=0, offset=SLOT_BASE + place, count=width), done,
                   offset=16, again=True)
        yield Step(message("REGION_READ", region=0, offset=BUFFER, count=HONEST_BYTES),
                   pattern(HONEST_SEED, HONEST_BYTES), offset=16)

    def served(self) -> None:
        """The honest client was served to this moment, with the right bytes."""
        if self.steady is None:
            return
        went, self.steady = self.steady.stop(), None
        self.record.honest = Honest.of(self.unloaded, went)
        if went.error:
            raise Failure("effect", f"the honest client beside the flood: {went.text()}",
                          requirement="LIM-OTHERS-001")

    # ---- what the server holds ----

    def sample(self) -> Sample:
        """What it holds now. Its end is a Failure."""
        try:
            return self.meter.sample()
        except Gone as error:
            state = self.target.wait_exit() or self.target.state
            raise Failure("server.exit", f"the process: {state.text()}",
                          before=self.target.log().splitlines()) from error

    def settled(self) -> Sample:
        """What it holds when it has nothing more to do, or after the short duration: beside the
        honest client it need not come to rest (idles() is where it has to)."""
        self.target.rest(short())
        return self.sample()

    def point(self, units: int, flood: Flood | None = None) -> Sample:
        """One more point of the curve, with what lies in the socket of the flood."""
        sample = self.sample()
        if sample.fds > max((value for _, value in self.record.curve("fds")), default=0):
            self.kinds("peak")
        self.record.add(units, sample)
        if flood is not None:
            with suppress(OSError):  # the connection may be closed
                self.record.queues.append([units, *queues(flood.session)])
        areas = kernel_areas()
        if areas is not None and self.areas is not None:
            self.record.kernel_areas = max(areas - self.areas, self.record.kernel_areas or 0)
        return sample

    def kinds(self, when: str) -> None:
        """Its descriptors by kind go into the record."""
        with suppress(OSError):  # its end is seen by who takes a sample
            self.record.fds[when] = dict(sorted(self.meter.fds().items()))

    def sanitized(self) -> bool:
        """Does a sanitizer blur how much memory the server has?"""
        return self.sample().space > SHADOW // 1024

    def blurred(self) -> Collection[str]:
        """The metrics that say nothing."""
        return SHADOWED if self.sanitized() else ()

    def grown(self, since: Sample | None = None) -> dict[str, float]:
        """What it holds beyond the baseline, by metric."""
        now, since = self.sample(), since or self.before
        return {name: getattr(now, name) - getattr(since, name) for name in METRICS}

    # ---- floods ----

    def curve(self, flood: Flood, what: Any, count: int, *, first: int = 0,
              **how: Any) -> Took:
        """Run the flood in STEPS parts, with a point behind each; how as for Flood.run. Goes on
        where it is refused, and ends where the server ends the connection."""
        self.point(first, flood)
        whole = Took()
        marks = [first + count * step // STEPS for step in range(STEPS + 1)]
        for start, end in pairwise(marks):
            took = flood.run(what, end - start, first=start, **how)
            whole.add(took)
            self.point(end, flood)
            if took.end:
                break
        self.note(whole)
        return whole

    def each(self, count: int, act: Callable[[int], Any]) -> None:
        """The same for units that are no messages: act(number) for each."""
        self.record.paced = True
        self.point(0)
        marks = [count * step // STEPS for step in range(STEPS + 1)]
        latency = Latency()
        for start, end in pairwise(marks):
            for number in range(start, end):
                began = perf_counter()
                act(number)
                latency.note(perf_counter() - began)
            self.point(end)
        self.record.latency = latency.sparse()

    def note(self, took: Took) -> None:
        """Where it was refused goes into the record; silence is a Failure."""
        if took.silent:
            raise Failure("reply.missing", f"of many: {took.text()}", requirement="LIM-REFUSE-001")
        self.record.refused_at = took.first_refused
        self.record.errnos = errno_names(took)
        self.record.ended = took.closed
        self.record.latency = took.latency.sparse()

    # ---- what has to hold ----

    def refused(self, took: Took, errnos: Collection[int] = FULL, at: int | None = None) -> None:
        """There were refusals, all with one of these errnos (EAGAIN and 0 tell that there is no
        room, too), the first at that number if it is known."""
        if took.closed:
            return
        strange = set(took.errors) - set(errnos) - {0, EAGAIN}
        if strange:
            words = " or ".join(errorcode.get(number, "0") for number in sorted(errnos) if number)
            raise Failure("reply.errno", took.text(), requirement="LIM-REFUSE-001", allowed=words)
        if at is not None and took.first_refused != at:
            raise Failure("effect", f"refused at {took.first_refused}, the limit is {at}; "
                          f"{took.text()}", requirement="LIM-REFUSE-001")

    def bounded(self, units: int = 0, **costs: float) -> None:
        """It holds no more than ROOM and, for each unit, that much of these metrics (KiB); its log
        has no more than LOG_ROOM bytes."""
        grown = self.grown()
        if grown["log"] > LOG_ROOM:
            raise Failure("effect", f"{grown['log']} bytes of log, {LOG_ROOM} are allowed",
                          requirement="LIM-LOG-001", before=self.target.log()[-2000:].splitlines())
        blurred = self.blurred()
        for name, room in ROOM.items():
            allowed = room + costs.get(name, 0) * units
            if grown[name] > allowed and name not in blurred:
                raise Failure(f"server.leak-{_leak(name)}", f"{name}: {grown[name]} more with "
                              f"{units} {self.record.unit}s, {allowed:.0f} are allowed",
                              requirement="LIM-BOUND-001", came=self.sample().text())

    def even(self) -> None:
        """A command costs at the end about what it costs at the beginning. Told only where the
        costs are above what a clock shows."""
        points = self.record.curve("cpu")
        third = len(points) // 3
        first, last = slope(points[: third + 1]), slope(points[-third - 1 :])
        if rise(points) > CPU_SEEN and last > STEEP * max(first, 0.1):
            raise Failure("effect", f"{last:.2f} us of processor time for a {self.record.unit} at "
                          f"the end, {first:.2f} us at the beginning", requirement="LIM-COST-001")

    def alike(self, large: Callable[[], Any], small: Callable[[], Any]) -> None:
        """The one costs about what the other does. Told only where it is above what a clock
        shows."""
        def cost(act: Callable[[], Any]) -> int:
            before = self.settled().cpu
            act()
            return self.settled().cpu - before

        more, less = cost(large), cost(small)
        if more > STEEP * less + CPU_SEEN:
            raise Failure("effect", f"{more} us of processor time for the large ranges, {less} us "
                          "for the small ones", requirement="LIM-COST-001")

    def prompt(self, times: Collection[float]) -> None:
        """The fastest of several replies is: of one alone a busy machine says nothing."""
        if min(times) > PROMPT:
            raise Failure("effect", f"{1000 * min(times):.0f} ms at the least for the reply to one "
                          f"of {len(times)} commands, {1000 * PROMPT:.0f} are allowed",
                          requirement="LIM-COST-001")

    def recovers_one(self, works: bool) -> None:
        """Whether the next unit succeeded when one was given back."""
        self.record.one = works
        if not works:
            raise Failure("effect", f"one {self.record.unit} is given back and the next is "
                          "refused", requirement="LIM-RECOVER-001")

    def recovers(self, when: str) -> None:
        """It is back where it was before: `when` all units are given back ("all") or the client
        has left ("disconnect"). What works for the client may do so until it leaves."""
        peak = self.peak()
        since = self.attacked if when == "all" else self.before
        if when == "disconnect":
            self.idles()
        ignored = ("threads", *self.blurred()) if when == "all" else self.blurred()
        for _ in range(SETTLED):
            self.settled()
            grown = self.grown(since)
            kept = self._kept(grown, peak, ignored)
            if not kept:
                break
        self.kinds("end")
        self.record.recovered[when] = {name: grown[name] for name in ROOM}
        if kept:
            name = kept[0]
            raise Failure(f"server.leak-{_leak(name)}", f"{name}: {grown[name]} more than before "
                          f"({when}); at the most it was {peak[name]} more",
                          requirement="LIM-RECOVER-001", came=self.sample().text())

    def idles(self) -> None:
        """When the attackers have left, it comes to rest within a second: one of its own processor
        time, as one by the clock says nothing on a busy machine."""
        self.sample()  # it is there
        began, end = self.meter.used(), monotonic() + IDLE_LOOKS * long()
        rests = self.target.rest(short())
        while not rests and monotonic() < end:
            used = self.meter.used() - began
            if used > IDLE:
                raise Failure("effect", f"{used} us of processor time with nothing to do, and it "
                              "goes on", requirement="LIM-RECOVER-001")
            rests = self.target.rest(short())
        self.record.idle = self.meter.used() - began if rests else None

    def serves(self) -> bool:
        """Does it serve one more client now?"""
        try:
            self.target.negotiate().close()
        except Failure as failure:
            if failure.code not in ("reply.closed", "reply.missing", "server.unreachable"):
                raise
            return False
        return True

    def recovers_one_client(self, held: list[Any]) -> None:
        """Where no more clients are served, one is when one of those that are has closed."""
        if not self.device.has("concurrent") or not held or self.serves():
            return
        held.pop(0).close()
        self.recovers_one(any(self.settled() and self.serves() for _ in range(SETTLED)))

    def peak(self) -> dict[str, float]:
        """The most that it has held beyond the baseline, by metric."""
        def most(name: str) -> float:
            seen = [value for _, value in self.record.curve(name)]
            return max(seen, default=0) - getattr(self.before, name)

        return {name: most(name) for name in METRICS}

    def _kept(self, grown: dict[str, float], peak: dict[str, float],
              ignored: Collection[str]) -> list[str]:
        room = {**ROOM, "vmas": 8, "fds": 0, "threads": 0}
        return [name for name in room if name not in ignored
                and grown[name] > room[name] + BACK * max(0, peak[name])]

    def leaves(self, *flooders: Flood) -> None:
        """The attackers close their connections, and the server is back where it was."""
        for flood in flooders:
            flood.session.close()
            flood.close()
        self.recovers("disconnect")

    def figures(self) -> Iterator[str]:
        """What is printed with the summary."""
        if not self.record.points:
            return
        units, peak = self.record.points[-1][0], self.peak()
        yield (f"{self.record.flood}: {units} {self.record.unit}s, anon {peak['anon']:+} KiB, "
               f"vmas {peak['vmas']:+}, fds {peak['fds']:+}, refused at "
               f"{self.record.refused_at} {self.record.errnos}")
        if rates := self.record.rates:
            yield (f"{self.record.flood}: DMA moves {rates['alone'] / MEGA:.0f} MB/s, beside the "
                   f"flood {rates['beside'] / MEGA:.0f} MB/s")


def _leak(name: str) -> str:
    return name if name in ("fds", "vmas", "threads") else "memory"
