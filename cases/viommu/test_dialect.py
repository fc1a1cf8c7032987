# SPDX-License-Identifier: BSD-3-Clause
"""Which dialect of the vIOMMU extension is spoken to whom: an option of the server says it."""

from errno import EEXIST, EINVAL, ENOENT

import pytest
from flight import SEED, moved
from mapping import BASE, PAGE, RW, SIZE, map_range, unmap_range
from spaces import CREDIT, P1, P2, PAGE_REQUEST, SpaceGuest

from vuc import covers, needs, structure, unknown
from vuc.session import DEFAULT, VIOMMU
from vuc.viommu import NO_PASID, PERM, POC_PAGE_REQUEST, word

pytestmark = needs("process", "dialect_option", "dma_maps")


def session_of(private_target, fds, dialect, capabilities=DEFAULT):
    """A session with a server of its own that was told to speak this dialect."""
    target = private_target(options=[f"--viommu-dialect={dialect}"])
    session = fds.keep(target.negotiate(capabilities=capabilities))
    session.poc = False
    session.unjudged()
    return session


def assert_not_spoken(session):
    """What the dialect has of its own is refused, and has no effect."""
    map_range(session)
    session.refuse("DMA_MAP", address=BASE, size=SIZE, flags="READ", errno=EEXIST)
    session.refuse("DMA_UNMAP", flags="ALL", errno=EINVAL)
    page = structure("POC_PAGE", address=BASE, count=PAGE, flags=PERM.WRITE, pasid=NO_PASID)
    session.refuse(unknown(POC_PAGE_REQUEST, page))
    unmap_range(session)


@covers("VE-POC-001", "VE-NEG-007")
@pytest.mark.parametrize("dialect", ["off", "native"])
def test_poc_dialect_is_spoken_by_who_was_told_to(private_target, fds, dialect):
    session = session_of(private_target, fds, dialect)
    for _ in range(2):
        assert_not_spoken(session)
        session.refuse("DMA_MAP", flags=word(RW, P1), address=BASE, size=SIZE, errno=EINVAL)
        session.refuse("DMA_UNMAP", flags=word("", P1), address=BASE, size=SIZE, errno=EINVAL)


@covers("VE-POC-001")
@pytest.mark.parametrize("command", ["DMA_MAP", "DMA_UNMAP"])
def test_first_pasid_settles_the_dialect_where_it_is_not_known(private_target, fds, command):
    session = session_of(private_target, fds, "auto")
    assert_not_spoken(session)
    if command == "DMA_MAP":
        map_range(session, flags=word(RW, P1))
    else:
        session.refuse("DMA_UNMAP", flags=word("", P1), address=BASE, size=SIZE, errno=ENOENT)
    map_range(session)
    map_range(session, flags="READ")
    map_range(session, flags=word(RW, P2))
    session.call("DMA_UNMAP", flags="ALL")
    for pasid in (None, P1, P2):
        session.refuse("DMA_UNMAP", flags=word("", pasid), address=BASE, size=SIZE, errno=ENOENT)


@covers("VE-POC-001")
@needs("reconnect")
def test_dialect_is_settled_for_each_client(private_target, fds):
    target = private_target(options=["--viommu-dialect=auto"])
    with target.negotiate() as first:
        first.poc = False
        first.unjudged()
        map_range(first, flags=word(RW, P1))
        map_range(first, flags=word("READ", P1))
    second = fds.keep(target.negotiate())
    second.unjudged()
    assert_not_spoken(second)


@covers("VE-POC-002")
@needs("provoke_dma")
def test_client_that_has_negotiated_is_spoken_to_as_it_negotiated(private_target, fds):
    guest = SpaceGuest(session_of(private_target, fds, "auto", VIOMMU))
    guest.iommu.memory = fds.memory(SIZE)
    guest.iommu.memory.write(0, moved(0))
    guest.map(pasid=P1)
    for flags in (word(RW, P1), word("READ", P1)):
        guest.refuse("DMA_MAP", flags=flags, address=BASE, size=SIZE, errno=EEXIST)
    guest.map()
    guest.call("DMA_UNMAP", flags="ALL")
    guest.enable(pages=CREDIT)
    guest.iommu.enter(BASE + SIZE, pasid=P2)
    assert guest.fault("FILL", BASE + SIZE, PAGE, pasid=P2, seed=SEED) == "DONE"
    assert [group.request.header.command for group in guest.iommu.requests] == [PAGE_REQUEST]
    assert guest.iommu.memory.read(0, SIZE) == moved(PAGE)
    guest.unmap(guest.ranges[0])
