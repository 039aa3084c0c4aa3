"""One stream per sample: a draw depends on seed, condition, sample and key, and on nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_lite.rng import Streams, stable_hash

LIKE = torch.zeros(1)
IDS = ("a", "b", "c", "d", "e")


def draw(ids=IDS, seed=0, condition="pgd(eps=0.1)", key=(), shape=(2, 3), kind="uniform"):
    return getattr(Streams(seed, condition, tuple(ids)), kind)(shape, *key, like=LIKE)


kinds = pytest.mark.parametrize("kind", ["uniform", "normal"])


@kinds
@given(st.data())
def test_neighbours_order_and_batches_do_not_matter(kind, data):
    order = data.draw(st.permutations(IDS))
    cut = data.draw(st.integers(1, 4))
    whole = dict(zip(IDS, draw(kind=kind), strict=True))
    for batch in (order[:cut], order[cut:]):
        for name, values in zip(batch, draw(batch, kind=kind), strict=True):
            assert torch.equal(values, whole[name])


@kinds
def test_the_same_draw_again_gives_the_same_numbers(kind):
    """Streams hold no state, so a restarted run is the same run."""
    streams = Streams(0, "x", IDS)
    first = getattr(streams, kind)((4,), "key", like=LIKE)
    getattr(streams, kind)((100,), "other", like=LIKE)
    assert torch.equal(first, getattr(streams, kind)((4,), "key", like=LIKE))


@kinds
def test_everything_that_should_matter_does(kind):
    variants = [
        draw(kind=kind),
        draw(seed=1, kind=kind),
        draw(condition="pgd(eps=0.2)", kind=kind),
        draw(key=(0,), kind=kind),
        draw(key=(1,), kind=kind),
        draw(key=(0, "radius"), kind=kind),
        draw(ids="fghij", kind=kind),
    ]
    rows = torch.cat([v.flatten(1) for v in variants])
    distances = torch.cdist(rows, rows) + torch.eye(len(rows))
    assert distances.min() > 1e-3


def test_a_longer_draw_begins_with_the_shorter_one():
    """No law, but what images of one size rely on: the shape is not part of the stream's name."""
    assert torch.equal(draw(shape=(3,)), draw(shape=(6,))[:, :3])


def test_choosing_samples_chooses_their_streams():
    streams = Streams(3, "x", IDS)
    for indices in ([4, 0], torch.tensor([4, 0]), (4, 0)):
        chosen = streams[indices]
        assert chosen.sample_ids == ("e", "a")
        assert torch.equal(chosen.normal((2,), like=LIKE), streams.normal((2,), like=LIKE)[[4, 0]])
    assert len(streams[torch.tensor([], dtype=torch.long)]) == 0
    assert streams[[]].uniform((2,), like=LIKE).shape == (0, 2)


def test_a_camera_is_the_same_for_all_samples_and_another_for_another_seed():
    camera = Streams(3, "x", IDS).camera()
    assert camera == Streams(3, "x", ("z",)).camera()
    assert len(camera) == 1
    assert camera != Streams(4, "x", IDS).camera()
    assert camera != Streams(3, "y", IDS).camera()


def test_the_numbers_never_change():
    """A run of last year can be repeated. If this fails, every random number of the package has changed."""
    assert stable_hash(0, "pgd(eps=0.1)", "a", "radius") == 951069033646730969
    assert draw("a", shape=(3,)).tolist() == [pytest.approx([0.9572338, 0.2619265, 0.6767365], abs=1e-7)]
    assert draw("a", shape=(3,), kind="normal").tolist() == [
        pytest.approx([-0.752379, -0.3954, 0.891444], abs=1e-5)
    ]


def test_the_hash_is_the_same_in_every_process():
    code = "from robustbench_lite.rng import stable_hash; print(stable_hash(1, 'ü', None, (2, 0.5)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == stable_hash(1, "ü", None, (2, 0.5))


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
@settings(max_examples=50)
def test_hashes_of_other_parts_differ(one, other):
    if "\x1f".join(one) != "\x1f".join(other):
        assert stable_hash(*one) != stable_hash(*other)
    assert 0 <= stable_hash(*one) < 2**63


@kinds
def test_the_global_generator_is_left_alone(kind):
    before = torch.get_rng_state()
    draw(kind=kind)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    first = draw(kind=kind)
    torch.manual_seed(2)
    assert torch.equal(first, draw(kind=kind))


def test_uniform_and_normal_are_what_they_say():
    from scipy.stats import kstest

    ids = [str(i) for i in range(2000)]
    uniform, normal = draw(ids, shape=()), draw(ids, shape=(), kind="normal")
    assert uniform.shape == (2000,)
    assert ((uniform >= 0) & (uniform < 1)).all()
    assert kstest(uniform.numpy(), "uniform").pvalue > 1e-3
    assert kstest(normal.numpy(), "norm").pvalue > 1e-3


def test_many_normal_numbers_of_one_sample_are_independent():
    from scipy.stats import kstest, kurtosis, skew

    values = draw("a", shape=(3, 224, 224), kind="normal")[0]
    flat = values.flatten().double().numpy()
    assert kstest(flat, "norm").pvalue > 1e-3
    assert values.mean().abs() < 0.01
    assert values.var().item() == pytest.approx(1, abs=0.012)  # three standard errors
    assert abs(skew(flat)) < 0.02
    assert abs(kurtosis(flat)) < 0.04
    spectrum = torch.fft.rfft2(values[0], norm="ortho").abs().square()[1:, 1:]
    assert spectrum.max() < 20  # of a mean of 1: no frequency stands out
    for lag in (1, 2, 3, 4, 224):
        product = flat[lag:] * flat[:-lag]
        assert abs(product.mean()) < 0.01


def test_dtype_and_device_are_those_of_like():
    streams = Streams(0, "x", IDS)
    assert streams.uniform((2,), like=torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
    if torch.cuda.is_available():
        on_cuda = streams.normal((2,), like=torch.zeros(1, device="cuda"))
        assert torch.equal(on_cuda.cpu(), streams.normal((2,), like=LIKE))


def test_words_are_even_and_belong_to_the_sample():
    from scipy.stats import kstest

    words = Streams(0, "pgd", IDS).words((3, 10_001), "key", like=LIKE)
    assert words.dtype == torch.int16
    assert kstest(words.flatten().double().add(0.5).div(1 << 16).numpy(), "uniform", args=(-0.5, 1)).pvalue > 1e-3
    assert torch.equal(Streams(0, "pgd", ("d",)).words((3, 10_001), "key", like=LIKE)[0], words[3])
    assert not torch.equal(Streams(0, "pgd", IDS).words((3, 10_001), "another", like=LIKE), words)
