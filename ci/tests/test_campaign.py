# SPDX-License-Identifier: BSD-3-Clause
"""campaign.py finds what is wrong with an entry that was made for it, keeps each finding once and
readable, goes on where it was, and says when it proves nothing.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import campaign_findings
import pytest
from campaign_findings import Report, Store, folder_name, signature

ROOT = Path(__file__).resolve().parent.parent.parent
VUC = ROOT / "build/vuc"
MODEL = "reply.unexpected-success DMA-UNMAP-004 dma_unmap"

# As the entries do: a finding of the model and abort(), or what a sanitizer sees; that of 'w' shows
# under an engine only, and 'v' keeps its report by itself.
ENTRY = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void overrun(volatile uint8_t *at)
{
	at[1] = 1;
}

static void waver(volatile uint8_t *at)
{
	at[1] = 1;
}

static void tell(const char *folder)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%d", folder, getpid());
	file = fopen(path, "w");
	fprintf(file, "   signature  SIGNATURE\n");
	fclose(file);
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t *one;

	if (size > 1 && data[0] == 'm') {
		fprintf(stderr, "   signature  SIGNATURE\n");
		abort();
	}
	if (size > 1 && data[0] == 'o') {
		one = malloc(1);
		overrun(one);
	}
	if (size > 1 && data[0] == 'w' && getenv("VUC_REPORTS"))
		waver(malloc(1));
	if (size > 1 && data[0] == 'v' && getenv("VUC_REPORTS"))
		tell(getenv("VUC_REPORTS"));
	if (getenv("ENTRY_IS_BROKEN"))
		exit(3);
	return 0;
}
"""


@pytest.fixture(scope="module")
def entry(tmp_path_factory):
    """A function that builds the faulty entry with a compiler, once."""
    folder = tmp_path_factory.mktemp("entry")
    source = folder / "entry.c"
    source.write_text(ENTRY.replace("SIGNATURE", MODEL), encoding="utf-8")

    def build(engine):
        compiler, need = {"fuzz": ("clang", "fuzz"), "afl": ("afl-clang-fast", "afl")}[engine]
        if not shutil.which(compiler):
            pytest.skip(f"{compiler} is not installed (ci/setup.sh {need})")
        binary = folder / engine
        if not binary.exists():
            subprocess.run([compiler, "-g", "-fsanitize=fuzzer,address", source, "-o", binary],
                           check=True, env=os.environ | {"AFL_QUIET": "1"})  # fmt: skip
        return binary

    return build


@pytest.fixture
def run(entry, tmp_path):
    """A function that runs a campaign below tmp_path from seeds that are given as bytes; the exit
    status, the report (None if there is none), and what was printed."""

    def start(*seeds, more=(), seconds=2, engine="fuzz"):
        binary = entry(engine)
        shutil.rmtree(tmp_path / "seeds", ignore_errors=True)
        (tmp_path / "seeds").mkdir()
        for number, seed in enumerate(seeds):
            (tmp_path / "seeds" / f"seed{number}").write_bytes(seed)
        report = tmp_path / f"report/{engine}-faulty.json"
        if "--resume" not in more:
            report.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "ci/campaign.py", engine, "faulty", f"--binary={binary}",
             f"--time={seconds}", f"--build={tmp_path}", f"--seeds={tmp_path / 'seeds'}", *more],
            cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        found = json.loads(report.read_text(encoding="utf-8")) if report.exists() else None
        return done.returncode, found, done.stdout + done.stderr

    return start


def test_findings_are_kept_once_and_a_campaign_goes_on(run, tmp_path):
    status, report, text = run(b"m1234", b"n", more=[f"--vuc={VUC}"])
    assert status == 1 and report["exit"] == 1, text
    model = next(one for one in report["findings"] if one["signature"] == MODEL)
    assert text.count(f"found: {MODEL}") == 1 and "exit code 1" in text
    folder = tmp_path / "findings/faulty" / model["folder"]
    assert {path.name for path in folder.iterdir()} == {
        "input", "program.prog", "report.txt", "finding.json"}  # fmt: skip
    assert (folder / "input").read_bytes()[:1] == b"m"
    assert f"signature  {MODEL}" in (folder / "report.txt").read_text(encoding="utf-8")
    subprocess.run([VUC, "parse", folder / "program.prog"], check=True)
    assert report["executions"] > 0 and report["coverage"] > 0 and report["curve"]
    assert model["runs"] == 1 and report["cpu_seconds"] > 0

    status, again, text = run(b"n", more=[f"--vuc={VUC}", "--resume"])
    assert status == 1 and f"found: {MODEL}" not in text, text
    assert again["executions"] > report["executions"] and again["seconds"] > report["seconds"]
    assert again["curve"][: len(report["curve"])] == report["curve"]
    assert len(list((tmp_path / "findings/faulty").glob("reply*"))) == 1

    status, fresh, text = run(b"n", seconds=1)
    assert folder.exists()  # whatever this campaign has found by itself
    known = [one["signature"] for one in fresh["kept"] + fresh["findings"]]
    assert MODEL in known and fresh["seconds"] < again["seconds"]


def test_findings_are_counted_where_they_need_not_come_again(run):
    _, report, text = run(b"m1234", seconds=1, more=["--count", "--tries=3"])
    found = next(one for one in report["findings"] if one["signature"] == MODEL)
    assert (found["shown"], found["tried"]) == (3, 3)
    assert "again in 3 of 3 runs" in text, text


def test_what_a_sanitizer_sees_is_named_by_its_frames(run, tmp_path):
    _, report, text = run(b"o123", seconds=1)
    names = [one["signature"] for one in report["findings"]]
    assert "heap-buffer-overflow overrun" in names, text
    assert not list((tmp_path / "findings").glob("*/*/program.prog"))


def test_afl_finds_it_keeps_it_and_goes_on(run, tmp_path):
    status, report, text = run(b"l234", b"n", engine="afl", seconds=4, more=["--jobs=2"])
    assert status == 1 and text.count(f"found: {MODEL}") == 1, text
    assert MODEL in [one["signature"] for one in report["findings"]]
    assert report["executions"] > 0 and report["coverage"] > 0 and report["corpus_kept"]
    _, again, text = run(b"n", engine="afl", more=["--jobs=2", "--resume"])
    assert again["executions"] > report["executions"], text
    assert f"found: {MODEL}" not in text
    assert len(list((tmp_path / "findings/faulty").glob("reply*"))) == 1


def test_entry_that_can_not_go_on_is_no_finding(run, tmp_path, monkeypatch):
    monkeypatch.setenv("ENTRY_IS_BROKEN", "1")
    status, report, text = run(b"n")
    assert status == 2 and report is None and "the entry can not go on" in text
    assert not list((tmp_path / "findings").glob("*/*"))


@pytest.mark.parametrize("words", [["--binary=absent"], ["--binary=absent", "--time=0"], []])
def test_wrong_usage_is_no_finding(words):
    done = subprocess.run([sys.executable, "ci/campaign.py", "fuzz", "faulty", *words], cwd=ROOT,
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 2


ASAN = """\
==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x602 at pc 0x4 bp 0x7 sp 0x7
READ of size 1 at 0x602 thread T0
    #0 0x4f in __asan_memcpy (/tmp/fuzz_wire+0x4f)
    #1 0x50 in space_find /src/space.c:12:3
    #2 0x51 in dma_run /src/dma.c:40:1
    #3 0x52 in LLVMFuzzerTestOneInput /src/fuzz_wire.c:9:2

freed by thread T0 here:
    #0 0x53 in space_drop /src/space.c:99:3
SUMMARY: AddressSanitizer: heap-use-after-free /src/space.c:12:3 in space_find
"""
ABORT = """\
finding: reply.errno [DMA-MAP-002] c0: EIO for command 2
==7== ERROR: libFuzzer: deadly signal
    #0 0x4 in __sanitizer_print_stack_trace (/tmp/x+0x4)
    #1 0x5 in abort ./stdlib/abort.c:79:7
    #2 0x6 in driver_finding /src/driver.c:58:2
SUMMARY: libFuzzer: deadly signal
"""
BARE = """\
==7== ERROR: libFuzzer: deadly signal
    #1 0x5 in abort ./stdlib/abort.c:79:7
    #2 0x6 in model_same /src/space_model.h:40:2
SUMMARY: AddressSanitizer: ABRT (/lib/libc.so+0x8) in pthread_kill
"""
UBSAN = """\
/src/range.c:30:20: runtime error: signed integer overflow: 2147483647 + 1 cannot be represented
    #0 0x5 in range_make /src/range.c:30:20
"""
LEAK = """\
==7==ERROR: LeakSanitizer: detected memory leaks
    #0 0x4 in malloc (/tmp/x+0x4)
    #1 0x5 in irq_take /src/irq.c:3:1
SUMMARY: AddressSanitizer: 32 byte(s) leaked in 1 allocation(s).
"""


@pytest.mark.parametrize("text, name", [
    (ASAN, "heap-use-after-free space_find < dma_run"),
    (ABORT, "reply.errno DMA-MAP-002"),
    (BARE, "abort model_same"),
    (UBSAN, "signed integer overflow: N + N cannot be represented range_make"),
    (LEAK, "leak irq_take"),
    ("finding: not as it was before: 3 mappings", "not as it was before: N mappings"),
    (f"1. x\n   signature  {MODEL}\n{ABORT}", MODEL),
])  # fmt: skip
def test_signature_is_of_the_cause(text, name):
    assert signature(text) == name


def test_long_names_stay_different():
    one, two = (folder_name("timeout " + "a" * 200 + last) for last in "bc")
    assert one != two and len(one) < 120 and "/" not in folder_name("a/../b")


@pytest.mark.parametrize("seed, signature, words", [
    (b"wxyz", "heap-buffer-overflow waver", "AddressSanitizer"),
    (b"vxyz", MODEL, MODEL),
])  # fmt: skip
def test_what_does_not_come_again_is_told_as_it_was_first(run, tmp_path, seed, signature, words):
    status, report, text = run(seed, more=["--max-len=4"])
    assert status == 1, text
    found = next(one for one in report["findings"]
                 if one["signature"].startswith(signature))  # fmt: skip
    assert f"found: {found['signature']}" in text
    folder = tmp_path / "findings/faulty" / found["folder"]
    assert words in (folder / "report.txt").read_text(encoding="utf-8")
    if not found["runs"]:
        assert "not seen again in 5 runs" in text
        assert (folder / "input").read_bytes()[:1] == seed[:1]


def test_an_input_that_fails_again_is_kept_rather_than_a_smaller_one(tmp_path):
    store = Store(tmp_path / "store", None)
    for content, runs in ((b"four", 0), (b"longer", 2), (b"s", 0)):
        path = tmp_path / "in"
        path.write_bytes(content)
        finding = store.add(path, Report("text", "same"), runs, "fuzz")
    assert (tmp_path / "store/same/input").read_bytes() == b"longer" and finding.runs == 2


def test_smallest_input_is_kept_and_what_does_not_come_again_too(tmp_path):
    store = Store(tmp_path / "store", None)
    for number, content in enumerate((b"long", b"s", b"middle")):
        path = tmp_path / f"in{number}"
        path.write_bytes(content)
        store.add(path, Report("text", "same"), 1, "fuzz")
        store.add(path, Report("", ""), 5, "fuzz")
    assert (tmp_path / "store/same/input").read_bytes() == b"s"
    lost = tmp_path / "store" / campaign_findings.NOT_AGAIN
    assert sorted(path.read_bytes() for path in lost.glob("input*")) == [b"long", b"middle", b"s"]
    again = Store(tmp_path / "store", None)
    assert [one.count for one in again.kept] == [3, 3] and not again.seen


@pytest.mark.parametrize("entry, seeds", [("session", ["cases", "timed"]), ("race", ["cases"]),
                                          ("wire", [])])  # fmt: skip
def test_seeds_that_take_time_are_for_time_that_is_virtual(entry, seeds, tmp_path):
    """What `make corpus` has made, of which nothing is for entries that read no programs."""
    for name in ("cases", "timed"):
        (tmp_path / "corpus" / name).mkdir(parents=True)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(["make", "-n", "fuzz", f"FUZZER={entry}", f"B={tmp_path}"], cwd=ROOT,
                          env=plain, text=True, capture_output=True, timeout=60, check=True)
    given = [word for word in done.stdout.split() if word.startswith(f"--seeds={tmp_path}")]
    assert given == [f"--seeds={tmp_path}/corpus/{name}" for name in seeds]
