"""Percentiles, plots and tables of `v2m bench`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2m.local._figures import WIDTH, percentiles, plot, table

pytestmark = pytest.mark.unit


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_percentiles_are_values_in_order(values):
    one = percentiles(values)
    assert {one.p50, one.p95, one.p99} <= set(values)
    assert min(values) <= one.p50 <= one.p95 <= one.p99 <= max(values)
    assert sum(value <= one.p95 for value in values) >= 0.95 * len(values)


def test_a_hundred_values_have_the_percentiles_one_expects():
    one = percentiles(range(1, 101))
    assert (one.count, one.p50, one.p95, one.p99) == (100, 50, 95, 99)


def test_a_plot_has_a_line_per_measure_and_the_longest_fills_it():
    lines = plot({"short": percentiles([1.0, 2.0]), "the longest": percentiles([10.0, 20.0, 40.0])}).splitlines()
    assert [line[:11].strip() for line in lines] == ["", "short", "the longest"]
    assert lines[2].endswith("░") or lines[2].endswith("·")
    bars = [line.rpartition("    ")[2] for line in lines[1:]]
    assert len(bars[1]) == WIDTH
    assert len(bars[0]) < len(bars[1])


def test_nothing_measured_is_no_plot():
    assert plot({}) == ""


def test_columns_have_one_width():
    lines = table(("engine", "n"), [("a", "1"), ("longer name", "100")]).splitlines()
    assert [len(line) for line in lines] == [len("longer name  100")] * 3
