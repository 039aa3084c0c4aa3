"""Attack a network from Python and write the report: python examples/quickstart.py [OUT]

It takes the demo network and the digits; give load_classifier and load_dataset your own.
"""

import sys
from pathlib import Path

import robustbench_lite as rb
from robustbench_lite import runner
from robustbench_lite.metrics import summarise
from robustbench_lite.reports.html import write_report


def main(out: Path) -> None:
    """In memory first, then as a run folder with its report."""
    classifier = rb.load_classifier("demo")
    dataset = rb.load_dataset("digits", limit=100)
    result = rb.evaluate(classifier, dataset, ["pgd(steps=20)", "night(severity=3)"])
    for condition, accuracy in result.samples.groupby("condition", sort=False)["correct"].mean().items():
        print(f"{condition}: {accuracy:.1%} of {len(dataset)} images")

    prepared = runner.prepare(runner.Inputs(model="demo", data="digits", limit=100), ["pgd(steps=20)"])
    run = runner.run(prepared, command="eval", out=out)
    for row in summarise(run):
        print(f"{row['condition']}: {row['accuracy']:.1%}, 95 % from {row['ci_low']:.1%} to {row['ci_high']:.1%}")
    print(write_report(run, run.path / "report.html"))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/quickstart"))
