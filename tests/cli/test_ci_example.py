"""The pipeline of examples/ci as a CI job runs it: 0 on the baseline, 3 on a worse network, 4 on few images."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

pytestmark = pytest.mark.slow
EXAMPLE = Path(__file__).parents[2] / "examples" / "ci"


def worsened(checkpoint, target):
    """The same network with noise in its weights."""
    with safe_open(checkpoint, framework="pt") as file:
        metadata, state = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    generator = torch.Generator().manual_seed(0)
    for name, tensor in state.items():
        if tensor.is_floating_point() and tensor.ndim > 1:
            state[name] = tensor + tensor.std() * torch.randn(tensor.shape, generator=generator)
    save_file(state, target, metadata)
    return target


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    """Run a script as a step of a CI job, with a command rb on its path."""
    place = tmp_path_factory.mktemp("bin")
    (place / "rb").write_text(f'#!/bin/sh\nexec {sys.executable} -m robustbench_lite "$@"\n')
    (place / "rb").chmod(0o755)

    def run(folder, *words, **environment):
        return subprocess.run(
            [str(word) for word in words],
            cwd=folder,
            env={**os.environ, "PATH": f"{place}:{os.environ['PATH']}", "GITHUB_ACTIONS": "true", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def job(call, checkpoint, tmp_path_factory):
    """A copy of the example with its baseline; what comes back runs the pipeline on a network."""
    made = {}

    def run(network, *options):
        if options not in made:
            made[options] = tmp_path_factory.mktemp("job") / "ci"
            shutil.copytree(EXAMPLE, made[options])
            words = ["rb", "eval", "--suite", "release", "--data", "digits", "--out", "baseline", *options]
            done = call(made[options], *words, "--model", checkpoint)
            assert done.returncode == 0, done.stderr
        folder, out = made[options], tmp_path_factory.mktemp("out")
        step = out / "step.md"
        words = ["./pipeline.sh", "--model", network, *options]
        return call(folder, *words, OUT=str(out), GITHUB_STEP_SUMMARY=str(step)), out

    return run


def verdicts(out):
    cases = ElementTree.parse(out / "gate.xml").iter("testcase")
    return {case.get("name"): next((child.get("type") or child.tag for child in case), "") for case in cases}


def kept(out):
    """What the job keeps is there, whatever the verdict."""
    assert (out / "report.html").stat().st_size > 10_000
    assert (out / "run" / "gate.json").is_file()
    assert (out / "step.md").read_text() == (out / "gate.md").read_text()


def test_green_on_the_baseline(job, checkpoint):
    done, out = job(checkpoint)
    assert done.returncode == 0, done.stdout + done.stderr
    kept(out)
    assert "::" not in done.stdout
    assert set(verdicts(out).values()) == {"system-out"}
    assert (
        (out / "step.md")
        .read_text()
        .startswith("**✓ PASS: Fit for release by its rules. All 2 binding rules are kept.**\n")
    )


def test_three_on_a_worse_network(job, checkpoint, tmp_path):
    done, out = job(worsened(checkpoint, tmp_path / "worse.safetensors"))
    assert done.returncode == 3, done.stdout + done.stderr
    kept(out)
    assert verdicts(out)["clean"] == "FAIL"
    assert verdicts(out)["night"] == "FAIL"
    assert "::error title=FAIL%3A night::" in done.stdout
    assert (
        (out / "step.md")
        .read_text()
        .startswith("**✗ FAIL: Not to be released. 2 of 2 binding rules are broken: clean, night. ")
    )


def test_four_on_too_few_images(job, checkpoint):
    done, out = job(checkpoint, "--limit", "20")
    assert done.returncode == 4, done.stdout + done.stderr
    kept(out)
    assert verdicts(out)["night"] == "INCONCLUSIVE"
    assert "::warning title=INCONCLUSIVE%3A night::" in done.stdout


def test_an_evaluation_that_fails_is_not_green(job, tmp_path):
    done, out = job(tmp_path / "missing.safetensors")
    assert done.returncode == 2
    assert not (out / "gate.xml").exists()
