# SPDX-License-Identifier: BSD-3-Clause
"""Page requests without end: rows of README.md about groups, credit, responses, and the channel
that they go by. For servers with the vIOMMU extension."""

from errno import ENOENT

import pytest
from asking import Asker, offer
from mapping import BASE, PAGE

from vuc import covers, message, needs
from vuc.flood import Stride
from vuc.measure import queues
from vuc.session import TWIN
from vuc.vdma import SLOTS
from vuc.viommu import CODE

pytestmark = needs("process", "proc", "reconnect", "viommu", "dma_maps", "pasid", "device_pasid",
                   "page_requests", "device_pages", "provoke_dma")

CREDIT = 16  # pages: more than there are slots
RETRIES = 3
MANY = 64  # pages of one operation
PASIDS = 4
MESSAGES = 16  # commands of the server that may wait for their reply
LONGEST = 64  # bytes of one of them, without data
COOKIES = 1 << 24
LARGEST = (1 << 32) - 1


def asking(asker, **how):
    """What starts an operation of that number, which asks for a page of its own; what its slot did
    before is ended for its sake."""
    def act(number):
        asker.restart(number % SLOTS, BASE + number * PAGE, PAGE, pasid=number % PASIDS, **how)

    return act


@covers("LIM-BOUND-001", "LIM-RECOVER-001", "LIM-OTHERS-001", "VE-CRED-001", "VE-SEC-001")
def test_x18_page_requests_that_nobody_answers_are_as_many_as_the_credit(scene):
    scene.start("operation")
    asker = Asker(scene.attack(**offer()))
    asker.enable(CREDIT)
    act = asking(asker)
    scene.each(scene.count(3000, 128), act)
    asker.take()
    scene.record.refused_at = pages = sum(group.pages for group in asker.groups)
    assert pages == CREDIT, f"{pages} pages are outstanding, {CREDIT} may be"
    scene.bounded()
    asker.respond(asker.groups[0], CODE.INVALID)
    scene.recovers_one(len(asker.take()) == 1)
    asker.reset()
    assert all(asker.slot(number).wait() == "FAULT EIO" for number in range(SLOTS))
    asker.enable(CREDIT)
    for number in range(CREDIT):
        act(number)
    assert len(asker.take()) == CREDIT, "not all credit is back behind a reset of the interface"
    asker.reset()
    scene.recovers("all")
    scene.served()
    scene.leaves(asker.flood)


@covers("LIM-COST-001", "LIM-BOUND-001", "LIM-LOG-001", "LIM-OTHERS-001", "VE-SEC-003",
        "VE-SEC-004", "VE-RESP-009")
def test_x19_responses_to_nothing_cost_no_more_than_their_refusal(scene):
    scene.start("response")
    asker = Asker(scene.attack(**offer()))
    asker.enable(CREDIT)
    asker.restart(0, BASE, PAGE)
    group, = asker.take()
    cookies = Stride("cookie", group.cookie + COOKIES, 1, period=COOKIES, scatter=True)
    took = scene.curve(asker.flood, message("PAGE_RESPONSE"), scene.count(500_000, 5000),
                       strides=[cookies])
    assert not took.succeeded and not took.closed, took.text()
    scene.refused(took, {ENOENT})
    scene.bounded()
    scene.even()
    asker.respond(group, CODE.INVALID)
    assert asker.slot(0).wait() == "FAULT EFAULT", "the response that was due is not taken"
    scene.recovers("all")
    scene.served()
    scene.leaves(asker.flood)


@covers("LIM-BOUND-001", "LIM-OTHERS-001", "VE-RESP-005", "VE-RESP-004")
def test_x20_success_without_a_map_is_believed_a_few_times(scene):
    scene.start("operation")
    asker = Asker(scene.attack(**offer()))
    asker.enable(CREDIT)
    slot = asker.slot(0)

    def act(number):
        asker.restart(0, BASE + number * PAGE, PAGE, retries=RETRIES)
        before = len(asker.groups)
        while (state := slot.wait()) == "WAIT_PAGE":
            for group in asker.take():
                asker.respond(group)
            asked = len(asker.groups) - before
            assert asked <= RETRIES + 1, f"{asked} requests for a page that never comes"
        assert state == "FAULT ELOOP", f"success over and over ends with {state}"

    scene.each(scene.count(400, 24), act)
    scene.bounded()
    scene.recovers("all")
    scene.served()
    scene.leaves(asker.flood)


@covers("LIM-BOUND-001", "VE-SEC-002", "VE-CRED-001", "VE-PCI-008")
@pytest.mark.parametrize("most", [1, CREDIT, LARGEST], ids=["one", "few", "any"])
def test_x21_credit_is_no_more_than_was_negotiated_and_there_is_room_for(scene, most):
    scene.start("round")
    asker = Asker(scene.attack(**offer(page_requests=most)))
    agreed = asker.session.viommu["page_requests"]
    assert agreed <= most, f"{agreed} pages are agreed on, {most} were proposed"

    def act(number):
        limit = min(agreed, asker.enable(LARGEST))
        for slot in range(SLOTS):
            asker.restart(slot, BASE + slot * MANY * PAGE, MANY * PAGE, pasid=number % PASIDS)
        pages = sum(group.pages for group in asker.take())
        assert pages == limit, f"{pages} pages are outstanding, {limit} may be"
        asker.reset()

    scene.each(scene.count(160, 16), act)
    scene.bounded()
    scene.recovers("all")
    scene.served()
    scene.leaves(asker.flood)


@covers("LIM-BOUND-001", "LIM-OTHERS-001", "LIM-RECOVER-001", "VE-DEAD-002", "VE-DEAD-009")
@needs("twin", "server_dma")
@pytest.mark.parametrize("path, allowed", [("auto", CREDIT * LONGEST),
                                           ("messages", MESSAGES * (LONGEST + PAGE))],
                         ids=["pages", "writes"])
def test_x26_what_goes_by_a_twin_socket_that_nobody_reads_is_bounded(scene, path, allowed):
    scene.start("operation")
    asker = Asker(scene.attack(**offer(twin=True)))
    asker.enable(CREDIT)
    if path == "messages":
        for pasid in range(PASIDS):
            asker.call("DMA_MAP", flags=f"WRITE|PASID={pasid}", address=BASE, size=1 << 32)
    scene.each(scene.count(3000, 128), asking(asker, path=path))
    unread = queues(asker.session, TWIN)[1]
    assert 0 < unread <= allowed, f"{unread} bytes are unread, {allowed} are allowed"
    scene.bounded(units=1, threads=SLOTS)
    scene.served()
    asker.take()
    if asker.groups:
        asker.respond(asker.groups[0], CODE.INVALID)
        scene.recovers_one(len(asker.take()) == 1)
    scene.leaves(asker.flood)
