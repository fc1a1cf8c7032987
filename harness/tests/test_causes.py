# SPDX-License-Identifier: BSD-3-Clause
"""Which failures count as one cause, and which cause comes first."""

import pytest
from vuc.causes import causes, to_fix

LEVELS = {"A-A-001": "MUST", "A-A-002": "MUST", "B-B-001": "SHOULD", "C-C-001": "UNSPECIFIED"}


def failed(code, listing="", requirement="A-A-001", verdict="FAIL", **more):
    """A failure as the report has it."""
    return {
        "id": f"a/{requirement}_{listing[:9]}[1]", "verdict": verdict, "code": code,
        "blamed": requirement, "blamed_level": LEVELS[requirement], "reason": "", "link": "",
        "listing": f"{code}: {listing}", "envelope": [], **more,
    }  # fmt: skip


def sent(command, requirement="A-A-001", **more):
    return failed("reply.errno", f"\n    sent      {command}(a=1)\n    came      error EINVAL",
                  requirement, **more)


ONE = {
    "place of a panic": [failed("server.exit", "ended\nthread panicked at src/lib.rs:7:9, x"),
                         failed("server.exit", "gone\nthread panicked at src/lib.rs:7:9, y")],
    "numbers": [failed("server.leak-fds", "leaves fds behind: 1, 1, 1"),
                failed("server.leak-fds", "leaves fds behind: 2, 3, 4")],
    "command": [sent("dma_map"), sent("dma_map", "A-A-002")],
    "sentence": [failed("effect", "byte 3 differs"),
                 failed("effect", "byte 77 differs", "A-A-002")],
    "reason": [failed("server.exit", verdict="KNOWN", reason="panics"),
               sent("dma_map", verdict="KNOWN", reason="panics")],
}  # fmt: skip
TWO = {
    "command": [sent("dma_map"), sent("dma_unmap")],
    "code": [failed("reply.errno"), failed("reply.field")],
    "signal": [failed("server.crash", "killed by SIGSEGV"),
               failed("server.crash", "killed by SIGABRT")],
    "bare assertion": [failed("effect", "assert 1 == 2"),
                       failed("effect", "assert 1 == 2", "A-A-002")],
    "known or not": [sent("dma_map"), sent("dma_map", verdict="KNOWN", reason="r")],
}  # fmt: skip


@pytest.mark.parametrize("name", ONE)
def test_failures_of_one_cause(name):
    assert len(causes(ONE[name], LEVELS)) == 1


@pytest.mark.parametrize("name", TWO)
def test_failures_of_two_causes(name):
    assert len(causes(TWO[name], LEVELS)) == 2


def test_order_is_harm_then_level_then_what_is_new_then_breadth():
    found = causes([
        failed("effect", "open", "C-C-001"), failed("effect", "should", "B-B-001"),
        *(failed("effect", "narrow", id=f"a/{n}") for n in range(3)),
        sent("dma_map"), sent("dma_map", "A-A-002"),
        failed("effect", verdict="KNOWN", reason="old"),
        failed("server.leak-fds", "leak", "C-C-001"), failed("server.crash", "crash", "C-C-001"),
    ], LEVELS)  # fmt: skip
    texts = ["crash", "leak", "dma_map, came error EINVAL", "narrow", "old", "should", "open"]
    assert [one.text.partition(" (")[0] for one in found] == texts


def test_what_the_specification_leaves_open_need_not_be_fixed():
    found = causes([failed("effect", "open", "C-C-001", "DEVIATES"),
                    failed("effect", "should", "B-B-001", "DEVIATES")], LEVELS)
    assert len(found) == 2 and [one.level for one in to_fix(found)] == ["SHOULD"]


def test_messages_that_broke_the_envelope_count():
    violation = {"code": "envelope.type", "requirement": "A-A-002", "text": "id=4",
                 "verdict": "FAIL"}
    passed = failed("", verdict="PASS", envelope=[violation])
    alone = failed("envelope.type", envelope=[violation])
    cause, = causes([passed], LEVELS)
    assert (cause.code, cause.requirements) == ("envelope.type", ("A-A-002",))
    assert len(causes([alone], LEVELS)) == 1


def test_pass_skip_and_unexpected_pass_are_no_failures():
    words = [failed("", verdict="PASS"), failed("", verdict="SKIP"),
             failed("known.unexpected-pass")]
    assert causes(words, LEVELS) == []
