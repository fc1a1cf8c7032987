# SPDX-License-Identifier: BSD-3-Clause
"""Curves and records of floods: slopes, forms, knees, histograms, and what a file keeps."""

import os
from errno import EEXIST, ENOSPC

import pytest
from vuc.flood import Latency, Took
from vuc.limits import Honest, Record, errno_names, knee, rise, shape, slope
from vuc.measure import METRICS, Gone, Meter, Sample, kernel_areas

UNITS = range(0, 1600, 100)
NOISE = 10


def curve(value):
    return [(units, value(units)) for units in UNITS]


def test_slope_is_not_bent_by_one_step():
    assert slope(curve(lambda n: 3 * n)) == 3
    assert slope(curve(lambda n: 3 * n + (5000 if n > 1400 else 0))) == 3
    assert slope([(5, 1)]) == 0


@pytest.mark.parametrize(("value", "form"), [
    (lambda n: 7, "flat"),
    (lambda n: n % 200 / 100 * 4, "flat"),
    (lambda n: 2 * n, "linear"),
    (lambda n: min(n, 500) * 2, "plateau"),
    (lambda n: n * n / 100, "super-linear"),
    (lambda n: max(0, n - 1000), "super-linear"),
])
def test_form_of_a_curve_is_named(value, form):
    assert shape(curve(value), NOISE) == form


def test_few_points_have_no_form():
    assert shape(curve(lambda n: n)[:4], NOISE) == "short"
    assert rise([]) == 0


def test_knee_is_where_the_curve_bends():
    assert knee(curve(lambda n: min(n, 500)), NOISE) == 500
    assert knee(curve(lambda n: max(0, n - 1000)), NOISE) == 1000
    assert knee(curve(lambda n: n), NOISE) is None


def test_quantiles_of_a_histogram_are_a_little_too_long_at_most():
    counts = [0] * len(Latency().counts)
    counts[4], counts[40] = 99, 1  # 4 ns, and 2048 to 2560 ns
    latency = Latency(counts)
    assert latency.count == 100
    assert latency.quantile(0.5) == 5e-9
    assert latency.quantile(0.99) == 5e-9
    assert latency.quantile(1.0) == pytest.approx(2560e-9)
    assert Latency().quantile(0.5) == 0


@pytest.mark.parametrize("ns", [0, 1, 3, 4, 5, 7, 8, 9, 1000, 2047, 2048, 123_456_789])
def test_time_is_in_the_bucket_that_ends_behind_it(ns):
    latency = Latency()
    latency.note(ns / 1e9)
    bound = latency.quantile(1.0) * 1e9
    assert ns < bound + 1e-6 and bound <= max(ns * 1.26, ns + 1)
    assert Latency.of(latency.sparse()).counts == latency.counts


def test_runs_add_up():
    first = Took(sent=10, succeeded=10)
    first.add(Took(sent=5, refused=5, first_refused=12, end=0)).errors[ENOSPC] = 5
    assert (first.sent, first.refused, first.first_refused) == (15, 5, 12)
    first.errors.update({EEXIST: 1, 0: 2})
    assert errno_names(first) == {"0": 2, "EEXIST": 1, "ENOSPC": 5}
    assert "5 ENOSPC" in first.text()


def test_record_is_read_as_it_was_written(tmp_path):
    record = Record("X01", unit="map", calibration=1.5, refused_at=7, one=True,
                    honest=Honest(rounds=3, error="late"))
    record.add(5, Sample(*range(len(METRICS))))
    record.recovered["all"] = {"anon": 4}
    record.write(tmp_path)
    again = Record.read(tmp_path / "X01.json")
    assert again == record
    assert again.curve("shmem") == [(5, METRICS.index("shmem"))]


def test_process_is_measured_and_limited():
    meter = Meter(os.getpid())
    sample = meter.sample()
    assert sample.anon > 0 and sample.vmas > 10 and sample.threads >= 1 and sample.cpu > 0
    number = os.memfd_create("measured")
    try:
        assert meter.sample().fds == sample.fds + 1
        assert meter.fds()["memfd"] >= 1
    finally:
        os.close(number)
    with meter.limited("nofile", 50):
        assert "50" in (meter.proc / "limits").read_text().split("Max open files")[1][:40]


def test_process_that_has_ended_is_gone():
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)
    with pytest.raises(Gone):
        Meter(child).sample()


def test_areas_of_the_kernel_are_counted_or_not_shown():
    areas = kernel_areas()
    assert areas is None or areas > 0
