"""Every command as the README calls it."""

from __future__ import annotations

import json
import re

import pytest
import typer

from robustbench_lite import registry
from robustbench_lite.cli.app import app
from robustbench_lite.names import PUBLISHED
from robustbench_lite.reports.listing import KINDS
from robustbench_lite.runs import read_run

PARTS = ("--data", "folder:parts", "--split", "all")
PROMISED = {"run", "model", "data", "results"}
PROMISED_OF_A_RESULT = {
    "condition",
    "kind",
    "n",
    "accuracy",
    "ci_low",
    "ci_high",
    "drop",
    "median_l2",
    "median_linf",
    "forwards_per_sample",
    "gradients_per_sample",
    "seconds",
    "warnings",
}
COMMANDS = ["attack", "shift", "eval", "merge", "train", "report", "show", "ls", "doctor"]


def test_brackets_in_help_texts_are_shown():
    """rich reads what stands in square brackets as markup, and leaves it out."""
    from rich.text import Text

    waiting = [typer.main.get_command(app)]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        texts = [command.help, *(getattr(param, "help", None) for param in command.params)]
        for text in filter(None, texts):
            assert Text.from_markup(text).plain == text.replace("\\[", "["), command.name


def test_attack_in_an_empty_folder(rb, tmp_path):
    done = rb("attack", "--method", "pgd")
    assert done.code == 0
    assert "demo on digits, test split" in done.out
    (row,) = re.findall(r"pgd\(eps=0\.1\) +│ +361 │ +([\d.]+) %", done.out)  # the default budget is said
    (clean,) = re.findall(r"clean +│ +361 │ +([\d.]+) %", done.out)
    assert float(row) < float(clean) - 20
    (printed,) = re.findall(r"^run: (.+)$", done.out, re.MULTILINE)
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]
    record = read_run(tmp_path / printed).record
    assert record.status == "done"
    assert record.demo
    assert record.argv == ["rb", "attack", "--method", "pgd"]
    assert record.conditions[1].threat_model[0].eps == 0.1
    assert "upper bound" in " ".join(done.out.split())
    assert "checks: 10 of 10 passed\n" in done.out
    assert f"rb report {printed}" in done.err
    assert "warning" not in done.err


def test_shift_in_an_empty_folder(rb):
    done = rb("shift", "--lighting", "night")
    assert done.code == 0
    accuracies = dict(re.findall(r"(clean|night\(severity=\d\)) +│ +361 │ +([\d.]+) %", done.out))
    assert list(accuracies) == ["clean", *(f"night(severity={s})" for s in range(1, 6))]
    assert float(accuracies["night(severity=5)"]) < float(accuracies["night(severity=1)"])


def test_eval_takes_attacks_shifts_and_chains(rb):
    specs = ["pgd(eps=0.1, steps=2)", "jpeg(severity=3)", "gaussian_noise(severity=2) + fgsm(eps=0.05)"]
    done = rb("eval", *(word for spec in specs for word in ("--on", spec)), "--limit", 30, "--json")
    assert [r["condition"] for r in done.document["results"]] == ["clean", *specs]
    assert [r["kind"] for r in done.document["results"]] == ["clean", "attack", "shift", "chain"]


def test_what_is_trained_can_be_attacked(rb, tmp_path):
    done = rb("train", "--data", "digits", "--epochs", 2, "--out", "made/net.safetensors", "--json")
    assert done.code == 0
    assert done.document["epochs"] == 2
    assert done.document["checkpoint"] == "made/net.safetensors"
    majority, *others = done.document["baselines"]
    assert done.document["validation"]["accuracy"] == done.document["val_accuracy"] > 0.5 > majority["accuracy"]
    assert [one["name"] for one in others] == ["nearest neighbour", "logistic regression"]
    assert done.document["curves"] == "made/net.curves.png"
    assert {p.name for p in (tmp_path / "made").iterdir()} == {"net.safetensors", "net.curves.png"}
    attacked = rb("attack", "--method", "fgsm", "--model", "made/net.safetensors", "--limit", 40, "--json")
    assert attacked.document["model"] == "made/net.safetensors"
    assert not read_run(attacked.document["run"]).record.demo


@pytest.fixture
def evaluate_json(rb):
    def call(*words):
        done = rb(*words, "--json")
        assert done.code == 0, done.err
        return done.document

    return call


def test_json_has_the_promised_keys_with_the_right_types(evaluate_json):
    document = evaluate_json("eval", "--on", "fgsm", "--on", "night(severity=3)", "--limit", 30)
    assert document.keys() >= PROMISED
    for result in document["results"]:
        assert result.keys() >= PROMISED_OF_A_RESULT
        assert 0 <= result["ci_low"] <= result["accuracy"] <= result["ci_high"] <= 1
        assert result["n"] == 30
        assert result["warnings"] == []
    clean, fgsm, night = document["results"]
    assert clean["drop"] == 0
    assert clean["median_l2"] is None
    assert fgsm["drop"] == pytest.approx(clean["accuracy"] - fgsm["accuracy"])
    assert fgsm["median_linf"] == pytest.approx(0.1, abs=1e-6)
    assert clean["gradients_per_sample"] == night["gradients_per_sample"] == 0
    assert fgsm["gradients_per_sample"] == pytest.approx(clean["accuracy"])  # only what is right is attacked
    assert night["forwards_per_sample"] == 1


def test_saved_images_are_replayed_on_the_demo_network(rb, tmp_path):
    first = rb("attack", "--method", "fgsm", "--limit", 30, "--save-images", "--out", "one", "--json")
    again = rb("eval", "--on", "clean", "--data", "run:one", "--json")
    assert again.document["results"][0]["accuracy"] == first.document["results"][1]["accuracy"]
    assert read_run(again.document["run"]).record.demo
    assert len(list((tmp_path / "one" / "saved").glob("*/*.png"))) == 60
    shifted = rb("shift", "--digital", "jpeg", "-s", "2", "--limit", 5, "--save-images", "--out", "two")
    assert shifted.code == 0
    assert len(list((tmp_path / "two" / "saved").glob("*.npz"))) == 2


def test_rounded_to_8_bits(rb):
    plain = rb("attack", "--method", "fgsm", "--limit", 60, "--json")
    rounded = rb("attack", "--method", "fgsm", "--limit", 60, "--as-8bit", "--json")
    assert [read_run(o.document["run"]).record.as_8bit for o in (plain, rounded)] == [False, True]
    before, after = (o.document["results"][1] for o in (plain, rounded))
    assert before["fooled_8bit"] == after["fooled_8bit"] == after["fooled"] <= before["fooled"]
    table = rb("eval", "--on", "fgsm", "--limit", 20, "--as-8bit")
    assert "adversarial images were rounded to 8 bits" in " ".join(table.out.split())


def test_json_is_the_same_from_show(rb, run_folder):
    first, second = rb("show", run_folder, "--json"), rb("show", run_folder, "--json")
    assert first == second
    assert [r["condition"] for r in first.document["results"]] == ["clean", "fgsm(eps=0.1)", "night(severity=2)"]


def test_show_prints_the_table_again(rb, run_folder):
    done = rb("show", run_folder)
    assert done.code == 0
    assert "fgsm(eps=0.1)" in done.out
    assert f"run: {run_folder}" in done.out


def test_report_writes_one_page(rb, run_folder, tmp_path):
    done = rb("report", run_folder, "--out", "pages/page.html")
    assert done.code == 0
    assert done.out == "pages/page.html\n"
    page = (tmp_path / "pages/page.html").read_text()
    assert page.lower().startswith("<!doctype html>")
    assert "fgsm(eps=0.1)" in page


@pytest.mark.parametrize("what", ["", *KINDS])
def test_ls_names_everything_that_is_registered(rb, what):
    done = rb("ls", *[what] * bool(what))
    assert done.code == 0
    for listed in [what] if what else KINDS:
        for name in registry.names(KINDS[listed]):
            assert re.search(rf"^  {re.escape(name)}\b", done.out, re.MULTILINE)


def test_ls_json(rb):
    document = rb("ls", "shifts", "--json").document
    assert list(document) == ["shifts"]
    assert {d["name"] for d in document["shifts"]} == set(registry.names("shift"))
    (night,) = (d for d in document["shifts"] if d["name"] == "night")
    assert night["parameters"]["severity"]


def test_doctor_finds_the_demo_well(rb):
    done = rb("doctor")
    assert done.code == 0
    assert "BAD" not in done.out
    assert "ok  logits: the outputs are no probabilities" in done.out


def test_doctor_as_json_tells_what_is_bad(rb, files):
    done = rb("doctor", "--model", "nets.py:Softmax", *PARTS, "--json")
    assert done.code == 2
    assert [f["what"] for f in done.document["findings"] if f["ok"] is False] == ["logits"]


def test_doctor_does_not_mind_a_network_of_nan(rb, files):
    done = rb("doctor", "--model", "nets.py:NaN", *PARTS)
    assert done.code == 2
    assert "BAD finite outputs: NaN or infinity on unchanged images" in done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_that_names_the_command(rb, command):
    done = rb(command, "--help")
    assert done.code == 0
    assert re.search(rf"Examples?:\s+rb {command}\b", done.out)


def test_help_lists_every_command(rb):
    done = rb("--help")
    assert done.code == 0
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", done.out, re.MULTILINE)
    assert rb("-h") == done


def test_version(rb):
    from robustbench_lite import __version__

    assert rb("--version").out == f"robustbench_lite {__version__}\n"


def test_every_family_of_shifts_has_its_option(rb):
    help_text = rb("shift", "--help").out
    for name in registry.names("shift"):
        option = re.search(rf"│ +--{registry.family(name)} (.*?)(?=│ +--|╰)", help_text, re.DOTALL)
        assert option, f"rb shift lacks --{registry.family(name)}"
        assert name in re.sub(r"[│\s]+", " ", option[1])


@pytest.mark.parametrize("name", sorted(set(registry.BUILTIN["shift"]) - set(PUBLISHED)))
def test_every_shift_is_reached_through_its_family(rb, name):
    done = rb("shift", f"--{registry.family(name)}", name, "--severity", 2, "--dry-run", "--json")
    if registry.load("shift", name).needs_colour:  # the digits are grey
        assert done.code == 2
        assert "it needs images of 3 channels, not 1" in done.err
        return
    wanted = name if registry.load("shift", name).switch else f"{name}(severity=2)"
    assert [c["condition"] for c in done.document["conditions"]] == ["clean", wanted]


@pytest.mark.parametrize(
    ("text", "levels"), [("1-5", "12345"), ("3", "3"), ("0.5,1", ["0.5", "1"]), ("0-1", "01"), (" 2 , 4 ", "24")]
)
def test_sweeps_of_severity(rb, text, levels):
    done = rb("shift", "--digital", "contrast", "--severity", text, "--dry-run", "--json")
    assert [c["condition"] for c in done.document["conditions"]][1:] == [f"contrast(severity={s})" for s in levels]


def test_a_spec_that_says_its_severity_keeps_it(rb):
    done = rb("shift", "--lighting", "night(severity=2.5)", "--optics", "gaussian_blur", "--dry-run", "--json")
    conditions = [c["condition"] for c in done.document["conditions"]][1:]
    assert conditions == ["night(severity=2.5)", *(f"gaussian_blur(severity={s})" for s in range(1, 6))]


def test_flags_of_attack_become_arguments_of_every_method(rb):
    words = ("--eps", "8/255", "--target", "least-likely", "--dry-run", "--json")
    done = rb("attack", "--method", "fgsm", "--method", "pgd(steps=3)", *words)
    assert [c["condition"] for c in done.document["conditions"]][1:] == [
        "fgsm(eps=8/255, target=least-likely)",
        "pgd(eps=8/255, steps=3, target=least-likely)",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("attack", "--method", "pgd"),
        ("shift", "--lighting", "night"),
        ("eval", "--on", "cw"),
        ("train", "--data", "digits"),
    ],
)
def test_a_dry_run_evaluates_and_writes_nothing(rb, tree, tmp_path, monkeypatch, checkpoint, words):
    def computed(*arguments, **named):
        raise AssertionError("it was a dry run")

    for place in ("runner.evaluate", "training.trainer.train"):
        monkeypatch.setattr(f"robustbench_lite.{place}", computed)
    before = tree(checkpoint.parent)
    done = rb(*words, "--dry-run")
    assert done.code == 0
    assert done.out
    assert list(tmp_path.iterdir()) == []
    assert tree(checkpoint.parent) == before


def test_a_dry_run_says_the_cost(rb):
    done = rb("attack", "--method", "pgd", "--steps", 7, "--restarts", 2, "--limit", 10, "--dry-run", "--json")
    assert done.document["n"] == 10
    pgd = done.document["conditions"][1]
    assert pgd["gradients_per_sample"] == 14
    real = rb("attack", "--method", "pgd", "--steps", 7, "--restarts", 2, "--limit", 10, "--json")
    result = real.document["results"][1]
    assert 0 < result["gradients_per_sample"] <= pgd["gradients_per_sample"]
    assert 0 < result["forwards_per_sample"] <= pgd["forwards_per_sample"] + pgd["gradients_per_sample"]


def test_quiet_leaves_the_result_alone(rb):
    done = rb("attack", "--method", "fgsm", "--limit", 20, "-q")
    assert done.code == 0
    assert done.err == ""
    assert "fgsm(eps=0.1)" in done.out


def test_json_says_what_it_has_to_say_beside_it_on_stderr(rb):
    done = rb("attack", "--method", "fgsm", "--limit", 20, "--json", "--verbose")
    assert done.document["status"] == "done"
    assert "Your own network" in done.err


def test_out_is_where_the_run_goes(rb, tmp_path):
    done = rb("attack", "--method", "fgsm", "--limit", 20, "--out", "deep/er/run", "--json")
    assert done.document["run"] == "deep/er/run"
    assert (tmp_path / "deep/er/run/run.json").is_file()
    assert [p.name for p in (tmp_path / "deep/er").iterdir()] == ["run"]


def test_runs_do_not_meet_each_other(rb, tmp_path):
    words = ("attack", "--method", "fgsm", "--limit", 20, "--json")
    first, second = rb(*words).document, rb(*words).document
    assert first.pop("run") != second.pop("run")
    for result in (*first["results"], *second["results"]):
        del result["seconds"]
    assert first == second
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_results_do_not_depend_on_the_batch_size(evaluate_json):
    words = ("eval", "--on", "pgd(steps=3)", "--on", "gaussian_noise(severity=3)", "--limit", 30)
    whole, pieces = (evaluate_json(*words, "--batch-size", size)["results"] for size in (30, 7))
    for key in ("n", "accuracy", "median_l2"):
        assert [r[key] or 0 for r in whole] == pytest.approx([r[key] or 0 for r in pieces], rel=1e-4)


def test_no_checks_is_recorded(rb):
    done = rb("attack", "--method", "pgd(steps=2)", "--limit", 20, "--no-checks")
    assert "checks: 5 of 10 passed, 5 not run\n" in done.out
    (printed,) = re.findall(r"^run: (.+)$", done.out, re.MULTILINE)
    (condition,) = read_run(printed).record.conditions[1:]
    assert condition.check_passes == 0
    assert [c.seen for c in condition.checks if c.status == "not run"] == ["left out with --no-checks."] * 5


def test_softmax_outputs_are_told_and_recorded(rb, files):
    done = rb("attack", "--method", "fgsm", "--model", "nets.py:Softmax", *PARTS)
    assert done.code == 0
    assert "warning: the network returns probabilities (a softmax at the end), not logits" in done.err
    (printed,) = re.findall(r"^run: (.+)$", done.out, re.MULTILINE)
    (check,) = (c for c in read_run(printed).record.checks if c.status == "triggered")
    assert check.command == "rb doctor --model nets.py:Softmax --data folder:parts --split all"
    assert f"Run: {check.command}\n" in done.err
    assert check.model_dump() in json.loads(rb("show", printed, "--json").out)["checks"]


def test_a_network_and_an_attack_of_ones_own(rb, files):
    done = rb("eval", "--on", "own.py:Second(eps=0.2)", "--model", "nets.py:Bright(gain=20)", *PARTS, "--json")
    assert done.code == 0
    assert done.document["model"] == "nets.py:Bright(gain=20)"
    assert done.document["results"][0]["accuracy"] == 1
    assert done.document["results"][1]["condition"] == "own.py:Second(eps=0.2)"


def test_classes_are_matched_by_name_not_by_place(rb, files, checkpoint):
    """A folder that lacks classes of the network has other labels than the network."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for name in "37":
        (files / "some" / name).mkdir(parents=True)
        for i in np.flatnonzero(digits.target == int(name))[:20]:
            pixels = (digits.images[i] * 255 / 16).round().astype(np.uint8)
            Image.fromarray(pixels).save(files / "some" / name / f"{i}.png")
    words = ("--model", checkpoint, "--data", "folder:some", "--split", "all", "--json")
    done = rb("attack", "--method", "fgsm", *words)
    assert done.document["results"][0]["accuracy"] > 0.9
