# SPDX-License-Identifier: BSD-3-Clause
"""What the device behind the server offers, found out by asking, once per run.

Asking takes a connection, and some servers serve one at a time: survey() asks what cases use
while they have theirs, has() is for the time before a case.
`has(name)` decides the features that cases need (register.FEATURES); the profile's [features]
override what probing finds. Every probe has connections of its own, so that a server which loses
its footing over one spoils nothing else; it is started anew when a probe has ended it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import SimpleNamespace
from typing import Any

from .duration import short
from .evidence import oracles
from .failure import Broken, Failure
from .message import Message, message, parse
from .register import FEATURES
from .schema import STRUCTURES, constants
from .session import DEFAULT, VIOMMU, Connection, Reply
from .target import Target

REGION = constants.REGION_FLAGS
IRQ = constants.IRQ_INFO_FLAGS
CONFIG = constants.REGION_INDEX.CONFIG
STANDARD_REGIONS = constants.REGION_INDEX.NUM
_oracles = cache(oracles)

# PCI configuration space.
# What can be had in the poc dialect of the vIOMMU extension, which negotiates nothing.
POC = {"pasid_bits": constants.LIMITS.PASID_BITS, "page_requests": 1}

CONFIG_HEADER_SIZE = 64
CONFIG_SIZE_EXTENDED = 4096
BARS = 6
BAR_OFFSET = 0x10
BAR_KIND = 7  # bits 2:0 of the register
BAR_MEMORY_64 = 4
INTERRUPT_PIN = 0x3D
INTERRUPT_LINE = 0x3C
STATUS = 0x06
STATUS_CAPABILITIES = 0x10
CAPABILITIES = 0x34
CAPABILITY_PM = 0x01
CAPABILITY_MSI = 0x05
CAPABILITY_EXPRESS = 0x10
CAPABILITY_MSIX = 0x11
DEVICE_CAPABILITIES = 4
FUNCTION_LEVEL_RESET = 1 << 28

# BAR0 of the test device vdma.
VDMA_MAGIC = 0x414D4456
VDMA_CAPS = 0x08
VDMA_DIRECT = 1
VDMA_MESSAGES = 2
VDMA_PASID = 4
VDMA_PAGES = 8
VDMA_IRQ = 0x10


@dataclass(frozen=True)
class Region:
    """One region: size and offset are bytes, flags are REGION_FLAGS. areas: (offset, size) of the
    sparse mmap capability; type: (type, subtype) of the type capability, or None."""

    index: int
    size: int
    flags: int
    offset: int
    areas: tuple[tuple[int, int], ...] = ()
    type: tuple[int, int] | None = None

    @property
    def readable(self) -> bool:
        """Can it be read by messages?"""
        return bool(self.size and self.flags & REGION.READ)

    @property
    def writable(self) -> bool:
        """Can it be written by messages?"""
        return bool(self.size and self.flags & REGION.WRITE)

    @property
    def mappable(self) -> bool:
        """Can it, or a part of it, be mapped?"""
        return bool(self.size and self.flags & REGION.MMAP)


@dataclass(frozen=True)
class Irq:
    """One interrupt index: count is the number of its vectors, flags are IRQ_INFO_FLAGS."""

    index: int
    count: int
    flags: int


@dataclass(frozen=True)
class Store:
    """Where the device keeps what is written: `size` bytes at `offset`, accessed by `width`."""

    region: int
    offset: int
    width: int
    size: int = field(default=0)

    def read(self, session: Connection, at: int = 0) -> int:
        """The number at `at` bytes from its start, by message."""
        reply = session.call("REGION_READ", region=self.region, offset=self.offset + at,
                             count=self.width)
        return int.from_bytes(reply.data, sys.byteorder)

    def write(self, session: Connection, value: int, at: int = 0) -> Reply:
        """Store a number at `at` bytes from its start, by message."""
        return session.call("REGION_WRITE", region=self.region, offset=self.offset + at,
                            data=self.bytes(value))

    def bytes(self, value: int) -> bytes:
        """The number as the device takes it."""
        return value.to_bytes(self.width, sys.byteorder)


def capability_chain(reply: Reply) -> Iterator[tuple[SimpleNamespace, int]]:
    """Each capability of a region info reply with its offset in the payload; a chain that leaves
    the payload or runs in a circle is a Failure (REG-CAP-001)."""
    at, seen = reply.cap_offset if reply.flags & REGION.CAPS else 0, set()
    while at:
        if at in seen:
            raise Failure("reply.field", "the capabilities run in a circle", came=reply.text())
        seen.add(at)
        try:
            header = parse("CAP_HEADER", reply.payload, at)
        except ValueError as error:
            raise Failure("reply.field", str(error), came=reply.text()) from error
        yield header, at
        at = header.next


def _sparse_areas(reply: Reply, at: int) -> tuple[tuple[int, int], ...]:
    capability = parse("CAP_SPARSE_MMAP", reply.payload, at)
    size = STRUCTURES["SPARSE_AREA"].request_size
    areas = (parse("SPARSE_AREA", capability.rest, i * size) for i in range(capability.nr_areas))
    return tuple((area.offset, area.size) for area in areas)


def region_of(reply: Reply) -> Region:
    """The region that a DEVICE_GET_REGION_INFO reply describes, capabilities included."""
    areas, kind = (), None
    for header, at in capability_chain(reply):
        try:
            if header.id == constants.REGION_CAPS.SPARSE_MMAP:
                areas = _sparse_areas(reply, at)
            elif header.id == constants.REGION_CAPS.TYPE:
                found = parse("CAP_TYPE", reply.payload, at)
                kind = (found.type, found.subtype)
        except ValueError as error:
            raise Failure("reply.field", str(error), came=reply.text()) from error
    return Region(reply.index, reply.size, reply.flags, reply.offset, areas, kind)


class Device:
    """The device behind a target. Everything is asked when it is first wanted."""

    def __init__(self, target: Target):
        self.target = target
        self.profile = target.profile
        self._found: dict[str, bool] = {}

    def survey(self) -> None:
        """Ask for everything that is an attribute, so that it is known while a case has the only
        connection. Ends at the first that fails; that one fails again when it is wanted."""
        for name in ("info", "regions", "irqs", "store", "vdma_caps"):
            if not self._probe(hasattr, self, name):
                return

    # ---- what GET_INFO, GET_REGION_INFO and GET_IRQ_INFO say ----

    @contextmanager
    def _session(self, capabilities: Any = DEFAULT) -> Iterator[Connection]:
        with self.target.negotiate(capabilities) as session:
            yield session

    @cached_property
    def info(self) -> SimpleNamespace:
        """flags (DEVICE_FLAGS), num_regions, num_irqs."""
        with self._session() as session:
            return SimpleNamespace(**session.call("DEVICE_GET_INFO").values)

    @cached_property
    def regions(self) -> list[Region]:
        """All regions, by index."""
        with self._session() as session:
            return [
                region_of(session.call("DEVICE_GET_REGION_INFO", index=index))
                for index in range(self.info.num_regions)
            ]

    @cached_property
    def irqs(self) -> list[Irq]:
        """All interrupt indexes."""
        with self._session() as session:
            replies = [
                session.call("DEVICE_GET_IRQ_INFO", index=index)
                for index in range(self.info.num_irqs)
            ]
        return [Irq(reply.index, reply.count, reply.flags) for reply in replies]

    def readable(self) -> Region | None:
        """A region that can be read; the configuration space before others."""
        ordered = sorted(self.regions, key=lambda region: region.index != CONFIG)
        return next((region for region in ordered if region.readable), None)

    def irq_with(self, flags: int | str = IRQ.EVENTFD, count: int = 1) -> Irq | None:
        """The interrupt index with all these flags (a number, or names joined by '|') and at
        least `count` vectors that has most of them."""
        found = self._irqs_with(flags, count)
        return max(found, key=lambda irq: irq.count) if found else None

    def _irqs_with(self, flags: int | str, count: int) -> list[Irq]:
        if isinstance(flags, str):
            flags = sum(getattr(IRQ, name) for name in flags.split("|"))
        return [irq for irq in self.irqs if irq.flags & flags == flags and irq.count >= count]

    # ---- where it stores, how it is provoked ----

    @cached_property
    def store(self) -> Store | None:
        """A location that stores what is written: the profile's, else the interrupt line register
        of the configuration space if it does."""
        place = self.profile.store
        if place is not None:
            return Store(place.region, place.offset, place.width, place.size)
        guess = Store(CONFIG, INTERRUPT_LINE, 1, 1)
        return guess if self.has("pci_config") and self._probe(self._stores, guess) else None

    def _stores(self, store: Store) -> bool:
        with self._session() as session:
            old = store.read(session)
            new = old ^ ((1 << 8 * store.width) - 1)
            store.write(session, new)
            kept = store.read(session) == new
            store.write(session, old)
            return kept

    def irq_message(self, index: int, vector: int) -> Message:
        """The message that makes the test device raise a vector."""
        number = vector if index == constants.IRQ_INDEX.MSIX else (index + 1) << 16 | vector
        return message("REGION_WRITE", region=0, offset=VDMA_IRQ,
                       data=number.to_bytes(4, sys.byteorder))

    def raise_irq(self, session: Connection, index: int, vector: int) -> None:
        """Make the test device raise a vector. It may do so behind its reply: wait on the
        eventfd, or put a barrier before saying that nothing came."""
        session.call(self.irq_message(index, vector))

    def read_number(self, session: Connection, region: int, offset: int, width: int) -> int:
        """The number at that place, by message."""
        return Store(region, offset, width).read(session)

    @cached_property
    def vdma_caps(self) -> int | None:
        """The CAPS register of the test device; None if it is another device."""
        if self.profile.device != "vdma":
            return None
        with self._session() as session:
            if self.read_number(session, 0, 0, 4) != VDMA_MAGIC:
                raise Broken(f"{self.profile.name}: the profile says vdma, the device does not")
            return self.read_number(session, 0, VDMA_CAPS, 4)

    @cached_property
    def viommu(self) -> dict[str, Any]:
        """What the server answers to a client that offers all of the vIOMMU extension, or what
        goes for the poc dialect; none without it, or where it refuses such a client."""
        if self.has("poc"):
            return {**POC, "caps": self.vdma_caps or 0}
        found: dict[str, Any] = {}

        def ask() -> bool:
            with self._session(VIOMMU) as session:
                found.update(session.viommu)
                found["caps"] = self._caps(session)
                return True

        self._probe(ask)
        return found

    def _caps(self, session: Connection) -> int:
        vdma = self.profile.device == "vdma"
        return self.read_number(session, 0, VDMA_CAPS, 4) if vdma else 0

    # ---- features ----

    def has(self, feature: str) -> bool:
        """Is the feature there? The profile's word before what probing finds."""
        if feature not in FEATURES:
            raise Broken(f"no feature {feature!r}")
        if feature not in self._found:
            told = self.profile.features.get(feature)
            self._found[feature] = _PROBES[feature](self) if told is None else told
        return self._found[feature]

    def _probe(self, ask: Callable[..., bool], *arguments: Any) -> bool:
        """The answer to a question that a server may refuse, or fall over."""
        try:
            return ask(*arguments)
        except Failure as failure:
            if failure.code != "reply.unexpected-error":
                self.target.wait_exit(short())
            return False
        finally:
            if not self.target.state.alive:
                self.target.restart()

    def any_region(self, accept: Callable[[Region], Any]) -> bool:
        """Is there such a region?"""
        return any(accept(region) for region in self.regions if region.size)

    @cached_property
    def migration_flags(self) -> int | None:
        """The flags of the migration feature; None for a device without it."""
        flags: list[int] = []

        def ask() -> bool:
            with self._session() as session:
                reply = session.call("DEVICE_FEATURE", flags="GET|MIGRATION")
                flags.append(parse("MIGRATION", reply.data).flags)
                return True

        try:
            return flags[0] if self._probe(ask) else None
        except ValueError:
            return None

    def _maps(self) -> bool:
        with self._session() as session:
            # That it can be unmapped again is for the cases to show.
            session.call("DMA_MAP", flags="READ|WRITE", address=0x1000, size=0x1000)
        return True

    def _offers_twin(self) -> bool:
        with self._session({**DEFAULT, "twin_socket": {"supported": True}}) as session:
            return session.twin

    def _writes_multiple(self) -> bool:
        with self._session() as session:
            return session.limits.write_multiple

    def _limits_transfers(self) -> bool:
        with self._session() as session:
            return session.limits.max_data_xfer_size < constants.DEFAULTS.MAX_DATA_XFER_SIZE

    def _visible(self) -> bool:
        with self._session():
            return self.target.resources() is not None

    def _logs(self) -> bool:
        with self._session() as session:
            for name in ("START", "STOP", "REPORT"):
                session.call("DEVICE_FEATURE", flags=f"PROBE|DMA_LOGGING_{name}")
        return True

    def _io_fds(self, region: Region) -> bool:
        with self._session() as session:
            return session.call("DEVICE_GET_REGION_IO_FDS", index=region.index).count > 0

    def _pci(self, ask: Callable[..., bool], *arguments: Any) -> bool:
        return self.has("pci_config") and self._probe(ask, *arguments)

    def _capability(self, session: Connection, wanted: int | None) -> int:
        # The offset of a PCI capability (None: of the first of any id); 0 if there is none.
        def read(offset: int, width: int) -> int:
            return self.read_number(session, CONFIG, offset, width)

        at = read(CAPABILITIES, 1) if read(STATUS, 2) & STATUS_CAPABILITIES else 0
        for _ in range(CONFIG_HEADER_SIZE):
            if at < CONFIG_HEADER_SIZE:
                break
            if wanted is None or read(at & ~3, 1) == wanted:
                return at & ~3
            at = read((at & ~3) + 1, 1)
        return 0

    def _has_capability(self, wanted: int | None) -> bool:
        with self._session() as session:
            return self._capability(session, wanted) != 0

    def _has_flr(self) -> bool:
        with self._session() as session:
            at = self._capability(session, CAPABILITY_EXPRESS)
            capabilities = at and self.read_number(session, CONFIG, at + DEVICE_CAPABILITIES, 4)
            return bool(capabilities & FUNCTION_LEVEL_RESET)

    def _has_pin(self) -> bool:
        with self._session() as session:
            return self.read_number(session, CONFIG, INTERRUPT_PIN, 1) != 0

    def _has_wide_bar(self) -> bool:
        with self._session() as session:
            return any(
                self.read_number(session, CONFIG, BAR_OFFSET + 4 * region.index, 4) & BAR_KIND
                == BAR_MEMORY_64
                for region in self.regions[:BARS] if region.size
            )


def _config_usable(device: Device) -> bool:
    return device.any_region(
        lambda region: region.index == CONFIG and region.readable and region.writable
        and region.size >= CONFIG_HEADER_SIZE
    )


def _never(_: Device) -> bool:
    # Nobody can tell from outside: the profile says it.
    return False


# One row per feature of the register.
_PROBES: dict[str, Callable[[Device], bool]] = {
    "dma_maps": lambda d: d._probe(d._maps),
    "readable_region": lambda d: d.readable() is not None,
    "store": lambda d: d.store is not None,
    "mmap_region": lambda d: d.any_region(lambda r: r.mappable),
    "sparse_region": lambda d: d.any_region(lambda r: r.areas),
    "region_without_read": lambda d: d.any_region(lambda r: not r.readable),
    "region_without_write": lambda d: d.any_region(lambda r: not r.writable),
    "device_regions": lambda d: d.info.num_regions > STANDARD_REGIONS,
    "io_fds": lambda d: d.any_region(lambda r: d._probe(d._io_fds, r)),
    "ioeventfd_effect": _never,
    "pci_config": _config_usable,
    "bar": lambda d: d._pci(lambda: d.any_region(lambda r: r.index < BARS)),
    "wide_bar": lambda d: d._pci(d._has_wide_bar),
    "huge_bar": lambda d: d._pci(
        lambda: d.any_region(lambda r: r.index < BARS and r.size >= 1 << 32)),
    "rom": lambda d: d._pci(
        lambda: d.any_region(lambda r: r.index == constants.REGION_INDEX.ROM)),
    "intx": lambda d: d._pci(d._has_pin),
    "capability_list": lambda d: d._pci(d._has_capability, None),
    "extended_config": lambda d: d._pci(lambda: d.regions[CONFIG].size >= CONFIG_SIZE_EXTENDED),
    "pm": lambda d: d._pci(d._has_capability, CAPABILITY_PM),
    "msi": lambda d: d._pci(d._has_capability, CAPABILITY_MSI),
    "msix": lambda d: d._pci(d._has_capability, CAPABILITY_MSIX),
    "pcie": lambda d: d._pci(d._has_capability, CAPABILITY_EXPRESS),
    "reset": lambda d: bool(d.info.flags & constants.DEVICE_FLAGS.RESET),
    "no_reset": lambda d: not d.info.flags & constants.DEVICE_FLAGS.RESET,
    "flr": lambda d: d._pci(d._has_flr),
    "irq1": lambda d: d.irq_with() is not None,
    "irq2": lambda d: d.irq_with(count=2) is not None,
    "two_irqs": lambda d: len(d._irqs_with(IRQ.EVENTFD, 1)) >= 2,
    "maskable": lambda d: d.irq_with(IRQ.MASKABLE) is not None,
    "automasked": lambda d: d.irq_with(IRQ.AUTOMASKED) is not None,
    "noresize": lambda d: d.irq_with(IRQ.NORESIZE) is not None,
    "raise_irq": lambda d: d.vdma_caps is not None,
    "migration": lambda d: d.migration_flags is not None,
    "pre_copy": lambda d: bool((d.migration_flags or 0) & constants.MIGRATION_FLAGS.PRE_COPY),
    "no_pre_copy": lambda d: d.has("migration") and not d.has("pre_copy"),
    "migration_error": _never,
    "dma_logging": lambda d: d._probe(d._logs),
    "reconnect": lambda d: d.target.find_sessions() != "one",
    "concurrent": lambda d: d.target.find_sessions() == "many",
    "twin": lambda d: d._probe(d._offers_twin),
    "server_dma": lambda d: bool((d.vdma_caps or 0) & VDMA_MESSAGES),
    "provoke_dma": lambda d: bool((d.vdma_caps or 0) & (VDMA_DIRECT | VDMA_MESSAGES)),
    "write_multiple": lambda d: d._writes_multiple(),
    "no_write_multiple": lambda d: not d.has("write_multiple"),
    "small_transfers": lambda d: d._limits_transfers(),
    "impatient": _never,
    "required_capability": _never,
    "viommu": lambda d: bool(d.viommu.get("version")),
    "no_viommu": lambda d: not d.has("any_viommu"),
    "poc": _never,
    "any_viommu": lambda d: d.has("viommu") or d.has("poc"),
    "pasid": lambda d: bool(d.viommu.get("pasid_bits")),
    "unmap_range": lambda d: d.viommu.get("unmap_range") is True,
    "replace": lambda d: d.viommu.get("replace") is True,
    "backing": lambda d: d.viommu.get("backing") is True,
    "page_requests": lambda d: bool(d.viommu.get("page_requests")),
    "device_pages": lambda d: bool(d.viommu.get("caps", 0) & VDMA_PAGES),
    "device_pasid": lambda d: bool(d.viommu.get("caps", 0) & VDMA_PASID),
    "process": lambda d: not d.target.attached,
    "proc": lambda d: d._visible(),
    "socket_path_option": lambda d: any("--socket-path" in word for word in d.profile.argv),
    "fd_option": _never,
    "drain_option": _never,
    "dialect_option": _never,
    "installed": lambda d: d.profile.prefix is not None,
    "client": _never,
    "lease": lambda _: "lease" in _oracles()[0],
    "seal": lambda _: "seal" in _oracles()[0],
    "pipe": lambda _: "pipe" in _oracles()[0],
}
