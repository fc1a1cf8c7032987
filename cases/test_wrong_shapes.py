# SPDX-License-Identifier: BSD-3-Clause
"""Walks the grid of wrong.py: each command with one thing wrong in it.

Whatever the register permits as an answer: there is one and no other, the next command is
understood, a refusal has no effect and keeps no descriptor, and a success tells the truth.
"""

from contextlib import nullcontext

import pytest
from exchanges import flat_memory
from good import NEEDS, good_of
from mapping import BASE, SIZE, map_range, unmap_range
from vuc import COMMANDS, Failure, covers, needs
from wrong import KINDS, REFUSED, needs_of, select, state


# Everything that can happen on a negotiated session.
TIMELESS = select(*(kind.__name__ for kind in KINDS if kind is not state))


def parameters(shapes):
    """One parameter per shape, which brings what it covers and needs."""
    return [
        pytest.param(shape, id=shape.id, marks=[covers(*shape.covers), needs(*needs_of(shape))])
        for shape in shapes
    ]


def refused_by_command():
    """The shapes that must be refused, as one parameter per command."""
    commands = {}
    for shape in TIMELESS:
        if shape.outcomes == REFUSED:
            commands.setdefault(shape.command, []).append(shape)
    return [
        pytest.param(shapes, id=command.lower(), marks=needs(*NEEDS[command]))
        for command, shapes in commands.items()
    ]


def answered(session, message, passed, outcomes):
    """The outcome, which is one of these. No answer at all is blamed as such."""
    try:
        return session.outcome(message, passed, allowed=outcomes)
    except Failure as failure:
        if failure.code == "reply.missing":
            failure.requirement = "HDR-REPLY-001"
        raise


def still_in_step(session, reply):
    """The next command is understood, and nothing else came: neither a second reply, nor one to
    what the server took for a message."""
    try:
        session.barrier()
        more = session.receive(0)
    except Failure as failure:
        came = f"{failure.code} {failure.came}".strip()
        raise Failure("channel.framing", "what follows is not understood", came=came,
                      sent=failure.sent, before=failure.before,
                      requirement="HDR-SIZE-005") from failure
    if more is None:
        return
    ours = (reply.header.id, reply.header.command)
    second = (more.header.id, more.header.command) == ours
    raise session.failure("reply.unexpected" if second else "channel.framing",
                          allowed="one reply", came=more.text())


def must_be_closed(shape, outcome):
    """Does the server have no use for the surplus descriptors?"""
    return outcome == "error" or COMMANDS[shape.command].request_fds <= 1


def walk(session, device, fds, shape):
    """Send the shape and judge the answer, the effect, and what became of its descriptors."""
    good = good_of(shape.command, device)
    good.prepare(session, fds)
    wrong, surplus = shape.message(good), fds.probes(shape.surplus(good))
    outcome = answered(session, wrong, [*good.passed(shape.variant), *surplus], shape.outcomes)
    if outcome.kind == "close":
        return
    still_in_step(session, outcome.reply)
    if outcome.kind == "error":
        good.refused(wrong)
    else:
        good.accepted(wrong, outcome.reply)
    if must_be_closed(shape, outcome.kind):
        assert all(probe.released() for probe in surplus), "the server keeps a descriptor"


def memory_of(target, shape):
    """Watches that the server's memory does not grow, where the shape asks for much."""
    return flat_memory(target) if shape.flat else nullcontext()


@pytest.mark.parametrize("shape", parameters(s for s in TIMELESS if s.outcomes == REFUSED))
def test_malformed_command_is_refused_without_effect(session, target, device, fds, shape):
    with memory_of(target, shape):
        walk(session, device, fds, shape)


@pytest.mark.parametrize("shape", parameters(s for s in TIMELESS if s.outcomes != REFUSED))
def test_doubtful_command_does_what_its_reply_says(session, target, device, fds, shape):
    with memory_of(target, shape):
        walk(session, device, fds, shape)


@covers("HDR-REPLY-003")
@pytest.mark.parametrize("shapes", refused_by_command())
def test_malformed_command_without_reply_is_not_answered_and_has_no_effect(
    session, device, fds, shapes
):
    for shape in shapes:
        good = good_of(shape.command, device)
        good.prepare(session, fds)
        wrong = shape.message(good).replace(no_reply=True)
        session.send(wrong, good.passed(shape.variant), maybe=True)
        session.expect_silence()
        good.refused(wrong)


# ---- at the wrong time ----


@pytest.mark.parametrize("shape", parameters(select("state")))
def test_command_before_the_negotiation_is_not_executed(connect, device, fds, shape):
    good = good_of(shape.command, device)
    first = connect(capabilities={})
    good.prepare(first, fds)
    first.close()
    raw = connect(version=False)
    probe = fds.probe()
    raw.outcome(good.message(), [probe], allowed=shape.outcomes)
    raw.close()
    assert probe.released(), "the server keeps a descriptor"
    good.later(connect())


# ---- VERSION ----


@pytest.mark.parametrize("shape", parameters(select("cut", "longer", "descriptors", version=True)))
def test_doubtful_negotiation_is_refused_or_leads_to_a_session(connect, fds, shape):
    raw = connect(version=False)
    good = raw.version()
    probes = fds.probes(shape.surplus(None))
    outcome = raw.outcome(shape.change(good, None), probes, allowed=shape.outcomes)
    if outcome.kind == "success":
        raw.negotiated_by(outcome.reply)
        still_in_step(raw, outcome.reply)
    assert all(probe.released() for probe in probes), "the server keeps a descriptor"


@needs("dma_maps")
@pytest.mark.parametrize("shape", parameters(select("state", version=True)))
def test_second_negotiation_changes_nothing(session, shape):
    map_range(session, BASE, SIZE)
    outcome = session.outcome(session.version(), allowed=shape.outcomes)
    if outcome.kind != "close":
        still_in_step(session, outcome.reply)
        unmap_range(session, BASE, SIZE)
