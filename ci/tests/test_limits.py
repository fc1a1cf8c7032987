# SPDX-License-Identifier: BSD-3-Clause
"""What limits.py takes for worse than a baseline, and for the same."""

import copy
import json

import limits
import limits_judge
import pytest

from vuc.limits import SCHEMA_VERSION, Honest, Record
from vuc.measure import Sample

UNITS = range(0, 1600, 100)
PASSED = [{"verdict": "PASS", "listing": ""}]
FAILED = [{"verdict": "FAIL", "listing": "effect: it is so\nmore"}]


def record(anon=lambda n: n, fds=lambda n: 10, cpu=lambda n: 100 * n, **words):
    made = Record("X01", unit="map", calibration=2.0, one=True,
                  recovered={"all": {"anon": 4, "fds": 0}},
                  honest=Honest(10, 10.0, 20.0, 10.0, 20.0, 30.0), **words)
    for n in UNITS:
        made.add(n, Sample(anon=anon(n), file=0, shmem=0, page_tables=0, space=0, vmas=20,
                           fds=fds(n), threads=1, log=0, cpu=cpu(n)))
    return made


def summed(*records, results=None):
    return limits_judge.summary(records, results or PASSED * len(records))


BASE = summed(record(refused_at=1000, errnos={"ENOSPC": 5}))


def worse(one, base=None):
    return {problem.what for problem in limits_judge.judge("X01", one, base or BASE)}


def test_same_is_not_worse_and_neither_is_a_little_more():
    assert not worse(BASE)
    again = summed(record(lambda n: 1.2 * n, lambda n: 12, lambda n: 180 * n, refused_at=1010,
                          errnos={"ENOSPC": 9}))
    assert not worse(again)


@pytest.mark.parametrize(("words", "what"), [
    ({"anon": lambda n: 3 * n}, "most of anon"),
    ({"fds": lambda n: 10 + n // 100}, "most of fds"),
    ({"cpu": lambda n: 400 * n}, "processor time of a unit, in small messages"),
    ({"refused_at": 500}, "point of refusal"),
    ({"refused_at": None}, "point of refusal"),
    ({"errnos": {"EINVAL": 5}}, "errno"),
    ({"ended": True}, "end of the connection"),
])
def test_what_has_changed_is_named(words, what):
    one = summed(record(**{"refused_at": 1000, "errnos": {"ENOSPC": 5}, **words}))
    assert worse(one) == {what}


def test_growth_that_bends_upwards_is_worse_though_it_comes_to_little_more():
    base = summed(record(lambda n: 10 * n))
    one = summed(record(lambda n: 10 * n * n / 1280))
    assert "form of anon" in worse(one, base)


def test_unit_that_costs_more_is_worse_though_the_most_is_the_same():
    base = summed(record(lambda n: n + 1500 * (n > 1400)))
    assert worse(summed(record(lambda n: 2 * n)), base) == {"anon of a unit"}
    assert not worse(summed(record(lambda n: 1.3 * n + 1050 * (n > 1400))), base)


def test_plateau_that_is_none_any_more_or_begins_elsewhere_is_worse():
    base = summed(record(lambda n: 10 * min(n, 600)))
    assert base["metrics"]["anon"]["form"] == "plateau"
    assert worse(summed(record(lambda n: 4.7 * n)), base) == {"form of anon"}
    assert worse(summed(record(lambda n: 6 * min(n, 1000))), base) == {"knee of anon"}
    assert worse(summed(record(lambda n: 30 * min(n, 200))), base) == {"knee of anon"}
    assert not worse(summed(record(lambda n: 9 * min(n, 700))), base)
    low = summed(record(lambda n: 2 * min(n, 600)))
    assert not worse(summed(record(lambda n: 4 * min(n, 300))), low)
    unsure = summed(*(record(lambda n, bend=bend: 10 * min(n, bend)) for bend in (300, 500)))
    assert unsure["metrics"]["anon"]["form"] == "plateau"
    assert not worse(summed(record(lambda n: 4 * min(n, 1000))), unsure)


def test_what_is_kept_and_what_makes_no_room_is_worse():
    one = copy.deepcopy(BASE)
    one["recovered"]["all"]["anon"] = 4000
    one["one"] = False
    assert worse(one) == {"anon that is kept (all)", "a unit that is given back"}


def test_honest_client_is_starved_only_far_off():
    one = copy.deepcopy(BASE)
    one["honest"].update(ratio_p99=45.0, loaded_p99=900_000.0)
    assert not worse(one)
    one["honest"].update(ratio_p99=500.0)
    assert len(worse(one)) == 1
    one["honest"].update(ratio_p99=1.0, error="5 rounds, then ETIMEDOUT")
    assert worse(one) == {"the honest client"}


def test_what_depends_on_the_machine_need_not_be_judged():
    one = summed(record())
    one["honest"].update(ratio_p99=500.0, loaded_p99=900_000.0)
    assert limits_judge.judge("X01", one, BASE | {"refused_at": None, "errnos": []})
    assert not limits_judge.judge("X01", one, BASE | {"refused_at": None, "errnos": []},
                                  timed=False)


def test_noise_of_several_runs_makes_room():
    noisy = [record(lambda n, f=factor: f * n) for factor in (1, 3)]
    base = summed(*[record(refused_at=1000, errnos={"ENOSPC": 5})] * 2)
    one = limits_judge.summary(noisy, PASSED * 2)
    assert "most of anon" not in worse(one, base)
    assert one["metrics"]["anon"]["spread"] == 3000


def test_case_that_fails_in_each_run_is_worse():
    assert "case" in worse(summed(record(), results=FAILED))
    once = limits_judge.summary([record(refused_at=1000, errnos={"ENOSPC": 1})] * 2,
                                FAILED + PASSED)
    assert not worse(once)


def test_flood_that_is_missing_is_worse_unless_only_a_part_was_run():
    assert limits_judge.compare({}, {"X01": BASE}, part=True) == []
    assert [one.now for one in limits_judge.compare({}, {"X01": BASE}, part=False)] == ["not run"]
    assert limits_judge.compare({"X02": BASE}, {}, part=False) == []
    failed = summed(record(), results=FAILED)
    assert len(limits_judge.compare({"X02": failed}, {}, part=False)) == 1


def test_flood_that_not_every_machine_can_run_may_be_missing():
    optional = summed(record(optional=True))
    assert limits_judge.compare({}, {"X01": optional}, part=False) == []
    more = summed(record(lambda n: 3 * n))
    assert len(limits_judge.compare({"X01": more}, {"X01": optional}, part=False)) == 1


def test_baseline_keeps_the_other_mode_and_few_digits(tmp_path):
    path = tmp_path / "b.json"
    limits.write_baseline(path, "reference", "quick", {"X01": BASE})
    limits.write_baseline(path, "reference", "full", {"X02": BASE})
    limits.write_baseline(path, "reference", "quick", {"X01": BASE})
    data = json.loads(path.read_text())
    assert set(data["modes"]) == {"quick", "full"}
    assert "points" not in data["modes"]["quick"]["X01"]
    assert limits.rounded(1.23456) == 1.235
    assert not limits_judge.judge("X01", BASE, limits.read_baseline(path, "quick")["X01"])
    assert limits.read_baseline(tmp_path / "none", "quick") == {}


def test_whole_run_drops_what_is_gone_from_a_baseline(tmp_path):
    path = tmp_path / "b.json"
    floods = {"X01": BASE, "X02": BASE, "X16": {**BASE, "optional": True}}
    limits.write_baseline(path, "reference", "quick", floods)
    limits.write_baseline(path, "reference", "quick", {"X01": BASE})
    assert set(limits.read_baseline(path, "quick")) == set(floods)
    limits.write_baseline(path, "reference", "quick", {"X01": BASE}, whole=True)
    assert set(limits.read_baseline(path, "quick")) == {"X01", "X16"}
    assert "seen" in BASE and "seen" not in limits.read_baseline(path, "quick")["X01"]


def test_baseline_that_is_written_anew_is_not_as_good_where_a_case_fails():
    bad = limits_judge.failing({"X01": summed(record(), results=FAILED), "X02": BASE})
    assert [one.flood for one in bad] == ["X01"]
    assert limits.concluded({"X01": BASE}, bad, "quick", True)["exit_code"] == 1
    assert limits.concluded({"X01": BASE}, [], "quick", True)["verdict"] == "as good"


def test_histograms_of_all_runs_add_up_and_a_report_has_them():
    made = record(latency={"4": 3}, queues=[[0, 1, 2]], kernel_areas=5)
    made.fds = {"start": {"socket": 2}}
    seen = summed(made, made)["seen"]
    assert seen["latency"]["counts"] == {"4": 6} and seen["latency"]["p99"] == pytest.approx(5e-3)
    assert (seen["fds"], seen["queues"], seen["kernel_areas"]) == (made.fds, [[0, 1, 2]], 5)
    assert seen["honest_latency"]["loaded"]["counts"] == {}


def test_baseline_of_another_schema_is_refused(tmp_path):
    path = tmp_path / "b.json"
    path.write_text(json.dumps({"schema": SCHEMA_VERSION + 1, "modes": {}}))
    with pytest.raises(SystemExit, match="exit code 2"):
        limits.read_baseline(path, "quick")


def test_committed_baseline_has_all_floods_of_the_table():
    text = (limits.ROOT / "cases/floods/README.md").read_text(encoding="utf-8")
    floods = limits.read_baseline(limits.BASELINES / "reference.json", "quick")
    assert floods and all(one["verdict"] == "PASS" for one in floods.values())
    rows = {name.partition("-")[0] for name in floods}
    assert all(f"| {row} |" in text for row in rows)


def test_committed_baselines_come_to_the_same_ends_in_full_and_in_short():
    full, quick = (limits.read_baseline(limits.BASELINES / "reference.json", mode)
                   for mode in (limits.FULL, limits.QUICK))
    assert full and set(full) == set(quick)
    for name, one in full.items():
        for key in ("errnos", "one", "ended"):
            assert one[key] == quick[name][key], f"{name}: {key}"
        assert (one["refused_at"] is None) == (quick[name]["refused_at"] is None), name


@pytest.mark.parametrize(("case", "name"), [
    ("floods/maps/x01_dense_maps", "X01"), ("floods/files/x09_map_that[behind-the-end]",
                                            "X09-behind-the-end")])
def test_case_is_named_as_its_record(case, name):
    assert limits.flood_of(case) == name


def test_table_has_a_line_for_each_flood_and_each_problem():
    problems = limits_judge.judge("X01", summed(record(refused_at=5, errnos={"ENOSPC": 1})), BASE)
    text = limits.table({"X01": BASE}, problems)
    assert "X01" in text and "WORSE" in text and "point of refusal" in text


def test_progress_is_read_from_what_pytest_says(capsys):
    with limits.Watch(2, {"X01": 3.0, "X09-pipe": 1.0}) as watch:
        watch.line("collecting ... collected 64 items / 62 deselected / 2 selected\n")
        assert watch.progress.whole == 8.0
        watch.line("cases/floods/test_maps.py::test_x01_dense_maps PASS [ 50%]\n")
        assert watch.progress.done == 3.0
        watch.line("cases/floods/test_files.py::test_x09_map_that_fails[pipe] FAIL [100%]\n")
        assert watch.progress.done == 4.0
        watch.line("FAIL floods/files/x09\n")
    assert "floods: 50 %" in capsys.readouterr().err
