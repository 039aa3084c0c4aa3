"""The command ``rb train``: its options, and what they stand for."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from robustbench_lite import console
from robustbench_lite.cli.options import UNREAD_LEARNING, Common, with_common

LEARNING, REGULAR, ROBUST, INSTEAD = "Learning", "Regularisation", "Robustness", "Instead of one network"


@partial(with_common, split="auto", unread=UNREAD_LEARNING)
@console.guarded
def train(
    common: Common,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="At the most. (default: 30; --adversarial on 20,000 images or more: 10; --shift on fewer: 60)",
            rich_help_panel=LEARNING,
        ),
    ] = None,
    lr: Annotated[float, typer.Option(help="Peak learning rate.", rich_help_panel=LEARNING)] = 3e-3,
    optimizer: Annotated[str, typer.Option(help="adamw, adam or sgd.", rich_help_panel=LEARNING)] = "adamw",
    momentum: Annotated[float, typer.Option(help="Of sgd.", rich_help_panel=LEARNING)] = 0.9,
    schedule: Annotated[
        str, typer.Option(help="Of the rate: one-cycle, cosine, step, constant.", rich_help_panel=LEARNING)
    ] = "one-cycle",
    patience: Annotated[
        int, typer.Option(help="Epochs without a better one before it stops.", rich_help_panel=LEARNING)
    ] = 10,
    tune: Annotated[
        str, typer.Option(help="What --weights leave to learn: all, head or last:N.", rich_help_panel=LEARNING)
    ] = "all",
    balanced: Annotated[
        bool, typer.Option("--balanced", help="Draw all classes equally often.", rich_help_panel=LEARNING)
    ] = False,
    augment: Annotated[
        str | None,
        typer.Option(
            help="flip, flip-vertical, crop, trivialaugment, augmix, mixup: a list.", rich_help_panel=REGULAR
        ),
    ] = None,
    weight_decay: Annotated[float, typer.Option(help="L2.", rich_help_panel=REGULAR)] = 0.01,
    l1: Annotated[float, typer.Option(help="Weight of the absolute weights.", rich_help_panel=REGULAR)] = 0.0,
    dropout: Annotated[
        float,
        typer.Option(help="Share of features dropped before the last linear layer.", rich_help_panel=REGULAR),
    ] = 0.0,
    label_smoothing: Annotated[
        float, typer.Option(help="Share of a label spread over all classes.", rich_help_panel=REGULAR)
    ] = 0.0,
    ema: Annotated[
        float | None, typer.Option(help="Decay of an average of the weights, like 0.999.", rich_help_panel=REGULAR)
    ] = None,
    adversarial: Annotated[
        str | None,
        typer.Option(help="fast, pgd, trades, or any attack: learn from attacked images.", rich_help_panel=ROBUST),
    ] = None,
    eps: Annotated[
        str | None,
        typer.Option(help="Of the attack: 0.03 or 8/255. (default: suits the data)", rich_help_panel=ROBUST),
    ] = None,
    norm: Annotated[str | None, typer.Option(help="Of the attack: linf, l2, l1.", rich_help_panel=ROBUST)] = None,
    steps: Annotated[int | None, typer.Option(help="Of the attack.", rich_help_panel=ROBUST)] = None,
    step_size: Annotated[str | None, typer.Option(help="Of the attack.", rich_help_panel=ROBUST)] = None,
    warmup: Annotated[
        float | None, typer.Option(help="Share of the training over which eps rises.", rich_help_panel=ROBUST)
    ] = None,
    shift: Annotated[
        str | None,
        typer.Option(
            help='Learn from shifted images: "night(severity=1..4), gaussian_blur".', rich_help_panel=ROBUST
        ),
    ] = None,
    mix: Annotated[
        str | None, typer.Option(help='Weights: "clean=1, shift=1, attack=2".', rich_help_panel=ROBUST)
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            help="Train all of standard, fast, pgd, trades, shift, mix, or specs: one table.",
            rich_help_panel=INSTEAD,
        ),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(
            help="Of --compare: the attack or a shift that networks are judged under, a spec; may be repeated.",
            rich_help_panel=INSTEAD,
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="holdout, kfold:5, kfold:5x3, group:5, time:5: spread over folds.", rich_help_panel=INSTEAD
        ),
    ] = None,
    order: Annotated[
        str,
        typer.Option(
            help="Of --protocol time: name, or a pattern in it ('day(\\d+)'), level:N, column:NAME.",
            rich_help_panel=INSTEAD,
        ),
    ] = "name",
    find_lr: Annotated[
        bool, typer.Option("--find-lr", help="Only look for a learning rate.", rich_help_panel=INSTEAD)
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a training that was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Train a classifier or a model of images; the checkpoint says all that --model needs to know.

    --model names the architecture: cnn (default), strided (default with --adversarial), resnet, mlp, linear,
    torchvision:NAME, file.py:factory; or a model of images: vae, autoencoder, …; see rb ls generators. It asks
    for no labels.
    --limit and --first hold for the training images.

    Examples:

      rb train --data digits --out net.safetensors

      rb train --data folder:parts --input-size 96 --channels 1 --model "cnn(width=16)" --out parts.safetensors

      rb train --data folder:parts --input-size 64 --model "vae(latents=16)" --out vae.safetensors
    """
    from robustbench_lite.cli.train_run import Asked, run_training

    learning: dict[str, Any] = {
        "lr": lr,
        "optimizer": optimizer,
        "momentum": momentum,
        "schedule": schedule,
        "weight_decay": weight_decay,
        "l1": l1,
        "dropout": dropout,
        "label_smoothing": label_smoothing,
        "ema": ema,
        "patience": patience,
        "balanced": balanced,
        "augment": tuple(name.strip() for name in augment.split(",")) if augment else (),
        "seed": common.seed,
    }
    suiting = {"epochs": epochs, "batch_size": common.batch_size}
    learning |= {name: value for name, value in suiting.items() if value is not None}
    attack = {"eps": eps, "norm": norm, "steps": steps, "step_size": step_size}
    asked = Asked(
        learning=learning,
        adversarial=adversarial,
        attack={name: value for name, value in attack.items() if value is not None},
        warmup=warmup,
        shift=shift,
        mix=mix,
        tune=tune,
        compare=compare,
        on=tuple(on or ()),
        protocol=protocol,
        order=order,
        find_lr=find_lr,
        resume=resume,
        overwrite=overwrite,
    )
    run_training(common, asked)
