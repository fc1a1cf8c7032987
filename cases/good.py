# SPDX-License-Identifier: BSD-3-Clause
"""One good message of each command, and what tells afterwards whether it was executed.

A Good is made for a device; prepare() sets the stage on a session, so that a refusal and an
execution can be told apart; wrong.py changes one thing in its message(). After the reply,
refused() asserts that nothing has changed, and accepted() that what the reply says is true. Both
leave the session as it was before prepare(). Sizes and addresses are bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mapping import BASE, RW, SIZE, assert_nothing_mapped, map_range, unmap_range
from vuc import Failure, Message, message, structure
from vuc.device import Device
from vuc.evidence import Fds
from vuc.session import Connection, Reply

WORD = 4
OLD = 0xA5A5A5A5A5A5A5A5  # what is stored before a wrong write
NEW = 0x5A5A5A5A5A5A5A5A  # what it would store


class Good:
    """A good message. `needs` are the features without which there is none."""

    command = ""
    needs: tuple[str, ...] = ()

    def __init__(self, device: Device):
        self.device = device

    def message(self, variant: str = "") -> Message:
        """The good message; some commands have several, each with a name."""
        return message(self.command)

    def passed(self, variant: str = "") -> list:
        """The descriptors that it takes."""
        return []

    def prepare(self, session: Connection, fds: Fds) -> None:
        """Set the stage on a negotiated session; descriptors come from `fds`."""
        self.session = session
        self.fds = fds

    def refused(self, wrong: Message) -> None:
        """Nothing has changed."""
        self.session.barrier()

    def accepted(self, wrong: Message, reply: Reply) -> None:
        """What the reply says has happened."""
        self.session.barrier()

    def later(self, session: Connection) -> None:
        """Nothing has changed that outlives the session which the stage was set on."""
        session.barrier()

    @property
    def max_fds(self) -> int:
        """The most descriptors that the server takes in a message."""
        return self.session.limits.max_msg_fds

    @property
    def max_data(self) -> int:
        """The most bytes that the server moves by one message."""
        return self.session.limits.max_data_xfer_size


def assert_within_argsz(wrong: Message, reply: Reply) -> None:
    """The reply is not longer than the request allows."""
    argsz = wrong.values.get("argsz")
    if argsz is not None and len(reply.payload) > argsz:
        raise Failure("reply.field", requirement="ARGSZ-GEN-004", sent=wrong.text(),
                      allowed=f"a payload of at most {argsz} bytes", came=reply.text())


class Question(Good):
    """A command whose whole effect is its reply."""

    def prepare(self, session: Connection, fds: Fds) -> None:
        super().prepare(session, fds)
        self.before = session.call(self.message())

    def refused(self, wrong: Message) -> None:
        assert self.session.call(self.message()).payload == self.before.payload

    def accepted(self, wrong: Message, reply: Reply) -> None:
        assert_within_argsz(wrong, reply)
        if wrong.values["argsz"] >= self.before.argsz:
            assert reply.payload == self.before.payload
        self.refused(wrong)


class GetInfo(Question):
    """DEVICE_GET_INFO."""

    command = "DEVICE_GET_INFO"


class GetRegionInfo(Question):
    """DEVICE_GET_REGION_INFO of the first region."""

    command = "DEVICE_GET_REGION_INFO"

    @property
    def end(self) -> int:
        """The first index that there is not."""
        return self.device.info.num_regions


class GetRegionIoFds(GetRegionInfo):
    """DEVICE_GET_REGION_IO_FDS of the first region."""

    command = "DEVICE_GET_REGION_IO_FDS"
    needs = ("io_fds",)


class GetIrqInfo(Question):
    """DEVICE_GET_IRQ_INFO of the first index."""

    command = "DEVICE_GET_IRQ_INFO"

    @property
    def end(self) -> int:
        """The first index that there is not."""
        return self.device.info.num_irqs


class Feature(Question):
    """DEVICE_FEATURE that asks for a feature."""

    command = "DEVICE_FEATURE"
    needs = ("migration",)

    def message(self, variant: str = "") -> Message:
        return message(self.command, flags="PROBE|MIGRATION", argsz=8)

    def accepted(self, wrong: Message, reply: Reply) -> None:
        assert_within_argsz(wrong, reply)
        self.refused(wrong)


class Migration(Good):
    """MIG_DATA_READ and MIG_DATA_WRITE of a device that runs: good, but not now."""

    needs = ("migration",)

    def __init__(self, device: Device, command: str):
        super().__init__(device)
        self.command = command

    def message(self, variant: str = "") -> Message:
        return message(self.command, size=WORD)


class Map(Good):
    """DMA_MAP with memory, or without ("no-fd"), right behind a range that is mapped."""

    command = "DMA_MAP"
    needs = ("dma_maps",)
    before = (BASE - SIZE, SIZE)

    def message(self, variant: str = "") -> Message:
        return message(self.command, flags=RW, address=BASE, size=SIZE)

    def passed(self, variant: str = "") -> list:
        return [] if variant else [self.memory]

    def prepare(self, session: Connection, fds: Fds) -> None:
        super().prepare(session, fds)
        self.memory = fds.memory(SIZE)
        map_range(session, *self.before)

    def refused(self, wrong: Message) -> None:
        address, size = wrong.values["address"], wrong.values["size"]
        if size:
            self.session.refuse("DMA_UNMAP", address=address, size=size)
        self._as_before()

    def accepted(self, wrong: Message, reply: Reply) -> None:
        address, size = wrong.values["address"], wrong.values["size"]
        if size:
            unmap_range(self.session, address, size)
        else:
            self.session.outcome("DMA_UNMAP", address=address, size=size,
                                 allowed=("success", "error"))
        self._as_before()

    def _as_before(self) -> None:
        assert_nothing_mapped(self.session)
        unmap_range(self.session, *self.before)
        assert_let_go(self.device, self.memory)


class Unmap(Good):
    """DMA_UNMAP of a range that is mapped with memory."""

    command = "DMA_UNMAP"
    needs = ("dma_maps",)

    def message(self, variant: str = "") -> Message:
        return message(self.command, address=BASE, size=SIZE)

    def prepare(self, session: Connection, fds: Fds) -> None:
        super().prepare(session, fds)
        self.memory = fds.memory(SIZE)
        map_range(session, fds=[self.memory])

    def refused(self, wrong: Message) -> None:
        unmap_range(self.session)
        self._gone()

    def accepted(self, wrong: Message, reply: Reply) -> None:
        assert_within_argsz(wrong, reply)
        self._gone()

    def _gone(self) -> None:
        assert_let_go(self.device, self.memory)
        assert_nothing_mapped(self.session)


def assert_let_go(device: Device, memory: Any) -> None:
    """The server holds neither descriptor nor mapping of the memory."""
    memory.sent()
    if device.has("lease"):
        assert not memory.held(), "the server keeps the memory"


class SetIrqs(Good):
    """DEVICE_SET_IRQS on the first vector, to which an eventfd is assigned already. Variants:
    assign another one, "deassign", trigger by "none" or by "bool"."""

    command = "DEVICE_SET_IRQS"
    needs = ("irq1",)
    flags = {
        "": "DATA_EVENTFD|ACTION_TRIGGER",
        "deassign": "DATA_EVENTFD|ACTION_TRIGGER",
        "none": "DATA_NONE|ACTION_TRIGGER",
        "bool": "DATA_BOOL|ACTION_TRIGGER",
    }

    def __init__(self, device: Device):
        super().__init__(device)
        self.irq = device.irq_with()

    @property
    def end(self) -> int:
        """The first index that there is not."""
        return self.device.info.num_irqs

    def message(self, variant: str = "") -> Message:
        return message(self.command, flags=self.flags[variant], index=self.irq.index, count=1,
                       data=b"\1" if variant == "bool" else b"")

    def passed(self, variant: str = "") -> list:
        return [] if variant else [self.new]

    def prepare(self, session: Connection, fds: Fds) -> None:
        super().prepare(session, fds)
        self.new = fds.probe()
        taken = session.outcome(self.message(), [self.new], allowed=("success", "error"))
        if taken.kind == "error":
            self.new = fds.eventfd()  # a server may take nothing else
        self.old = fds.eventfd()
        session.call(self.message(), [self.old])

    def fire(self) -> None:
        """Raise the first vector."""
        if self.device.has("raise_irq"):
            self.device.raise_irq(self.session, self.irq.index, 0)
        else:
            self.session.call(self.message("none"))

    def signals(self) -> int:
        """How often the new descriptor was signalled."""
        return self.new.count() if hasattr(self.new, "count") else self.new.bytes() // 8

    def refused(self, wrong: Message) -> None:
        assert self.old.count() == 0, "the refused command signalled"
        self.fire()
        assert self.old.wait() == 1, "the earlier assignment is gone"
        assert self.signals() == 0, "what was refused is assigned"
        if hasattr(self.new, "released"):
            assert self.new.released(), "the server keeps the descriptor"

    def accepted(self, wrong: Message, reply: Reply) -> None:
        # What has become of the assignments is open; it does no harm when the device uses them.
        if self.device.has("raise_irq"):
            self.fire()
        self.session.barrier()


class Read(Good):
    """REGION_READ of the first bytes of a region."""

    command = "REGION_READ"
    needs = ("readable_region",)

    def __init__(self, device: Device):
        super().__init__(device)
        self.region = device.readable()

    @property
    def end(self) -> int:
        """The first index that there is not."""
        return self.device.info.num_regions

    @property
    def width(self) -> int:
        """The bytes of the access."""
        return min(WORD, self.region.size)

    def message(self, variant: str = "") -> Message:
        return message(self.command, region=self.region.index, offset=0, count=self.width)

    def refused(self, wrong: Message) -> None:
        assert len(self.session.call(self.message()).data) == self.width

    def accepted(self, wrong: Message, reply: Reply) -> None:
        assert (reply.count, len(reply.data)) == (wrong.values["count"],) * 2
        self.refused(wrong)


class Write(Good):
    """REGION_WRITE to the place that stores, over something else."""

    command = "REGION_WRITE"
    needs = ("store",)

    def __init__(self, device: Device):
        super().__init__(device)
        self.store = device.store
        self.width = self.store.width if self.store else WORD
        self.mask = (1 << 8 * self.width) - 1

    @property
    def end(self) -> int:
        """The first index that there is not."""
        return self.device.info.num_regions

    @property
    def region(self) -> Any:
        """The region that it writes to."""
        return self.device.regions[self.store.region]

    def data(self, size: int) -> bytes:
        """Bytes that are not stored before."""
        return bytes([NEW & 0xFF]) * size

    def message(self, variant: str = "") -> Message:
        return message(self.command, region=self.store.region, offset=self.store.offset,
                       data=self.data(self.width))

    def prepare(self, session: Connection, fds: Fds) -> None:
        super().prepare(session, fds)
        self.store.write(session, OLD & self.mask)
        self.last = self._last_bytes()

    def _last_bytes(self) -> bytes | None:
        found = self.session.outcome(
            "REGION_READ", region=self.region.index, offset=self.region.size - self.width,
            count=self.width, allowed=("success", "error"))
        return found.reply.data if found.kind == "success" else None

    def refused(self, wrong: Message) -> None:
        assert self.store.read(self.session) == OLD & self.mask, "the refused bytes are stored"
        assert self._last_bytes() == self.last, "the end of the region has changed"

    def accepted(self, wrong: Message, reply: Reply) -> None:
        assert reply.count == wrong.values["count"]
        if not reply.count:
            self.refused(wrong)

    def later(self, session: Connection) -> None:
        self.session = session
        self.refused(self.message())


class WriteMulti(Write):
    """REGION_WRITE_MULTI with one write to the place that stores."""

    command = "REGION_WRITE_MULTI"
    needs = ("write_multiple", "store")

    def message(self, variant: str = "") -> Message:
        entry = structure("WRITE_MULTI_ENTRY", region=self.store.region, offset=self.store.offset,
                          count=self.width, data=NEW & self.mask)
        return message(self.command, wr_cnt=1, data=entry)

    def accepted(self, wrong: Message, reply: Reply) -> None:
        if not reply.wr_cnt:
            self.refused(wrong)


class Reset(Good):
    """DEVICE_RESET, which may clear what is stored."""

    command = "DEVICE_RESET"
    needs = ("reset",)

    def prepare(self, session: Connection, fds: Fds) -> None:
        super().prepare(session, fds)
        self.write = Write(self.device) if self.device.store else None
        if self.write:
            self.write.prepare(session, fds)

    def refused(self, wrong: Message) -> None:
        if self.write:
            self.write.refused(wrong)
        else:
            super().refused(wrong)

    def later(self, session: Connection) -> None:
        if self.write:
            self.write.later(session)
        else:
            super().later(session)


_GOODS = (
    Map, Unmap, GetInfo, GetRegionInfo, GetRegionIoFds, GetIrqInfo, SetIrqs, Read, Write, Reset,
    WriteMulti, Feature,
)
COMMANDS_OF: dict[str, type[Good]] = {kind.command: kind for kind in _GOODS}
NEEDS: dict[str, Sequence[str]] = {
    **{name: kind.needs for name, kind in COMMANDS_OF.items()},
    "MIG_DATA_READ": Migration.needs,
    "MIG_DATA_WRITE": Migration.needs,
    "VERSION": (),
}


def good_of(command: str, device: Device) -> Good:
    """The good message of a command other than VERSION."""
    if command in COMMANDS_OF:
        return COMMANDS_OF[command](device)
    return Migration(device, command)
