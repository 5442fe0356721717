"""Fashion-MNIST from WebDataset shards, two random views of each image, by DataLoader workers.

A worker takes a whole batch of indices: it reads and decodes one image after the other, then changes all of them in a few tensor operations with
parameters of their own, which is several times faster than one image after the other.
"""
import glob
import io
import math
import os
import tarfile

import numpy
import torch
from PIL import Image
from torch.nn import functional as F

SIDE = 28
AREA, RATIO = (0.3, 1.0), (0.75, 4 / 3)
BRIGHTNESS, CONTRAST, GAMMA = 0.8, 0.8, 1.0
MEAN, STD = 0.286, 0.353


def uniform(n, low, high):
    return torch.empty(n).uniform_(low, high)


def crop_and_flip(images):
    """Random boxes, half of them mirrored, scaled bilinearly to the images' size."""
    n = len(images)
    area, ratio = uniform(n, *AREA), uniform(n, *map(math.log, RATIO)).exp()
    width, height = (area * ratio).sqrt().clamp_(max=1), (area / ratio).sqrt().clamp_(max=1)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = width * torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
    theta[:, 1, 1] = height
    theta[:, 0, 2] = (1 - width) * uniform(n, -1, 1)
    theta[:, 1, 2] = (1 - height) * uniform(n, -1, 1)
    return F.grid_sample(images, F.affine_grid(theta, images.shape, align_corners=False), align_corners=False)


def jitter(x):
    """Gamma, contrast about the image's mean, brightness."""
    n = len(x)
    gamma, contrast, brightness = uniform(n, -GAMMA, GAMMA).exp(), uniform(n, 1 - CONTRAST, 1 + CONTRAST), uniform(n, 1 - BRIGHTNESS, 1 + BRIGHTNESS)
    x = x.clamp_(min=1e-4).pow_(gamma.view(n, 1, 1, 1))
    mean = x.mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, x, contrast.view(n, 1, 1, 1)).mul_(brightness.view(n, 1, 1, 1)).clamp_(0, 1)


class Shards(torch.utils.data.Dataset):
    """The images of tar files, found once and then read where they lie."""

    def __init__(self, pattern):
        self.members = []
        for path in sorted(glob.glob(pattern)):
            with tarfile.open(path) as tar:
                self.members += [(path, m.offset_data, m.size) for m in tar if m.name.endswith(".png")]
        if not self.members:
            raise FileNotFoundError(f"no images in {pattern}")
        self.files = {}

    def __len__(self):
        return len(self.members)

    def read(self, index):
        path, offset, size = self.members[index]
        file = self.files.get(path)
        if file is None:
            file = self.files[path] = os.open(path, os.O_RDONLY)
        return os.pread(file, size, offset)

    def __getitems__(self, indices):
        images = numpy.stack([numpy.asarray(Image.open(io.BytesIO(self.read(i)))) for i in indices])
        images = torch.from_numpy(images).float().div_(255).view(-1, 1, SIDE, SIDE)
        return [jitter(crop_and_flip(images)).sub_(MEAN).div_(STD) for _ in range(2)]


def batches(pattern, size, workers):
    """Yields two views (size, 1, 28, 28) without end."""
    loader = torch.utils.data.DataLoader(
        Shards(pattern), batch_size=size, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=True, prefetch_factor=4, collate_fn=lambda views: views)
    while True:
        yield from loader
