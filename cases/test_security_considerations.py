# SPDX-License-Identifier: BSD-3-Clause
"""Security considerations: the server trusts nothing that a client sends or passes.

The random messages come from a seed, which is printed with the summary; VUC_SEED=NUMBER sets it.
"""

import fcntl
import os
import random
import stat

import pytest
from exchanges import TO_SERVER, flat_memory, well_formed
from mapping import BASE, RW, SIZE
from vuc import COMMANDS, covers, message, needs, unknown
from vuc.device import capability_chain
from vuc.evidence import KINDS, Fd
from vuc.message import decode
from vuc.schema import STRUCTURES, Role

SEED = int(os.environ.get("VUC_SEED", "1"), 0)
THOUSAND = 1000
ROUNDS = 4
ANSWERED = ("success", "error", "close")
PIECES = 250  # connections that carry random bytes
SIZES = {Role.ARGSZ, Role.COUNT, Role.LENGTH, Role.SIZE, Role.START}


# ---- random messages ----


class Guess:
    """Makes messages that are framed well and hold anything, from a generator of numbers."""

    def __init__(self, seed, device):
        self.random = random.Random(seed)
        self.device = device

    def number(self, one):
        """A value for a field: small, near a power of two, near the largest, or anything."""
        few, bits = self.random.randrange(12), 8 * one.width
        near = (1 << self.random.randrange(bits + 1)) + self.random.randrange(-2, 3)
        value = self.random.choice([few, few, near, -few - 1, self.random.getrandbits(bits)])
        return value % one.limit

    def place(self, one):
        """A value that is likely to be good for its role, or not."""
        likely = {
            Role.ARGSZ: [16, 20, 24, 32, 4096], Role.FLAGS: [1, 2, 3, 0x21, 0x24, 0x22, 0x21],
            Role.INDEX: [0, 1, 2, 7, 8], Role.SIZE: [SIZE, 0x1000],
            Role.IOVA: [BASE + number * SIZE for number in range(8)],
            Role.COUNT: [0, 1, 2], Role.LENGTH: [1, 4, 8], Role.OFFSET: [0, 4, 0x40],
            Role.START: [0, 0, 1], Role.RESERVED: [0],
        }.get(one.role)
        return self.random.choice(likely) if likely and self.random.random() < 0.7 else (
            self.number(one))

    def message(self):
        """A message of any command."""
        if self.random.random() < 0.03:
            return unknown(self.random.getrandbits(16), self.random.randbytes(self.size()))
        row = COMMANDS[self.random.choice(TO_SERVER)]
        if self.random.random() < 0.2:
            made = well_formed(self.device, row.name)
        else:
            fields = {one.name: self.place(one) for one in row.request.values() if one.width
                      and (one.role != Role.LENGTH or self.random.random() < 0.5)}
            data = self.random.randbytes(self.size()) if row.request_tail else b""
            made = message(row.name, data=data, **fields)
        return self.bent(made)

    def bent(self, made):
        """The message, sometimes cut or lengthened, sometimes without reply."""
        length = len(made.payload)
        if length and self.random.random() < 0.1:
            made = made.cut(self.random.randrange(length))
        elif self.random.random() < 0.05:
            made = made.extend(self.random.randbytes(self.size()))
        return made.replace(no_reply=self.random.random() < 0.1)

    def size(self):
        """The number of bytes of some data."""
        return self.random.choice([0, 1, 2, 4, 8, 16, 24, self.random.randrange(300)])

    def descriptors(self, fds):
        """Mostly none."""
        count = self.random.choice([1, 1, 1, 2, 3]) if self.random.random() < 0.15 else 0
        return [self.random.choice(fds) for _ in range(count)]


@pytest.fixture
def some_descriptors(fds):
    """A few of every kind that can be passed."""
    return [fds.memory(SIZE), fds.eventfd(), fds.probe(), *(fds.kind(name) for name in KINDS)]


def answer_all(connect, guess, passed):
    """Send a thousand random messages. A connection that the server closes gets a successor."""
    session = connect()
    for _ in range(THOUSAND):
        one, fds = guess.message(), guess.descriptors(passed)
        if one.no_reply:
            kind = "close" if session.send(one, fds, maybe=True).closed else ""
        else:
            kind = session.outcome(one, fds, allowed=ANSWERED).kind
        if kind == "close":
            session.close()
            session = connect()
    session.close()


@covers("SEC-GEN-001")
@needs("reconnect")
@pytest.mark.parametrize("part", range(1, ROUNDS + 1), ids="thousand-{}".format)
def test_random_messages_harm_no_later_client(connect, device, request, some_descriptors, part):
    seed = SEED * ROUNDS + part
    request.node.user_properties.append(("figure seed", f"{seed} (VUC_SEED={SEED})"))
    answer_all(connect, Guess(seed, device), some_descriptors)
    connect().barrier()


@covers("SEC-GEN-001")
@needs("reconnect")
@pytest.mark.parametrize("version", [True, False], ids=["negotiated", "raw"])
def test_random_bytes_harm_no_later_client(connect, target, version):
    numbers = random.Random(SEED)
    for _ in range(PIECES):
        with target.negotiate() if version else target.connect() as session:
            session.send_bytes(numbers.randbytes(numbers.randrange(1, 300)))
    connect().barrier()


# ---- what replies hold ----

GETTERS = [name for name in TO_SERVER if "_GET_" in name]


def questions(device):
    """A question for everything that can be asked for without an effect."""
    counts = {"DEVICE_GET_REGION_INFO": device.info.num_regions,
              "DEVICE_GET_REGION_IO_FDS": device.info.num_regions,
              "DEVICE_GET_IRQ_INFO": device.info.num_irqs}
    return [
        message(name, **({"index": index} if name in counts else {}))
        for name in GETTERS for index in range(counts.get(name, 1))
    ]


def payloads(session, asked):
    """What the server replies, descriptors aside."""
    replies = (session.reply(session.send(one)) for one in asked)
    return {one.text(): reply.payload for one, reply in zip(asked, replies)}


@covers("SEC-GEN-002")
@needs("process")
def test_replies_of_two_processes_are_the_same(private_target, device):
    seen = []
    for _ in range(2):
        with private_target().negotiate() as session:
            seen.append(payloads(session, questions(device)))
    assert seen[0] == seen[1]


@covers("SEC-GEN-002")
@pytest.mark.parametrize("size", [16, 256, 4096])
def test_replies_hold_nothing_of_earlier_messages(session, device, size):
    asked = questions(device)
    before = payloads(session, asked)
    for one in asked:
        session.outcome(unknown(0x7F00, b"\xa5" * size), allowed=("error",))
        assert payloads(session, [one])[one.text()] == before[one.text()]


@covers("SEC-GEN-002")
@needs("dma_maps")
def test_reply_to_an_unmap_holds_nothing_but_the_range(session):
    for _ in range(2):
        session.call("DMA_MAP", flags=RW, address=BASE, size=SIZE)
        reply = session.call("DMA_UNMAP", address=BASE, size=SIZE)
        assert (reply.flags, reply.address, reply.size, reply.data) == (0, BASE, SIZE, b"")


@covers("SEC-GEN-002")
@needs("sparse_region")
def test_reserved_fields_of_capabilities_are_zero(session, device):
    names = {1: "CAP_SPARSE_MMAP", 2: "CAP_TYPE"}
    for region in device.regions:
        reply = session.call("DEVICE_GET_REGION_INFO", index=region.index)
        for header, at in capability_chain(reply):
            row = STRUCTURES.get(names.get(header.id, ""))
            values = decode(row.request, reply.payload, at) if row else {}
            for name, value in values.items():
                assert value == 0 or row.request[name].role != Role.RESERVED, reply.text()


# ---- sizes ----


@covers("SEC-GEN-003")
@needs("reconnect")
@pytest.mark.parametrize("value", [2**31, -1], ids=["sign", "largest"])
@pytest.mark.parametrize("name", TO_SERVER)
def test_huge_sizes_are_answered_and_take_no_memory(connect, device, target, name, value):
    good, session = well_formed(device, name), connect()
    sizes = [one for one in COMMANDS[name].request.values() if one.role in SIZES]
    each = [{one.name: value % one.limit} for one in sizes]
    together = {one.name: value % one.limit for one in sizes}
    with flat_memory(target):
        for changes in [*each, together]:
            if session.outcome(good.replace(**changes), allowed=ANSWERED).kind == "close":
                session = connect()
        session.barrier()


# ---- descriptors that the server writes to ----


def full_eventfd():
    """A blocking eventfd to which nothing can be added."""
    number = os.eventfd(0, os.EFD_CLOEXEC)
    os.eventfd_write(number, 2**64 - 2)
    return number


def full_pipe():
    """The write end of a blocking pipe without room, and the read end."""
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        while True:
            os.write(write, bytes(4096))
    except BlockingIOError:
        flags = fcntl.fcntl(write, fcntl.F_GETFL)
        fcntl.fcntl(write, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)
    return write, read


def assign(session, device, fd):
    """Assign it to the first vector. False where the server does not want it."""
    irq = device.irq_with()
    return session.outcome("DEVICE_SET_IRQS", [fd], flags="DATA_EVENTFD|ACTION_TRIGGER",
                           index=irq.index, count=1, allowed=("success", "error")).kind == "success"


def trigger_twice(session, device):
    """Raise the first vector, by message and by the device; the server keeps answering."""
    irq = device.irq_with()
    trigger = message("DEVICE_SET_IRQS", flags="DATA_NONE|ACTION_TRIGGER", index=irq.index, count=1)
    session.outcome(trigger, allowed=("success", "error"))
    if device.has("raise_irq"):
        session.outcome(device.irq_message(irq.index, 0), allowed=("success", "error"))
    session.barrier()


@covers("SEC-GEN-004")
@needs("irq1")
@pytest.mark.parametrize("kind", ["eventfd", "pipe"])
def test_descriptor_that_is_full_does_not_block_the_server(session, device, fds, kind):
    made = [full_eventfd()] if kind == "eventfd" else full_pipe()
    passed = [fds.keep(Fd(number, kind)) for number in made]
    assign(session, device, passed[0])
    trigger_twice(session, device)


@covers("SEC-GEN-005")
@needs("irq1", "process")
@pytest.mark.parametrize("kind", ["broken-pipe", "broken-socket"])
def test_descriptor_that_has_become_invalid_does_not_end_the_server(session, device, fds, kind):
    assign(session, device, fds.kind(kind))
    trigger_twice(session, device)


@covers("SEC-GEN-005")
@needs("irq1", "process")
def test_pipe_whose_reader_leaves_does_not_end_the_server(session, device, fds):
    read, write = os.pipe2(os.O_CLOEXEC)
    reader, writer = fds.keep(Fd(read, "pipe")), fds.keep(Fd(write, "pipe"))
    assign(session, device, writer)
    reader.close()
    trigger_twice(session, device)


# ---- who may connect ----


@covers("SEC-GEN-007")
@needs("process")
@pytest.mark.parametrize("umask", ["077", "027"])
def test_socket_file_is_as_closed_as_the_umask_says(private_target, umask):
    target = private_target()
    target.argv = ["sh", "-c", f'umask {umask}; exec "$@"', "sh", *target.argv]
    target.start()
    mode = stat.S_IMODE(os.stat(target.socket).st_mode)
    assert mode & int(umask, 8) == 0, f"mode {mode:o}"
