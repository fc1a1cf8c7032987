# SPDX-License-Identifier: BSD-3-Clause
"""Known failures as data: globs over case ids, codes, and entries that are out of date."""

import pytest

from vuc.known import entries_for, entry_for_code, matches, outdated
from vuc.profile import Known
from vuc.register import register
from vuc.verdict import DEVIATES, FAIL, KNOWN, PASS, UNEXPECTED_PASS, Judge, Trouble

ERRNO = Known("dma_map/overlap*", "reply.errno", "EINVAL for EEXIST", "l")
FLAGS = Known("*", "envelope.flags", "sets a reserved bit")
MUST, SHOULD = "DMA-MAP-005", "INFO-DEV-008"


def result(case, verdict="PASS", *codes):
    return {"id": case, "verdict": verdict, "envelope": [{"code": code} for code in codes]}


@pytest.mark.parametrize(
    ("glob", "case", "fits"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/bc", False),
        ("a/*", "a/b[c]", True),
        ("a/b[c]", "a/b[c]", True),
        ("a/b[c]", "a/bc", False),
        ("a/b[?]", "a/b[c]", True),
        ("*", "a/b", True),
        ("b", "a/b", False),
    ],
)
def test_glob_over_case_ids(glob, case, fits):
    assert matches(Known(glob, "c", "r"), case) is fits


def test_entry_is_found_by_case_and_code():
    known = (FLAGS, ERRNO)
    assert entry_for_code(known, "dma_map/overlap[x]", "reply.errno") is ERRNO
    assert entry_for_code(known, "dma_map/overlap[x]", "reply.missing") is None
    assert entry_for_code(known, "irq/x", "envelope.flags") is FLAGS
    assert entries_for(known, "dma_map/overlap") == [ERRNO]
    assert entries_for(known, "irq/x") == []


def test_entry_that_matches_no_case_is_outdated():
    assert [o.entry for o in outdated((ERRNO,), [result("irq/x")])] == [ERRNO]
    assert outdated((ERRNO,), [result("dma_map/overlap", "KNOWN")]) == []


def test_envelope_entry_is_outdated_when_no_message_shows_it():
    assert [o.entry for o in outdated((FLAGS,), [result("irq/x")])] == [FLAGS]
    assert outdated((FLAGS,), [result("irq/x"), result("irq/y", "PASS", "envelope.flags")]) == []
    assert outdated((FLAGS,), [result("irq/x", "SKIP")]) == []


@pytest.mark.parametrize(
    ("gate", "code", "requirement", "word"),
    [
        ("must", "reply.errno", MUST, FAIL),
        ("must", "reply.errno", SHOULD, DEVIATES),
        ("should", "reply.errno", SHOULD, FAIL),
        ("should", "reply.errno", "CONN-SOCK-004", DEVIATES),
        ("all", "reply.errno", "CONN-SOCK-004", FAIL),
        ("must", "server.crash", "CONN-SOCK-004", FAIL),
        ("must", "server.hang", "CONN-SOCK-004", FAIL),
        ("must", "server.sanitizer", "CONN-SOCK-004", FAIL),
        ("must", "server.leak-fds", "CONN-SOCK-004", FAIL),
        ("must", "channel.framing", "CONN-SOCK-004", FAIL),
    ],
)
def test_gate(gate, code, requirement, word):
    judge = Judge(register(), gate)
    assert judge.trouble("a/b", Trouble(code, requirement, "")).word == word


def test_failure_as_expected_is_known_with_its_reason():
    verdict = Judge(register(), "must", (ERRNO,)).trouble(
        "dma_map/overlap", Trouble("reply.errno", MUST, "")
    )
    assert (verdict.word, verdict.reason, verdict.link) == (KNOWN, ERRNO.reason, "l")


def test_other_failure_of_a_known_case_fails_even_below_the_gate():
    verdict = Judge(register(), "must", (ERRNO,)).trouble(
        "dma_map/overlap", Trouble("reply.field", SHOULD, "")
    )
    assert verdict.word == FAIL and "reply.errno" in verdict.text


def test_pass_of_a_known_case_is_unexpected_and_of_another_is_a_pass():
    judge = Judge(register(), "must", (ERRNO, FLAGS))
    assert judge.passed("irq/x", MUST).word == PASS
    verdict = judge.passed("dma_map/overlap", MUST)
    assert (verdict.word, verdict.code) == (FAIL, UNEXPECTED_PASS)


def test_violations_in_messages_are_judged_by_their_requirement():
    judge = Judge(register(), "must", (FLAGS,))
    assert judge.violation("irq/x", "envelope.flags", MUST) == KNOWN
    assert judge.violation("irq/x", "envelope.size", MUST) == FAIL
    assert judge.violation("irq/x", "envelope.size", SHOULD) == DEVIATES
    assert judge.violation("irq/x", "envelope.size", "") == FAIL


def test_flaky_failure_is_known_and_its_case_may_pass():
    flaky = Known("a/*", "reply.missing", "timing", flaky=True)
    assert entry_for_code([flaky], "a/b", "reply.missing") is flaky
    assert entry_for_code([flaky], "a/b", "reply.errno") is None
    assert entries_for([flaky], "a/b") == []


def test_flaky_entry_is_out_of_date_only_when_it_fits_no_case():
    flaky = Known("a/*", "envelope.flags", "timing", flaky=True)
    assert outdated([flaky], [{"id": "a/b", "verdict": "PASS", "envelope": []}]) == []
    assert [one.why for one in outdated([flaky], [])] == ["matches no case"]
