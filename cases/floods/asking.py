# SPDX-License-Identifier: BSD-3-Clause
"""A hostile client with the vIOMMU extension: what it proposes, the spaces that it floods, and a
device that it makes ask for pages.

What an Asker sends goes by a flood, which reads its replies on the main socket and nothing by the
twin: what the server sends there stays unread until groups() is asked for. Without a twin socket it
goes by the session. Sizes are bytes.
"""

from __future__ import annotations

import sys
from typing import Any

from vuc import Message, message
from vuc.device import CONFIG
from vuc.flood import Flood, Stride
from vuc.schema import EXTENSION, PASID_SHIFT
from vuc.session import VIOMMU
from vuc.vdma import Slot, Vdma
from vuc.viommu import Group, group_of, word

PAGE_REQUEST = EXTENSION["PAGE_REQUEST"].number
ATS, PRI, PASID = 0x0F, 0x13, 0x1B  # extended capabilities, and registers in them
ATS_CONTROL, ATS_ENABLE = 6, 1 << 15
PRI_CONTROL, PRI_CAPACITY, PRI_ALLOCATION = 4, 8, 12
PRI_ENABLE, PRI_RESET = 1, 2
PASID_CONTROL = 6
FIRST_CAPABILITY = 0x100
COMMAND, BUS_MASTER = 4, 1 << 2


def offer(twin: bool = False, **changes: Any) -> dict[str, Any]:
    """Capabilities with these members of the extension changed, for Scene.connect()."""
    extension = {"viommu": {**VIOMMU["viommu"], **changes}}
    return {**extension, "twin_socket": {"supported": True}} if twin else extension


def in_spaces(name: str, names: str, spaces: int, **fields: Any) -> tuple[Message, Stride]:
    """A DMA_MAP or DMA_UNMAP, and the stride by which its messages go round that many PASIDs."""
    what = message(name, flags=word(names, 0), **fields)
    return what, Stride("flags", what.values["flags"], 1 << PASID_SHIFT, period=spaces)


class Asker:
    """A device that asks for pages, and the client that lets it. `groups` are all that came,
    `markers` the PASIDs of stop markers, in order."""

    def __init__(self, flood: Flood):
        self.session = flood.session
        self.flood = flood
        self.vdma = Vdma(self)  # asks by call()
        self.groups: list[Group] = []
        self.markers: list[int | None] = []

    # ---- what goes to the server ----

    def call(self, what: Message | str, **fields: Any) -> Any:
        """Send it, and take the reply, which has to be a success. Where the twin socket is left
        alone nothing is returned."""
        if not self.session.twin:
            return self.session.call(what, **fields)
        one = message(what, **fields) if isinstance(what, str) else what
        took = self.flood.run(one, 1)
        assert took.succeeded, f"{one.text()}: {took.text()}"
        return None

    def slot(self, number: int) -> Slot:
        """A slot of the device."""
        return self.vdma.slot(number)

    def restart(self, number: int, address: int, size: int, **how: Any) -> None:
        """End what goes on in that slot, and start an operation that asks for these pages."""
        slot = self.slot(number)
        slot.step("abort")
        slot.start("FILL", dst=address, length=size, pages=True, **how)

    # ---- what came ----

    def take(self) -> list[Group]:
        """Take in what the server has to send, until no more comes; the groups that are new."""
        before = len(self.groups)
        while self._take():
            pass  # there is room for more now
        return self.groups[before:]

    def _take(self) -> int:
        count = 0
        self.session.barrier()
        while (request := self.session.pending_request()) is not None:
            count += 1
            if request.header.command == PAGE_REQUEST:
                self._keep(group_of(request))
        return count

    def _keep(self, group: Group) -> None:
        if group.ranges:
            self.groups.append(group)
        else:
            self.markers.append(group.pasid)

    def respond(self, group: Group, code: int = 0) -> None:
        """Answer a group, which has to be outstanding."""
        self.session.call("PAGE_RESPONSE", cookie=group.cookie, code=code)

    # ---- configuration space ----

    def enable(self, pages: int) -> int:
        """Let it ask for so many pages, in all spaces; how many the register holds then."""
        pri = self.capability(PRI)
        self.write_config(self.capability(PASID) + PASID_CONTROL, 1)
        self.write_config(pri + PRI_CONTROL, PRI_RESET)
        self.write_config(COMMAND, self.read_config(COMMAND) | BUS_MASTER)
        self.write_config(self.capability(ATS) + ATS_CONTROL, ATS_ENABLE)
        self.write_config(pri + PRI_ALLOCATION, pages, 4)
        self.write_config(pri + PRI_CONTROL, PRI_ENABLE)
        return self.read_config(pri + PRI_ALLOCATION, 4)

    def reset(self) -> None:
        """Reset the interface: nothing is outstanding."""
        self.write_config(self.capability(PRI) + PRI_CONTROL, PRI_RESET)

    def capability(self, wanted: int) -> int:
        """The offset of an extended capability, which is there."""
        at = FIRST_CAPABILITY
        while (head := self.read_config(at, 4)) & 0xFFFF != wanted:
            at = head >> 20 & ~3
            assert at, f"no extended capability {wanted:#x}"
        return at

    def read_config(self, offset: int, width: int = 2) -> int:
        """A number of the configuration space."""
        reply = self.session.call("REGION_READ", region=CONFIG, offset=offset, count=width)
        return int.from_bytes(reply.data, sys.byteorder)

    def write_config(self, offset: int, value: int, width: int = 2) -> None:
        """Write it."""
        self.session.call("REGION_WRITE", region=CONFIG, offset=offset,
                          data=value.to_bytes(width, sys.byteorder))
