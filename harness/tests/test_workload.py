# SPDX-License-Identifier: BSD-3-Clause
"""What guests do: the same with the same seed, and nothing that a guest may not do."""

import itertools

import pytest

from vuc.workload import PAGE, WORKLOADS, Op

COUNT = 3000
PAGES = 32
LIMIT = 24  # mappings that the server here takes

each = pytest.mark.parametrize("name", WORKLOADS)


class Server:
    """Keeps the books of what is mapped, and holds each operation to them."""

    def __init__(self, limit=10**6):
        self.limit = limit
        self.held: dict[tuple, Op] = {}
        self.refused = 0
        self.gone = set()

    def takes(self, op):
        key = (op.pasid, op.address)
        match op.kind:
            case "map" | "enter":
                if len(self.held) == self.limit:
                    self.refused += 1
                    return False
                assert not self.over(op), f"{op} over {self.over(op)}"
                self.held[key] = op
            case "unmap":
                assert self.held.pop(key).size == op.size
            case "invalidate" | "end":
                size = op.size if op.kind == "invalidate" else 1 << 64
                for one in [k for k, was in self.held.items() if k[0] == op.pasid
                            and op.address <= was.address < op.address + size]:
                    del self.held[one]
            case "read" | "write":
                one, = self.over(op)
                assert one.address <= op.address and end(op) <= end(one)
                assert op.offset - one.offset == op.address - one.address
                assert op.kind.upper() in one.flags
            case "no-read" | "no-write":
                assert not any(op.kind[3:].upper() in one.flags for one in self.over(op))
        return True

    def over(self, op):
        return [one for one in self.held.values() if one.pasid == op.pasid
                and one.address < end(op) and op.address < end(one)]


def end(op):
    return op.address + op.size


def played(name, seed, server, count=COUNT):
    steps = WORKLOADS[name].steps(seed, PAGES)
    ops = [next(steps)]
    while len(ops) < count:
        ops.append(steps.send(server.takes(ops[-1])))
    return ops


@each
def test_same_seed_and_the_same_answers_give_the_same_operations(name):
    assert played(name, 1, Server(LIMIT * 8)) == played(name, 1, Server(LIMIT * 8))
    assert played(name, 1, Server(LIMIT * 8)) != played(name, 2, Server(LIMIT * 8))


@each
@pytest.mark.parametrize("seed", range(3))
def test_guest_asks_for_what_it_may_ask_for(name, seed):
    limited = WORKLOADS[name].overcommits
    server = Server(LIMIT) if limited else Server()
    ops = played(name, seed, server)
    assert bool(server.refused) == limited
    kinds = {op.kind for op in ops}
    assert {"read", "write"} <= kinds
    assert all(0 < op.size and op.offset >= 0 for op in ops)


@each
def test_what_is_held_stays_bounded(name):
    server = Server()
    most = 0
    steps = WORKLOADS[name].steps(5, PAGES)
    op = next(steps)
    for _ in range(COUNT):
        taken = server.takes(op)
        most = max(most, len(server.held))
        op = steps.send(taken)
    assert most <= 8 * PAGES


def test_pages_of_a_process_are_its_own():
    places = {}
    for op in itertools.islice(WORKLOADS["sva"].steps(1, PAGES), COUNT):
        if op.kind == "enter":
            assert places.setdefault(op.offset // PAGE, op.pasid) == op.pasid
