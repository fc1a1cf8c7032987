# SPDX-License-Identifier: BSD-3-Clause
"""fuzz_faults finds the faults that a fuzzer made for it can find, goes on where it was, counts
nothing that does not come again, and says nothing where the healthy server has a finding.
"""

import json
import os

import fuzz_faults
import pytest

FAULT_H = r"""
	FAULT(loud, "is found at once") \
	FAULT(silent, \
	      "is never " "found") \
	FAULT(once, "is found, and not again") \
	FAULT(inside, "is not to be seen")
"""
UNSEEN = '[[unseen]]\nwhy = "It is inside"\norder = true\nnames = ["inside"]\n'

# As libFuzzer: leaves an input and dies, or searches on; with a file it only runs that. Findings of
# `once` are of its first process.
FUZZER = r"""#!/bin/bash
echo "${VUC_FAULT-none} $*" >>LOG
finding() { echo "   signature  reply.missing $VUC_FAULT"; exit 77; }
for word; do
	case $word in
	-artifact_prefix=*) folder=${word#*=} ;;
	-*) ;;
	*) [ "$VUC_FAULT" != inside ] || finding; [ "$VUC_FAULT" != loud ] || finding; exit 0 ;;
	esac
done
case ${VUC_FAULT-none} in
ALSO | loud) : >"${folder}crash-1"; exit 77 ;;
once) [ -e LOG.once ] || { : >LOG.once; : >"${folder}crash-1"; exit 77; } ;;
esac
while :; do :; done
"""
REDUCE = "#!/bin/sh\nprintf 'version()\\ndma_unmap()\\n'\n"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that makes the table for these faults: the exit status, and the report."""
    for name, text in (("FAULTS", FAULT_H), ("UNSEEN", UNSEEN)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        monkeypatch.setattr(fuzz_faults, name, tmp_path / name)

    def start(*words, also="loud"):
        for name, text in (("fuzzer", FUZZER), ("reduce", REDUCE)):
            text = text.replace("LOG", str(tmp_path / "log")).replace("ALSO", also)
            (tmp_path / name).write_text(text, encoding="utf-8")
            os.chmod(tmp_path / name, 0o755)
        status = fuzz_faults.main([
            f"--binary={tmp_path}/fuzzer", f"--reduce={tmp_path}/reduce", "--time=1",
            f"--build={tmp_path}", f"--table={tmp_path}/table.md", *words,
        ])  # fmt: skip
        path = tmp_path / "report/fuzz-faults.json"
        return status, json.loads(path.read_text("utf-8"))["runs"] if path.exists() else {}

    return start


def test_what_is_found_is_named_and_told(run, tmp_path):
    status, runs = run("loud")
    assert status == 0 and set(runs) == {"", "loud"}
    assert runs["loud"]["found"] and runs["loud"]["signature"] == "reply.missing loud"
    assert not runs[""]["found"]
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "| loud | is found at once | 0.0 | reply.missing loud | 2 |" in table
    assert "1 of 3" in table and "- It is inside: inside." in table
    assert "<summary>loud</summary>\n\n```\nversion()\ndma_unmap()\n```" in table


def test_table_of_orders_stands_behind_the_other(run, tmp_path):
    table = tmp_path / "table.md"
    run("loud")
    status, runs = run("--fuzzer=order", also="inside")
    assert status == 0 and set(runs) == {"", "loud"}, "the report of sessions is another one"
    whole = table.read_text(encoding="utf-8")
    assert "| loud | is found at once | 0.0 |" in whole
    assert whole.endswith("\n\n" + whole[whole.index(fuzz_faults.ORDER_TITLE):])
    assert "\n| inside | is not to be seen | 0.0 | reply.missing inside |\n" in whole
    run("loud", "--fresh")
    assert table.read_text(encoding="utf-8") == whole


def test_too_few_are_a_failure_and_it_goes_on(run, tmp_path):
    status, runs = run("loud", "silent")
    assert status == fuzz_faults.FEW and not runs["silent"]["found"]
    log = tmp_path / "log"
    before = log.read_text(encoding="utf-8")
    assert run("loud", "silent") == (status, runs)
    assert log.read_text(encoding="utf-8") == before
    _, runs = run("loud", "silent", "--long=2")
    assert runs["silent"]["limit"] == 2 and runs["loud"]["limit"] == 1
    more = log.read_text(encoding="utf-8")[len(before):]
    assert "silent" in more and "loud" not in more
    assert "not in 2" in (tmp_path / "table.md").read_text(encoding="utf-8")


def test_another_fuzzer_begins_anew(run, tmp_path):
    run("loud")
    before = (tmp_path / "log").read_text(encoding="utf-8")
    run("loud", also="other")
    assert "loud" in (tmp_path / "log").read_text(encoding="utf-8")[len(before):]


def test_finding_that_does_not_come_again_counts_as_none(run):
    _, runs = run("once")
    assert not runs["once"]["found"] and runs["once"]["limit"] == 1


def test_finding_without_a_fault_ends_it(run, tmp_path, capsys):
    fuzzer = FUZZER.replace('[ "$VUC_FAULT" != loud ] || finding', "finding")
    for name, text in (("fuzzer", fuzzer.replace("ALSO", "none")), ("reduce", REDUCE)):
        (tmp_path / name).write_text(text.replace("LOG", str(tmp_path / "log")), encoding="utf-8")
        os.chmod(tmp_path / name, 0o755)
    words = [f"--binary={tmp_path}/fuzzer", f"--reduce={tmp_path}/reduce", f"--build={tmp_path}"]
    assert fuzz_faults.main([*words, "--time=1"]) == fuzz_faults.BROKEN
    assert "without any fault there is a finding" in capsys.readouterr().err


def test_unknown_names_are_wrong_usage(run, capsys):
    assert run("nobody") == (fuzz_faults.BROKEN, {})
    assert "no such fault: nobody" in capsys.readouterr().err


def test_names_of_the_tree_are_those_of_its_faults():
    faults = fuzz_faults.read_faults(fuzz_faults.FAULTS.read_text(encoding="utf-8"))
    unseen = fuzz_faults.read_unseen(fuzz_faults.UNSEEN.read_text(encoding="utf-8"), faults)
    assert len(faults) > 100 and faults["id_is_a_byte"] == "the lower byte of the id comes back"
    assert 0 < len(unseen) < len(faults) / 2
    with pytest.raises(fuzz_faults.Broken, match="no such fault: none"):
        fuzz_faults.read_unseen('[[unseen]]\nwhy = ""\nnames = ["none"]', faults)
