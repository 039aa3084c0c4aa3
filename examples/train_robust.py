"""A network that withstands more, and what that costs: python examples/train_robust.py

It writes robust.safetensors and the folder compared, on the digits; give load_dataset your own images.
"""

from pathlib import Path

import robustbench_lite as rb
from robustbench_lite.weights import save_checkpoint


def main() -> None:
    """One recipe first, then several beside standard training."""
    train_set, val_set = (rb.load_dataset("digits", split=split, limit=300) for split in ("train", "val"))
    options = rb.TrainingOptions(epochs=6, lr=1e-2)

    # One recipe: half of the images are clean, half are attacked while the network learns.
    recipe = rb.make_recipe(adversarial="pgd(eps=0.05, steps=2)", mix="clean=1, attack=1")
    trained = rb.train("mlp(width=64)", train_set, val_set, options, recipe=recipe)
    history = trained.info.history
    best = history["epochs"][history["best_epoch"] - 1]
    print(f"clean {best['val_accuracy']:.1%}, under PGD {best['robust_accuracy']:.1%}")
    for verdict in history["verdicts"]:
        print(verdict["text"], verdict["remedy"])
    save_checkpoint(Path("robust.safetensors"), trained.network, trained.info)

    # Several, beside standard training: what each gains and costs.
    recipes = {
        "pgd": rb.make_recipe(adversarial="pgd(eps=0.05, steps=2)"),
        "shift": rb.make_recipe(shift="gaussian_noise(severity=1..4), gaussian_blur"),
    }
    found = rb.trade_off(
        *(train_set, val_set, recipes, "compared"),
        architecture="mlp(width=64)",
        options=options,
        on=["pgd(eps=0.05, steps=10)", "gaussian_noise(severity=3)", "gaussian_blur(severity=3)"],
    )
    columns = ["recipe", "clean_accuracy", "robust_accuracy", "worst_shift_accuracy", "cpu_times"]
    print(found.table[columns].to_string(index=False, float_format="{:.2f}".format))


if __name__ == "__main__":
    main()
