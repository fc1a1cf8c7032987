# SPDX-License-Identifier: BSD-3-Clause
"""What the server holds after many clients: as much as after the first of them.

Each case has a server of its own, so that nobody else's connections disturb the figures, and
speaks to it through plain sockets, whose thousands of cycles take less time than the server. The
figures are printed with the summary. Memory is judged by what is left after the first tenth, and
only where no sanitizer keeps freed memory on purpose. Sizes are KiB.
"""

import socket
from array import array
from contextlib import closing
from pathlib import Path
from statistics import median

import pytest
from mapping import BASE, PAGE, RW, SIZE
from vuc import Failure, covers, message, needs
from vuc.duration import long
from vuc.message import decode
from vuc.schema import HEADER, HEADER_SIZE, constants
from vuc.target import COUNTED, SHADOW

VERSION = message("VERSION", data=b'{"capabilities":{"max_msg_fds":8}}\0')
MAP = message("DMA_MAP", flags=RW, address=BASE, size=SIZE)
OVERLAPPING = message("DMA_MAP", flags=RW, address=BASE + PAGE, size=PAGE)
CYCLES = {"sessions": 10_000, "half-sent": 1_000, "refused": 1_000}
SAMPLES = 20  # of the memory, behind the first tenth
ROUNDS = 3  # of all samples, as long as it grows: an allocator that warms up comes to an end
ROOM = 1024  # KiB by which the memory may move
SLOPE_ROOM = 24  # KiB that the trend may make of all cycles: less than one small block for each


# ---- plain sockets ----


def receive(ours, size):
    """Exactly `size` bytes."""
    came = b""
    while len(came) < size:
        more = ours.recv(size - len(came))
        if not more:
            raise Failure("reply.closed", f"{size} bytes were to come", came=f"{len(came)} bytes")
        came += more
    return came


def ask(ours, image, fds=()):
    """Send a message, take its reply: the header's fields."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
    ours.sendmsg([image], rights)
    header = decode(HEADER, receive(ours, HEADER_SIZE))
    receive(ours, header["msg_size"] - HEADER_SIZE)
    return header


def succeeded(header):
    """Is that the header of a success?"""
    return not header["flags"] & constants.HEADER_FLAGS.ERROR


class Client:
    """Opens negotiated plain connections; each is the caller's."""

    def __init__(self, target):
        self.path = target.socket
        self.version = VERSION.bytes(1)

    def connect(self):
        """A connected socket with the long timeout."""
        ours = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.settimeout(long())
        try:
            ours.connect(self.path)
            assert succeeded(ask(ours, self.version)), "VERSION was refused"
        except BaseException:
            ours.close()
            raise
        return ours


def sessions(client, count, _):
    """Connect, negotiate, close."""
    for _ in range(count):
        client.connect().close()


def half_sent(client, count, fds):
    """Connect, negotiate, send a message with descriptors up to its middle, close."""
    image = MAP.bytes(2)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))]
    for _ in range(count):
        with closing(client.connect()) as ours:
            ours.sendmsg([image[: len(image) // 2]], rights)


def refused(client, count, fds):
    """Ask again and again for a range that overlaps another."""
    image = OVERLAPPING.bytes(2)
    with closing(client.connect()) as ours:
        assert succeeded(ask(ours, MAP.bytes(1))), "the first DMA_MAP was refused"
        for _ in range(count):
            header = ask(ours, image, fds)
            assert not succeeded(header), "a range that overlaps another was mapped"


def repeat(do, *arguments):
    """Do it; a server that does not take part is a Failure."""
    try:
        do(*arguments)
    except TimeoutError as error:
        raise Failure("reply.missing", "one of many clients gets no reply") from error
    except ConnectionError as error:
        raise Failure("reply.closed", f"one of many clients: {error}") from error


# ---- what the server holds ----


def sanitized(target):
    """Does the process have the address space that only a sanitizer takes?"""
    pages = int(Path(f"/proc/{target.state.pid}/statm").read_text().split()[0])
    return pages * PAGE > SHADOW


def anonymous(target):
    """KiB of anonymous memory: counted page by page, where the kernel does that for us."""
    try:
        text = Path(f"/proc/{target.state.pid}/smaps_rollup").read_text()
    except OSError:
        return target.resources().rss_anon_kib
    return int(text.split("\nAnonymous:")[1].split()[0])


def slope(samples):
    """The median slope between any two samples, KiB per sample: one step does not bend it."""
    pairs = [
        (late - early) / (there - here)
        for here, early in enumerate(samples)
        for there, late in enumerate(samples) if there > here
    ]
    return median(pairs)


def held(target):
    """The counts of descriptors, mappings and threads, in words."""
    now = target.resources()
    return ", ".join(f"{getattr(now, name)} {name}" for name in COUNTED)


def settled_memory(target):
    """The anonymous memory, once the last connection has been let go."""
    surplus = target.surplus()
    if surplus:
        name, count = next(iter(surplus.items()))
        raise Failure(f"server.leak-{name}", f"{count} more {name} than before the first client",
                      came=held(target))
    return anonymous(target)


def grown(samples):
    """The KiB that the trend makes of all samples; 0 where it is less than a block for each."""
    trend = slope(samples) * len(samples)
    return trend if trend > SLOPE_ROOM else 0


def judge_memory(samples):
    """The memory stays where it was after the first tenth, and does not grow steadily."""
    text = f"KiB after the first tenth and behind it: {' '.join(map(str, samples))}"
    moved = max(abs(sample - samples[0]) for sample in samples)
    if moved > ROOM:
        raise Failure("server.leak-memory", f"moves by {moved} KiB; {text}")
    if grown(samples[-SAMPLES:]):
        raise Failure("server.leak-memory", f"grows with the clients; {text}")


def memory_figures(samples, cycles):
    """What is printed with the summary."""
    step = (cycles - cycles // 10) // SAMPLES
    whole = cycles // 10 + step * (len(samples) - 1)
    return (f"{samples[0]} KiB after {cycles // 10} cycles, {samples[-1]} after {whole}, "
            f"slope {slope(samples[-SAMPLES:]):.2f} KiB per {step}")


@needs("process", "proc", "reconnect")
@pytest.mark.parametrize(("kind", "do"), [
    pytest.param("sessions", sessions, id="sessions", marks=covers("DISC-CLI-008", "SEC-GEN-003")),
    pytest.param("half-sent", half_sent, id="half-sent-messages-with-descriptors",
                 marks=covers("DISC-CLI-007", "FD-PASS-003", "HDR-SIZE-004")),
    pytest.param("refused", refused, id="refused-maps-with-a-descriptor",
                 marks=[covers("FD-PASS-007", "DMA-MAP-006"), needs("dma_maps")]),
])
def test_many_clients_leave_nothing_behind(private_target, fds, request, kind, do):
    target, cycles = private_target(), CYCLES[kind]
    target.start()
    memory, client = fds.memory(SIZE), Client(target)
    target.take_baseline()
    held_before = held(target)
    repeat(do, client, cycles // 10, [memory.fileno()])
    samples = [settled_memory(target)]
    for _ in range(ROUNDS):
        for _ in range(SAMPLES):
            repeat(do, client, (cycles - cycles // 10) // SAMPLES, [memory.fileno()])
            samples.append(settled_memory(target))
        if not grown(samples[-SAMPLES:]):
            break
    figures = [("figure held", held(target))]
    if sanitized(target):
        figures.append(("figure memory", "not judged: a sanitizer keeps what was freed"))
    else:
        figures.append(("figure RssAnon", memory_figures(samples, cycles)))
        assert held(target) == held_before, "not as before the first client"
    request.node.user_properties += figures
    if not sanitized(target):
        judge_memory(samples)
