# SPDX-License-Identifier: BSD-3-Clause
"""Clients that wait for a reply of their own before they answer, in every order, on one socket and
on two: rows B19, J03 and J04 of the catalogue (README.md) with the vIOMMU extension."""

from itertools import cycle, permutations

import pytest
from dma import on_each_socket
from flight import SEED
from mapping import BASE, PAGE, SIZE
from spaces import P1, P2, SpaceRange, paging_guest

from vuc import covers, in_each_dialect, needs
from vuc.exchange import Refusal
from vuc.viommu import word

pytestmark = needs("viommu", "dma_maps", "page_requests", "device_pages", "device_pasid",
                   "provoke_dma", "server_dma")

FAR = BASE + 16 * SIZE
STEPS = ("neighbour", "messages", "answer", "respond")
FORMS = ("", "RANGE", "ALL")
# Each order, by one of the forms.
ORDERS = [pytest.param(order, form, id="-".join((*order, form.lower() or "exact")),
                       marks=[needs("unmap_range")] if form == "RANGE" else [])
          for order, form in zip(permutations(STEPS), cycle(FORMS), strict=False)]


class Blocking:
    """A client with an operation that waits for a page of P1, in slot 0, beside a page that it has;
    and one that waits for its answer to a DMA_READ in P2, in slot 1. It does one thing after the
    other and takes in nothing meanwhile but the reply that it waits for."""

    def __init__(self, guest, names):
        self.guest, self.names = guest, names
        self.neighbour = guest.iommu.map(BASE, pasid=P1)
        guest.iommu.enter(BASE + PAGE, offset=PAGE, pasid=P1)
        guest.iommu.policy = "never"
        self.group = guest.waits("FILL", BASE, 2 * PAGE, pasid=P1, seed=SEED)
        self.apart = SpaceRange(FAR, SIZE, pasid=P2)
        self.block("DMA_MAP", flags=word(self.apart.flags, P2), address=FAR, size=SIZE)
        guest.session.success(guest.send(guest.prepare("READ", FAR, PAGE, 1, pasid=P2)))
        self.request = guest.session.take_request()

    def block(self, command, **fields):
        """Send it, and wait for its reply and nothing else."""
        return self.guest.session.reply(self.guest.send(command, **fields))

    def remove(self, one):
        """Remove a range, and wait for that."""
        end = one.address + one.size if self.names != "ALL" else 0
        address = one.address if end else 0
        reply = self.block("DMA_UNMAP", flags=word(self.names, one.pasid), address=address,
                           size=end - address)
        assert not isinstance(reply, Refusal), reply.text()

    def take(self, step):
        """One of STEPS."""
        guest = self.guest
        if step == "neighbour":
            self.remove(self.neighbour)
            guest.iommu.forget(P1, BASE, SIZE)
        elif step == "messages":
            self.remove(self.apart)
        elif step == "answer":
            guest.session.answer(self.request, data=bytes(PAGE))
        else:
            guest.session.reply(guest.iommu.serve(self.group))

    def ends(self):
        """Nothing waits any more, and the device works."""
        guest = self.guest
        guest.iommu.policy = "at-once"
        for slot in (0, 1):
            guest.wait(slot)
        guest.iommu.enter(FAR + SIZE, pasid=P1)
        assert guest.fault("FILL", FAR + SIZE, PAGE, 2, pasid=P1, seed=SEED) == "DONE"


@covers("VE-DEAD-003", "VE-DONE-004", "VE-DONE-006", "VE-DEAD-001")
@in_each_dialect
@on_each_socket
@pytest.mark.parametrize("order, names", ORDERS)
def test_j03_client_may_block_in_every_order(connect, fds, twin, order, names):
    guest = paging_guest(connect, fds.memory(SIZE), twin)
    client = Blocking(guest, "" if guest.session.poc else names)
    for step in order:
        client.take(step)
    client.ends()


@covers("VE-DEAD-003", "VE-RST-001", "VE-DONE-004")
@in_each_dialect
@needs("reset")
@on_each_socket
@pytest.mark.parametrize("order", permutations(("reset", "answer", "respond")), ids="-".join)
def test_j03_client_may_block_in_a_reset_in_every_order(connect, fds, twin, order):
    guest = paging_guest(connect, fds.memory(SIZE), twin)
    client = Blocking(guest, "")
    for step in order:
        if step == "reset":
            assert not isinstance(client.block("DEVICE_RESET"), Refusal)
        else:
            client.take(step)
    guest.enable(pages=1)
    client.ends()
