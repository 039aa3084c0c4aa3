"""The other side of shifts.py: corruptions of other libraries, in an interpreter of their own.

Reads one request per line from stdin and answers each with one line on stdout, both JSON; images are .npy files,
(N, H, W, 3) in uint8. What is mended here, because the wheel of imagecorruptions 1.1.2 is older than its
dependencies:

- gaussian_blur, glass_blur: the argument ``multichannel`` of scikit-image's filter is now ``channel_axis``;
- fog: ``numpy.float_`` is now ``numpy.float64``;
- glass_blur: the loop over the pixels is compiled by numba, as on the library's main branch, and draws two numbers
  at a time, as there. The loop of the wheel is interpreted: glass_blur_wheel.

elastic_published is the function of ImageNet-C, which imagecorruptions replaced by another one.
"""

import json
import os
import sys
import time
from importlib.metadata import PackageNotFoundError, version

answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # what libraries print goes to stderr

import cv2  # noqa: E402
import numpy as np  # noqa: E402

np.float_ = np.float64
cv2.setNumThreads(1)

import imagecorruptions  # noqa: E402
import numba  # noqa: E402
from imagecorruptions import corruptions  # noqa: E402
from scipy.ndimage import gaussian_filter, map_coordinates  # noqa: E402
from skimage.filters import gaussian  # noqa: E402

PACKAGES = ("imagecorruptions", "albumentations", "kornia", "torch", "numpy", "scikit-image", "numba")


def _gaussian(image, sigma, multichannel=False, **options):
    return gaussian(image, sigma=sigma, channel_axis=-1 if multichannel else None, **options)


corruptions.gaussian = _gaussian
GLASS = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))


@numba.njit(cache=False)
def _seed(value):
    np.random.seed(value)


@numba.njit(cache=False)
def _shuffle(x, reach, rounds):
    """The wheel's loop. ``x[a], x[b] = x[b], x[a]`` on rows of an array is no swap: it copies one to the other."""
    height, width = x.shape[:2]
    for _ in range(rounds):
        for row in range(height - reach, reach, -1):
            for column in range(width - reach, reach, -1):
                dx, dy = np.random.randint(-reach, reach, size=2)
                for c in range(x.shape[2]):
                    x[row, column, c] = x[row + dy, column + dx, c]


def _glass_blur(x, severity=1):
    sigma, reach, rounds = GLASS[severity - 1]
    x = np.uint8(_gaussian(np.array(x) / 255.0, sigma, multichannel=True) * 255)
    _shuffle(x, reach, rounds)
    return np.clip(_gaussian(x / 255.0, sigma, multichannel=True), 0, 1) * 255


imagecorruptions.corruption_dict["glass_blur_wheel"] = imagecorruptions.corruption_dict["glass_blur"]
imagecorruptions.corruption_dict["glass_blur"] = _glass_blur

ELASTIC = ((2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02))


def elastic_published(image, severity):
    """A random affine map of three points, then a smooth random displacement: ImageNet-C's parameters."""
    alpha, sigma, affine = (244 * share for share in ELASTIC[severity - 1])
    height, width = image.shape[:2]
    centre, reach = np.float32((height, width)) // 2, min(height, width) // 3
    corners = np.float32([centre + reach, [centre[0] + reach, centre[1] - reach], centre - reach])
    moved = corners + np.random.uniform(-affine, affine, corners.shape).astype(np.float32)
    bent = cv2.warpAffine(
        image.astype(np.float32) / 255,
        cv2.getAffineTransform(corners, moved),
        (width, height),
        borderMode=cv2.BORDER_REFLECT_101,
    )
    shift = [
        alpha * gaussian_filter(np.random.uniform(-1, 1, (height, width)), sigma, mode="reflect", truncate=3)
        for _ in range(2)
    ]
    rows, columns = np.mgrid[:height, :width].astype(float)
    channels = [
        map_coordinates(bent[..., c], (rows + shift[1], columns + shift[0]), order=1, mode="reflect")
        for c in range(3)
    ]
    return np.uint8(np.clip(np.stack(channels, -1), 0, 1) * 255)


def corrupt(images, name, severity):
    """imagecorruptions, image by image: its public function."""
    if name == "elastic_published":
        return np.stack([elastic_published(image, severity) for image in images])
    return np.stack([imagecorruptions.corrupt(image, severity, name) for image in images])


def _albumentations(name):
    import albumentations as A

    made = {
        "gaussian_noise": lambda: A.GaussNoise(std_range=(0.18, 0.18), p=1),
        "shot_noise": lambda: A.ShotNoise(scale_range=(0.1, 0.1), p=1),
        "impulse_noise": lambda: A.SaltAndPepper(amount=(0.09, 0.09), p=1),
        "speckle_noise": lambda: A.MultiplicativeNoise(
            multiplier=(0.5, 1.5), per_channel=True, elementwise=True, p=1
        ),
        "defocus_blur": lambda: A.Defocus(radius=(6, 6), alias_blur=(0.5, 0.5), p=1),
        "glass_blur": lambda: A.GlassBlur(sigma=1, max_delta=2, iterations=3, p=1),
        "motion_blur": lambda: A.MotionBlur(blur_limit=(31, 31), p=1),
        "zoom_blur": lambda: A.ZoomBlur(max_factor=(1.21, 1.21), step_factor=(0.02, 0.02), p=1),
        "gaussian_blur": lambda: A.GaussianBlur(sigma_limit=(3, 3), blur_limit=0, p=1),
        "snow": lambda: A.RandomSnow(p=1),
        "fog": lambda: A.RandomFog(p=1),
        "spatter": lambda: A.Spatter(mode="rain", p=1),
        "brightness": lambda: A.RandomBrightnessContrast(brightness_limit=(0.3, 0.3), contrast_limit=(0, 0), p=1),
        "contrast": lambda: A.RandomBrightnessContrast(brightness_limit=(0, 0), contrast_limit=(-0.8, -0.8), p=1),
        "saturate": lambda: A.HueSaturationValue((0, 0), (80, 80), (0, 0), p=1),
        "elastic_transform": lambda: A.ElasticTransform(alpha=12, sigma=2.4, p=1),
        "pixelate": lambda: A.Downscale(scale_range=(0.4, 0.4), p=1),
        "jpeg_compression": lambda: A.ImageCompression(quality_range=(15, 15), p=1),
    }
    if name not in made:
        return None
    operation = made[name]()
    return lambda images: [operation(image=image)["image"] for image in images]


def _kornia(name):
    import kornia.augmentation as K
    import torch

    torch.set_num_threads(1)
    made = {
        "gaussian_noise": lambda: K.RandomGaussianNoise(std=0.18, p=1),
        "impulse_noise": lambda: K.RandomSaltAndPepperNoise(amount=(0.09, 0.09), p=1),
        "motion_blur": lambda: K.RandomMotionBlur((31, 31), (-45.0, 45.0), 0.0, p=1),
        "gaussian_blur": lambda: K.RandomGaussianBlur((25, 25), (3.0, 3.0), p=1),
        "snow": lambda: K.RandomSnow(p=1),
        "brightness": lambda: K.RandomBrightness((1.3, 1.3), p=1),
        "contrast": lambda: K.RandomContrast((0.2, 0.2), p=1),
        "saturate": lambda: K.RandomSaturation((2.0, 2.0), p=1),
        "elastic_transform": lambda: K.RandomElasticTransform((15, 15), (2.4, 2.4), (0.5, 0.5), p=1),
        "jpeg_compression": lambda: K.RandomJPEG(torch.tensor([15.0, 15.0]), p=1),
    }
    if name not in made:
        return None
    operation = made[name]()

    def run(images):
        with torch.no_grad():
            return operation(images)

    return run


def _convert(batch):
    """From float tensors to arrays of 8 bits and back, by numpy, which takes less time than torch."""
    import torch

    pixels = np.rint(batch.numpy() * np.float32(255)).astype(np.uint8)
    images = [np.ascontiguousarray(image) for image in pixels.transpose(0, 2, 3, 1)]
    back = np.empty(batch.shape, np.float32)
    np.divide(np.stack(images).transpose(0, 3, 1, 2), np.float32(255), out=back)
    return torch.from_numpy(back)


_made = {}


def operation(library, name, severity):
    """A function of the images in the form that the library takes; None if it has no such operation."""
    if library == "imagecorruptions":
        return lambda images: [imagecorruptions.corrupt(image, severity, name) for image in images]
    if library == "conversion":
        return _convert
    if (library, name) not in _made:
        _made[library, name] = {"albumentations": _albumentations, "kornia": _kornia}[library](name)
    return _made[library, name]


def timed(request, images):
    """CPU seconds per image; as many passes over the images as fit into the seconds asked for, at least one."""
    run = operation(request["library"], request["name"], request["severity"])
    if run is None:
        return None
    if request["library"] in ("kornia", "conversion"):  # they take float tensors
        import torch

        torch.set_num_threads(1)

        images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float() / 255
    if request["name"] == "glass_blur_wheel":
        images = images[:1]
    if request["warm"]:
        run(images[:1])
    start, passes = time.process_time(), 0
    while passes == 0 or time.process_time() - start < request["seconds"]:
        run(images)
        passes += 1
    return (time.process_time() - start) / passes / len(images)


def versions():
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def answer(request):
    if request["do"] == "versions":
        return versions()
    images = np.load(request["images"])
    if request["do"] == "time":
        return timed(request, images)
    np.random.seed(request["seed"])
    _seed(request["seed"])
    np.save(request["out"], corrupt(images, request["name"], request["severity"]))
    return None


def main():
    for line in sys.stdin:
        try:
            reply = {"result": answer(json.loads(line))}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    main()
