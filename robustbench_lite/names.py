"""What is registered in this package: attacks, shifts, networks, data sets, generators, defences, scores.

A name stands for ``module:member``, which is imported when it is asked for.
"""

from __future__ import annotations

PACKAGE = "robustbench_lite"

# Shifts by the risk that they model. The risks are the options of ``rb shift``.
FAMILIES: dict[str, dict[str, str]] = {
    "lighting": {
        "night": f"{PACKAGE}.shifts.night:Night",
        "overexposed": f"{PACKAGE}.shifts.overexposed:Overexposed",
        "color_temperature": f"{PACKAGE}.shifts.color_temperature:ColorTemperature",
        "uneven": f"{PACKAGE}.shifts.uneven:Uneven",
        "shadow": f"{PACKAGE}.shifts.shadow:Shadow",
        "backlight": f"{PACKAGE}.shifts.backlight:Backlight",
        "glare": f"{PACKAGE}.shifts.glare:Glare",
        "flicker": f"{PACKAGE}.shifts.flicker:Flicker",
        "dusk": f"{PACKAGE}.shifts.dusk:Dusk",
    },
    "optics": {
        "gaussian_blur": f"{PACKAGE}.shifts.gaussian_blur:GaussianBlur",
        "defocus_blur": f"{PACKAGE}.shifts.defocus:DefocusBlur",
        "motion_blur": f"{PACKAGE}.shifts.motion:MotionBlur",
        "zoom_blur": f"{PACKAGE}.shifts.zoom_blur:ZoomBlur",
        "glass_blur": f"{PACKAGE}.shifts.glass:GlassBlur",
        "chromatic_aberration": f"{PACKAGE}.shifts.chromatic_aberration:ChromaticAberration",
        "radial_distortion": f"{PACKAGE}.shifts.distortion:RadialDistortion",
        "vignetting": f"{PACKAGE}.shifts.vignetting:Vignetting",
        "bloom": f"{PACKAGE}.shifts.bloom:Bloom",
        "lens_dust": f"{PACKAGE}.shifts.dirt:LensDust",
        "lens_scratches": f"{PACKAGE}.shifts.dirt:LensScratches",
    },
    "sensor": {
        "gaussian_noise": f"{PACKAGE}.shifts.noise:GaussianNoise",
        "shot_noise": f"{PACKAGE}.shifts.noise:ShotNoise",
        "impulse_noise": f"{PACKAGE}.shifts.noise:ImpulseNoise",
        "speckle_noise": f"{PACKAGE}.shifts.noise:SpeckleNoise",
        "sensor_noise": f"{PACKAGE}.shifts.sensor:SensorNoise",
        "gain": f"{PACKAGE}.shifts.sensor:Gain",
        "fixed_pattern": f"{PACKAGE}.shifts.fixed_pattern:FixedPattern",
        "hot_pixels": f"{PACKAGE}.shifts.fixed_pattern:HotPixels",
        "banding": f"{PACKAGE}.shifts.fixed_pattern:Banding",
        "quantisation": f"{PACKAGE}.shifts.quantisation:Quantisation",
        "white_balance_error": f"{PACKAGE}.shifts.white_balance:WhiteBalanceError",
        "resolution_loss": f"{PACKAGE}.shifts.resolution:ResolutionLoss",
        "phone": f"{PACKAGE}.shifts.phone:Phone",
        "ageing": f"{PACKAGE}.shifts.ageing:Ageing",
    },
    "weather": {
        "fog": f"{PACKAGE}.shifts.fog:Fog",
        "frost": f"{PACKAGE}.shifts.frost:Frost",
        "haze": f"{PACKAGE}.shifts.haze:Haze",
        "rain": f"{PACKAGE}.shifts.rain:Rain",
        "snow": f"{PACKAGE}.shifts.snow:Snow",
        "spatter": f"{PACKAGE}.shifts.spatter:Spatter",
        "winter": f"{PACKAGE}.shifts.winter:Winter",
    },
    "digital": {
        "brightness": f"{PACKAGE}.shifts.tone:Brightness",
        "contrast": f"{PACKAGE}.shifts.tone:Contrast",
        "gamma": f"{PACKAGE}.shifts.tone:Gamma",
        "saturation": f"{PACKAGE}.shifts.saturation:Saturation",
        "color_mixup": f"{PACKAGE}.shifts.color_mixup:ColorMixup",
        "jpeg": f"{PACKAGE}.shifts.compression:JPEG",
        "webp": f"{PACKAGE}.shifts.compression:WebP",
        "pixelate": f"{PACKAGE}.shifts.resampling:Pixelate",
        "resize_filter": f"{PACKAGE}.shifts.resampling:ResizeFilter",
    },
    "geometry": {
        "rotation": f"{PACKAGE}.shifts.rotation:Rotation",
        "translation": f"{PACKAGE}.shifts.framing:Translation",
        "scale": f"{PACKAGE}.shifts.framing:Scale",
        "camera_angle": f"{PACKAGE}.shifts.camera_angle:CameraAngle",
        "elastic": f"{PACKAGE}.shifts.elastic:Elastic",
        "flip": f"{PACKAGE}.shifts.flip:Flip",
        "occlusion": f"{PACKAGE}.shifts.occlusion:Occlusion",
    },
}

# Sets of shifts with parameters of their own: --suite of ``rb shift``.
PUBLISHED = {
    "imagenet_c": f"{PACKAGE}.shifts.published:ImageNetC",
    "tiny_imagenet_c": f"{PACKAGE}.shifts.published:TinyImageNetC",
    "cifar10_c": f"{PACKAGE}.shifts.published:CIFAR10C",
}

# Written into records by rb shift --search; nothing to ask for, and so not listed.
UNLISTED = {"shift": {"worst_of_each": f"{PACKAGE}.search:WorstOfEach"}}

BUILTIN: dict[str, dict[str, str]] = {
    "attack": {
        "fgsm": f"{PACKAGE}.attacks.fgsm:FGSM",
        "rfgsm": f"{PACKAGE}.attacks.rfgsm:RFGSM",
        "bim": f"{PACKAGE}.attacks.bim:BIM",
        "mifgsm": f"{PACKAGE}.attacks.mifgsm:MIFGSM",
        "pgd": f"{PACKAGE}.attacks.pgd:PGD",
        "apgd": f"{PACKAGE}.attacks.apgd:APGD",
        "cw": f"{PACKAGE}.attacks.cw:CW",
        "ddn": f"{PACKAGE}.attacks.ddn:DDN",
        "fmn": f"{PACKAGE}.attacks.fmn:FMN",
        "lbfgs": f"{PACKAGE}.attacks.lbfgs:LBFGS",
        "deepfool": f"{PACKAGE}.attacks.deepfool:DeepFool",
        "fab": f"{PACKAGE}.attacks.fab:FAB",
        "autoattack": f"{PACKAGE}.attacks.autoattack:AutoAttack",
        "worst": f"{PACKAGE}.attacks.portfolio:Worst",
        "adaptive": f"{PACKAGE}.attacks.adaptive:Adaptive",
        "evade": f"{PACKAGE}.attacks.evade:Evade",
        "torchattacks": f"{PACKAGE}.attacks.torchattacks:torchattacks",
        "square": f"{PACKAGE}.attacks.square:Square",
        "evolution": f"{PACKAGE}.attacks.evolution:Evolution",
        "onepixel": f"{PACKAGE}.attacks.onepixel:OnePixel",
    },
    "shift": {name: where for shifts in (*FAMILIES.values(), PUBLISHED) for name, where in shifts.items()},
    "model": {
        "demo": f"{PACKAGE}.training.demo:demo",
        "linear": f"{PACKAGE}.classifiers.networks:linear",
        "mlp": f"{PACKAGE}.classifiers.networks:mlp",
        "cnn": f"{PACKAGE}.classifiers.networks:cnn",
        "strided": f"{PACKAGE}.classifiers.networks:strided",
        "resnet": f"{PACKAGE}.classifiers.networks:resnet",
        "torchvision": f"{PACKAGE}.classifiers.zoo:torchvision",
        "timm": f"{PACKAGE}.classifiers.zoo:timm",
    },
    "data": {
        "digits": f"{PACKAGE}.data.digits:digits",
        "surfaces": f"{PACKAGE}.data.surfaces:surfaces",
        "folder": f"{PACKAGE}.data.folder:folder",
        "images": f"{PACKAGE}.data.folder:images",
        "npz": f"{PACKAGE}.data.arrays:npz",
        "run": f"{PACKAGE}.data.saved:run",
        "mnist": f"{PACKAGE}.data.torchvision_sets:mnist",
        "fashion-mnist": f"{PACKAGE}.data.torchvision_sets:fashion_mnist",
        "cifar10": f"{PACKAGE}.data.torchvision_sets:cifar10",
        "cifar100": f"{PACKAGE}.data.torchvision_sets:cifar100",
        "svhn": f"{PACKAGE}.data.torchvision_sets:svhn",
    },
    "generator": {
        "histogram": f"{PACKAGE}.generative.density:Histogram",
        "gaussian": f"{PACKAGE}.generative.density:Gaussian",
        "pca": f"{PACKAGE}.generative.density:PCA",
        "mixture": f"{PACKAGE}.generative.density:Mixture",
        "autoencoder": f"{PACKAGE}.generative.autoencoder:Autoencoder",
        "vae": f"{PACKAGE}.generative.vae:VAE",
    },
    "defence": {
        "fast": f"{PACKAGE}.training.fast:Fast",
        "pgd": f"{PACKAGE}.training.madry:Madry",
        "trades": f"{PACKAGE}.training.trades:Trades",
    },
    "score": {
        "pca": f"{PACKAGE}.outliers.pca:PCA",
        "reconstruction": f"{PACKAGE}.outliers.reconstruction:Reconstruction",
        "elbo": f"{PACKAGE}.outliers.elbo:ELBO",
        "importance": f"{PACKAGE}.outliers.importance:Importance",
        "regret": f"{PACKAGE}.outliers.regret:Regret",
        "complexity": f"{PACKAGE}.outliers.complexity:Complexity",
        "typicality": f"{PACKAGE}.outliers.typicality:Typicality",
        "statistics": f"{PACKAGE}.outliers.statistics:Statistics",
        "hog": f"{PACKAGE}.outliers.hog:HOG",
        "synthetic_defects": f"{PACKAGE}.outliers.synthetic_defects:SyntheticDefects",
        "image_statistics": f"{PACKAGE}.outliers.image_statistics:ImageStatistics",
        "nearest_statistics": f"{PACKAGE}.outliers.nearest_statistics:NearestStatistics",
        "msp": f"{PACKAGE}.outliers.msp:MSP",
        "max_logit": f"{PACKAGE}.outliers.max_logit:MaxLogit",
        "energy": f"{PACKAGE}.outliers.energy:Energy",
        "odin": f"{PACKAGE}.outliers.odin:ODIN",
        "mahalanobis": f"{PACKAGE}.outliers.mahalanobis:Mahalanobis",
        "knn": f"{PACKAGE}.outliers.knn:KNN",
        "vim": f"{PACKAGE}.outliers.vim:ViM",
    },
}
