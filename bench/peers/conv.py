"""Forward, gradient of the data and of the weights of a 3×3 convolution, in both of PyTorch's memory formats."""
import torch

from threads import LIBRARY


def step(channels, side, batch, memory_format):
    layer = torch.nn.Conv2d(channels, channels, 3, padding=1, bias=False).to(memory_format=memory_format)
    x, upstream = (torch.randn(batch, channels, side, side).contiguous(memory_format=memory_format) for _ in range(2))
    x.requires_grad_()

    def call():
        x.grad = layer.weight.grad = None
        layer(x).backward(upstream)

    return call


def prepare(channels, side, batch):
    formats = {"channels last": torch.channels_last, "channels first": torch.contiguous_format}
    return LIBRARY, {name: step(channels, side, batch, f) for name, f in formats.items()}
