"""What every registered shift must do, whatever it models."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_lite import descriptions, registry
from robustbench_lite.errors import InputError
from robustbench_lite.rng import Streams

# Those that are not graded have laws of their own: test_published.py.
CLASSES = {name: registry.load("shift", name) for name in sorted(registry.names("shift"))}
CLASSES = {name: cls for name, cls in CLASSES.items() if getattr(cls, "graded", True)}
NAMES = [*CLASSES]
RANDOM = [name for name in NAMES if CLASSES[name].random]
PER_CAMERA = [name for name in NAMES if CLASSES[name].per_camera]
FOR_ANY_CHANNELS = [name for name in NAMES if not CLASSES[name].needs_colour]


def shift(name, **arguments):
    return registry.load("shift", name)(**arguments)


def streams(ids, seed=0, condition="some condition"):
    return Streams(seed, condition, tuple(ids))


def noise_images(n, channels, height, width, seed=0):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(seed))


def textured_images(side, n=4):
    """Waves whose height falls with their frequency, as in photographs, and one hard edge."""
    generator = torch.Generator().manual_seed(side)
    y, x = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="ij")
    images = torch.zeros(n, 3, side, side)
    for image in images:
        for cycles in (0.5, 1, 2, 3, 5, 8, 13):
            direction, *phases = (2 * math.pi * torch.rand(4, generator=generator)).tolist()
            along = 2 * math.pi * cycles * (math.cos(direction) * x + math.sin(direction) * y)
            image += torch.stack([torch.sin(along + phase) for phase in phases]) / cycles**0.8
        image += 0.6 * (x + 0.3 * y > 0.6)
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    return 0.02 + 0.96 * (images - low) / (high - low)


def psnr(a, b):
    return -10 * torch.log10(((a - b) ** 2).mean((1, 2, 3))).mean().item()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(8, 8), (9, 13), (40, 31)])
@pytest.mark.parametrize("channels", [1, 3, 4, 7])
def test_any_size_and_number_of_channels(name, channels, size):
    images = noise_images(2, channels, *size)
    if channels != 3 and CLASSES[name].needs_colour:
        with pytest.raises(InputError, match=rf"needs images of 3 channels, not {channels}\."):
            shift(name)(images, streams("ab"))
        return
    before = images.clone()
    for severity in (0.5, 3, 5):
        out = shift(name, severity=severity)(images, streams("ab"))
        assert out.shape == images.shape
        assert out.dtype == images.dtype
        assert out.isfinite().all()
        assert out.min() >= 0
        assert out.max() <= 1
        assert severity < 5 or not torch.equal(out, images)  # a rare fault may spare a few pixels
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_black_and_white_images_stay_images(name, value):
    out = shift(name, severity=5)(torch.full((1, 3, 16, 16), value), streams("a"))
    assert out.isfinite().all()
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_severity_0_returns_the_same_bits_in_memory_of_its_own(name):
    images = noise_images(2, 3, 9, 11)
    out = shift(name, severity=0)(images, streams("ab"))
    assert torch.equal(out, images)
    assert out.data_ptr() != images.data_ptr()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_a_sample_gets_the_same_bits_in_every_batch(name, data):
    height, width = data.draw(st.integers(8, 40)), data.draw(st.integers(8, 40))
    channels = data.draw(st.sampled_from([1, 3, 4] if name in FOR_ANY_CHANNELS else [3]))
    severity = data.draw(st.floats(0, 5))
    order = data.draw(st.permutations(range(5)))
    images = noise_images(5, channels, height, width, seed=data.draw(st.integers(0, 1000)))
    ids = [f"sample {i}" for i in range(5)]
    change = shift(name, severity=severity)

    batch = change(images, streams(ids))
    shuffled = change(images[list(order)], streams(ids[i] for i in order))
    assert torch.equal(shuffled, batch[list(order)])
    for i in range(5):
        assert torch.equal(change(images[i : i + 1], streams([ids[i]])), batch[i : i + 1])


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_for_large_images_and_any_memory_layout(name):
    images = noise_images(3, 3, 121, 119)
    batch = shift(name)(images, streams("abc"))
    assert torch.equal(shift(name)(images[1:2], streams("b")), batch[1:2])
    other_layout = images.to(memory_format=torch.channels_last)
    assert torch.equal(shift(name)(other_layout, streams("abc")), batch)


@pytest.mark.parametrize("name", RANDOM)
def test_draws_depend_on_seed_condition_and_sample(name):
    images = noise_images(1, 3, 12, 12).expand(8, -1, -1, -1)
    ids = [*"aabcdefg"]
    out = shift(name)(images, streams(ids))
    assert torch.equal(out[0], out[1])
    assert any(not torch.equal(out[0], other) for other in out[2:])
    assert not torch.equal(shift(name)(images, streams(ids, seed=1)), out)
    assert not torch.equal(shift(name)(images, streams(ids, condition="another")), out)


@pytest.mark.parametrize("name", sorted({*NAMES} - {*RANDOM} - {*PER_CAMERA}))
def test_the_others_draw_nothing(name):
    images = noise_images(2, 3, 12, 12)
    assert torch.equal(shift(name)(images, streams("ab")), shift(name)(images, streams("xy", seed=1)))


@pytest.mark.parametrize("name", PER_CAMERA)
def test_a_pattern_of_the_camera_is_the_same_in_all_samples(name):
    images = noise_images(1, 3, 24, 24).expand(3, -1, -1, -1)
    out = shift(name)(images, streams("abc"))
    assert torch.equal(out[0], out[1])
    assert torch.equal(shift(name)(images, streams("xyz")), out)
    assert not torch.equal(shift(name)(images, streams("abc", seed=1)), out)


@pytest.mark.parametrize("name", NAMES)
def test_the_global_generator_is_left_alone(name):
    before = torch.get_rng_state()
    shift(name)(noise_images(1, 3, 12, 12), streams("a"))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", [name for name in NAMES if not CLASSES[name].switch])
@pytest.mark.parametrize("side", [32, 64, 224])
def test_every_step_of_severity_moves_the_image_further(name, side):
    images = textured_images(side)
    ids = [str(i) for i in range(len(images))]
    severities = (0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5) if side < 224 else (1, 2, 3, 4, 5)
    distances = [psnr(shift(name, severity=s)(images, streams(ids)), images) for s in severities]
    assert distances == sorted(distances, reverse=True), distances
    assert distances[0] - distances[-1] > 3


@pytest.mark.parametrize("name", [name for name in NAMES if CLASSES[name].differentiable])
def test_gradients_reach_the_image(name):
    images = noise_images(2, 3, 10, 10)
    images[0, :, :2] = 0  # where roots and powers have no slope
    images[0, :, 2:4] = 1
    images.requires_grad_()
    shift(name)(images, streams("ab")).sum().backward()
    assert images.grad.isfinite().all()
    assert (images.grad != 0).any()


@pytest.mark.parametrize("name", [name for name in NAMES if CLASSES[name].differentiable])
def test_gradients_are_those_of_finite_differences(name):
    """In one direction, clear of black and white. The gradient passes over the rounding of a converter."""
    images = (0.3 + 0.4 * textured_images(12, n=1)).double()
    values = {"bits": 16} if "bits" in CLASSES[name].arguments() else {}
    change = shift(name, severity=1, **values)
    weight, direction = (torch.randn(images.shape, generator=torch.Generator().manual_seed(s)) for s in (1, 2))

    def along(step):
        return (change(images + step * direction, streams("a")) * weight).sum()

    step = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(along(step), step)
    width = 1e-2 if values else 1e-5
    with torch.no_grad():
        measured = (along(step + width) - along(step - width)) / (2 * width)
    assert slope.item() == pytest.approx(measured.item(), rel=0.02, abs=0.02 if values else 1e-3)


@pytest.mark.parametrize(
    ("name", "argument"), [(name, argument) for name in NAMES for argument in CLASSES[name].smooth]
)
def test_gradients_reach_the_arguments_that_say_so(name, argument):
    image = (0.3 + 0.4 * textured_images(12, n=1)).double()
    some = shift(name, severity=2)
    at = some.values(image)
    if "bits" in vars(at):
        at.bits = 16
    weight = torch.randn(image.shape, generator=torch.Generator().manual_seed(1))

    def outcome(value):
        setattr(at, argument, value)
        return (some.change(at, image)(image, streams("a")).clamp(0, 1) * weight).sum()

    value = torch.tensor(float(getattr(at, argument)), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(outcome(value), value)
    width = (1e-2 if "bits" in vars(at) else 1e-4) * max(1, abs(value.item()))
    with torch.no_grad():
        measured = (outcome(value + width) - outcome(value - width)) / (2 * width)
    assert slope.item() == pytest.approx(measured.item(), rel=0.05, abs=0.02)
    assert slope.item() != 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("severity", [-0.1, 5.1, math.nan, math.inf])
def test_a_severity_off_the_scale_is_refused(name, severity):
    with pytest.raises(InputError, match=r"severity=.* is out of range\. Give a number from 0 to 5"):
        shift(name, severity=severity)


@pytest.mark.parametrize("name", NAMES)
def test_specs_round_trip(name):
    fields = dataclasses.fields(registry.load("shift", name))
    assert fields[0].name == "severity"
    assert registry.spec(registry.make(name)) == (name if CLASSES[name].switch else f"{name}(severity=3)")
    condition = registry.make(f"{name}(severity=2.5)")
    assert condition.parts == (shift(name, severity=2.5),)
    assert registry.make(registry.spec(condition)) == condition
    assert condition.kind == "shift"


def test_physical_arguments_round_trip():
    text = "night(severity=1, exposure_ev=-2.5, auto_exposure=0, cct_k=3000, full_well_e=800, bits=10)"
    assert registry.spec(registry.make(text)) == text


@pytest.mark.parametrize("name", NAMES)
def test_the_listing_has_one_line_and_all_arguments(name):
    described = next(d for d in descriptions.describe("shift") if d.name == name)
    assert described.summary.endswith(".")
    fields = dataclasses.fields(registry.load("shift", name))
    assert list(described.parameters) == [field.name for field in fields]


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_stays_empty(name):
    assert shift(name)(torch.empty(0, 3, 8, 8), streams("")).shape == (0, 3, 8, 8)


def test_wrong_calls_say_what_to_do():
    change = shift("gaussian_noise")
    with pytest.raises(InputError, match=r"shape \(3, 8, 8\)\. Give them as \(N, C, H, W\)"):
        change(torch.zeros(3, 8, 8), streams("a"))
    with pytest.raises(InputError, match=r"2 images, but 1 sample ids"):
        change(torch.zeros(2, 3, 8, 8), streams("a"))
