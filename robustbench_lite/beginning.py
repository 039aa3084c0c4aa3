"""Which batches a run has, where it and its finished batches go, and what is said if there is no room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_lite.classifiers.pieces import default_batch
from robustbench_lite.errors import InputError
from robustbench_lite.identity import identity_of
from robustbench_lite.locking import Claim
from robustbench_lite.recording import detector_sha256
from robustbench_lite.run_folder import RunFolder, check_asked, check_place
from robustbench_lite.sharding import WHOLE, Shard
from robustbench_lite.unfinished import Store, name_of, opened

if TYPE_CHECKING:
    from robustbench_lite.classifiers.classifier import Classifier
    from robustbench_lite.data.dataset import Dataset
    from robustbench_lite.inputs import Inputs
    from robustbench_lite.runner import Prepared


def in_batches(
    inputs: Inputs, shard: Shard, dataset: Dataset, classifier: Classifier
) -> tuple[Inputs, tuple[str, ...]]:
    """The inputs with the batch size of a shard, and a note if that is another than that of the whole run."""
    if shard == WHOLE:
        return inputs, ()
    usual = inputs.batch_size or default_batch(dataset.image_shape, pieces=classifier.in_pieces)
    size = shard.batch_size(len(dataset), usual)
    note = (
        f"batches of {size} images instead of {usual}, so that there is one for each of {shard.count} shards: the "
        f"last digits may differ from an unsharded run, unless that is given --batch-size {size}"
    )
    return replace(inputs, batch_size=size), (() if size == usual else (note,))


def begun(
    prepared: Prepared, path: Path, *, as_8bit: bool, save_images: bool, resume: bool
) -> tuple[Store | None, RunFolder]:
    """Where finished batches are kept, if they can be, and where the run will be.

    Args:
        prepared: network and images.
        path: of the run.
        as_8bit, save_images, resume: as for ``runner.run``.

    Raises:
        InputError: the place is taken, another process is about to write there, it cannot be written, or there is
            no going on.
    """
    check_asked(path, resume=resume, save_images=save_images)
    try:
        identity = identity_of(
            prepared.classifier,
            prepared.dataset,
            seed=prepared.inputs.seed,
            batch_size=prepared.inputs.batch_size,
            as_8bit=as_8bit,
            detector="" if prepared.detector_folder is None else detector_sha256(prepared.detector_folder),
        ) | ({} if prepared.shard == WHOLE else {"shard": str(prepared.shard)})
    except InputError:
        if resume:
            raise
        return None, RunFolder(path)
    goes_on = name_of(identity) if resume else ""
    check_place(path, goes_on)  # before anything is made or discarded
    claim, store = Claim(path), None
    try:
        store = opened(path.parent, identity, resume=resume)
        return store, RunFolder(path, goes_on if store else "", store.folder if store else None, claim)
    except BaseException:
        claim.give_up()
        if store:
            store.close()
        raise


@contextmanager
def told_if_unwritten(path: Path, store: Store | None) -> Iterator[None]:
    """Around writing a run: commit its last batches first, and say what a full disk means for what was computed.

    Raises:
        InputError: a run cannot be written to ``path``.
    """
    if store:
        store.flush()
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if store is None:
            raise InputError(f"cannot write {path}: {reason}.", "Free some space, and run it again.") from error
        kept = "" if store.flush() else f", but for {store.unwritten} that there was no room for either"
        raise InputError(
            f"cannot write {path}: {reason}. Finished batches are kept in {store.folder}{kept}.",
            "Free some space, and give the same command with --resume: they are not computed again.",
        ) from error
