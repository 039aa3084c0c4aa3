"""The table in the terminal: readable where there is little room, and no claim that the run does not make."""

import io
import re

import pytest
from made_runs import CONDITIONS
from rich.console import Console

from robustbench_lite.metrics import summarise
from robustbench_lite.records import BreakingPoint, CheckRecord
from robustbench_lite.reports import sweep_table
from robustbench_lite.reports.breaking import breaking_tables
from robustbench_lite.reports.budgets import detail_tables
from robustbench_lite.reports.sweep_table import sweep_tables
from robustbench_lite.reports.table import comparison_table
from robustbench_lite.reports.words import physical

CHAINS = [
    ("clean", "clean", None, [], 0.9, 0),
    ("night(severity=3) + night(severity=3)", "chain", None, [], 0.5, 0),
]


def text(run, width):
    console = Console(width=width, file=io.StringIO())
    console.print(comparison_table(run, width))
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 140])
def test_every_condition_and_its_accuracy_can_be_read(make_run, width):
    shown = text(make_run(), width)
    assert max(map(len, shown.splitlines())) <= width
    for needed in ("pgd(eps=0.1)", "31.0 %", "22.8 – 40.6", "+66.0", "gaussian_blur(severity=2)"):
        assert needed in shown
    assert ("median linf" in shown) == (width == 140)
    assert ("wider terminal" in " ".join(shown.split())) == (width < 140)


def test_accuracy_against_eps_and_shares_have_tables_of_their_own(make_run):
    worst = ("worst(fgsm, pgd, eps=0.1)", "attack", None, [{"norm": "linf", "eps": 0.1}], 0.31, 40)
    run = make_run(conditions=[*CONDITIONS[:3], worst])
    console = Console(width=100, file=io.StringIO())
    for table in detail_tables(run, summarise(run)):
        console.print(table)
    shown = " ".join(console.file.getvalue().split())
    assert "Accuracy against eps (l2)" in shown
    # 98 of 100 are found, at 0.1 to 1: at the usual budget of 0.5 those above it are left
    sizes = run.samples[run.samples["condition"] == "cw(norm=l2)"].query("correct == 0")["l2"]
    assert f"{(sizes > 0.5).sum() + 2}.0 %" in shown
    assert "│ fgsm │ 69 │ 69.0 % │" in shown
    assert detail_tables(run, summarise(run)[:2])[1:] == []


def test_what_is_left_with_8_bits_is_shown(make_run):
    shown = text(make_run(conditions=CONDITIONS[:3]), 140)
    assert "as 8-bit" in shown
    assert "52 of 69" in shown
    assert "rounded to 8 bits" not in shown


def test_a_rounded_run_says_so(make_run):
    run = make_run(conditions=CONDITIONS[:3], record={"as_8bit": True})
    shown = " ".join(text(run, 140).split())
    assert "adversarial images were rounded to 8 bits" in shown
    assert "as 8-bit" not in shown


def test_sizes_in_l1_and_l0_are_shown_where_an_attack_is_measured_so(make_run):
    in_l1 = ("fmn(norm=l1)", "attack", None, [{"norm": "l1", "eps": None}], 0.1, 40)
    shown = text(make_run(conditions=[*CONDITIONS[:2], in_l1]), 140)
    assert "median l1" in shown
    assert "median l0" not in shown


@pytest.mark.parametrize("width", [80, 140])
def test_doubts_stand_beside_the_accuracy(make_run, width):
    run = make_run()
    assert "doubts" not in text(run, width)
    run.record.conditions[1].checks += [
        CheckRecord(name=name, status=status, seen="") for name, status in (("a", "triggered"), ("b", "passed"))
    ]
    shown = text(run, width)
    assert re.search(r"pgd\(eps=0.1\) +│ 100 │ +31.0 % │ +1 │", shown)
    assert "doubts: trust checks that triggered" in " ".join(shown.split())


def test_many_images_get_a_second_digit(make_run):
    assert "97.00 %" in text(make_run(n=5000, examples=0), 140)


def test_shifts_alone_claim_no_attack(make_run):
    assert "upper bound" not in text(make_run(conditions=CHAINS), 140)


def test_an_unfinished_run_says_so(make_run):
    assert "interrupted: not all was done" in text(make_run(record={"status": "interrupted"}), 140)


def test_groups_are_counted(make_run):
    assert "intervals for 9 groups" in text(make_run(data={"n_groups": 9}), 140)


def test_queries_are_counted_for_attacks_without_gradients(make_run):
    run = make_run()
    assert "queries" not in text(run, 180)
    run.record.conditions[1].gradients, run.record.conditions[1].forwards = 0, 12_300
    shown = text(run, 180)
    assert re.search(r"pgd\(eps=0.1\) .* 123 │", shown)
    assert "queries: forward passes per image" in " ".join(shown.split())


def sweep_text(run, width=80):
    console = Console(width=width, file=io.StringIO())
    for table in sweep_tables(run, summarise(run)):
        console.print(table)
    return console.file.getvalue()


def test_every_shift_has_a_table_that_fits_80_columns(make_run):
    shown = sweep_text(make_run())
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.count("severity │") + shown.count("severity ┃") == 2  # night and blur
    words = " ".join(shown.split())
    # 0.97, 0.95, 0.8 and 0.4 at 0, 1, 3 and 5
    assert f"night: mean accuracy over severity 0 to 5 {(0.96 + 1.75 + 1.2) / 5:.1%}".replace("%", " %") in words
    assert re.search(r"│ 3 │ 8.9 – 24.4 │ 0.100 │ 0.340 │ \S+: 80.0 % │ 15.0 % │", words)
    assert "filled" not in shown


def test_many_shifts_share_one_table(make_run, monkeypatch):
    monkeypatch.setattr(sweep_table, "_FEW", 1)
    shown = sweep_text(make_run())
    assert max(map(len, shown.splitlines())) <= 80
    # The mean of night as above; 0.4 is its lowest accuracy, at severity 5.
    mean = f"{100 * (0.96 + 1.75 + 1.2) / 5:.1f}"
    assert re.search(rf"│ night +│ {mean} % │ [\d.]+ – [\d.]+ │ 40.0 % │ +5 │ \S+: ", shown)
    assert len(re.findall(r"^│ [a-z]", shown, re.MULTILINE)) == 2


def test_filled_pixels_are_shown_where_a_shift_has_some(make_run):
    run = make_run()
    run.samples.loc[run.samples["condition"] == "night", "filled"] = 0.125
    assert "12.5 %" in sweep_text(run)
    assert max(map(len, sweep_text(run).splitlines())) <= 80


def test_no_minus_before_zero(make_run):
    conditions = [("clean", "clean", None, [], 1.0, 0), ("night(severity=1)", "shift", 1.0, [], 1.0, 0)]
    assert "−0.0" not in sweep_text(make_run(conditions=conditions))


def test_breaking_points_have_a_table_that_fits_80_columns(make_run):
    run = make_run()
    assert breaking_tables(run) == []
    point = {
        "shift": "night",
        "share": 0.9,
        "tolerance": 0.05,
        "scan": [1.0, 3.0, 5.0],
        "severities": [1.0, 2.5, 3.0, 5.0],
    }
    never = BreakingPoint(
        **point | {"shift": "jpeg(quality=3)"},
        severity=None,
        ci_low=1,
        ci_high=None,
        notes=["does not fall below"],
    )
    run.record.breaking_points += [
        BreakingPoint(**point, severity=2.5, ci_low=1, ci_high=3, notes=["not monotone"]),
        never,
    ]
    console = Console(width=80, file=io.StringIO())
    console.print(breaking_tables(run)[0])
    shown = console.file.getvalue()
    assert max(map(len, shown.splitlines())) <= 80
    for expected in ("2.50", "1.00 – 3.00", "above 5", "1.00 – above 5", "below 90 % of the clean one"):
        assert expected in " ".join(shown.split())


def test_physical_values_are_written_as_people_do(make_run):
    record = make_run().record.conditions[0]
    values = {"exposure_ev": -0.9062, "cct_k": 5500.0, "full_well_e": 14321.7, "visibility_m": float("inf")}
    told = physical(record.model_copy(update={"values": values}))
    assert told == ["exposure_ev -0.906", "cct_k 5500", "full_well_e 14322", "visibility_m inf"]
