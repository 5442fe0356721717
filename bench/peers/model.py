"""A training step of a model on 32×32 images in colour: forward, backward from a given gradient of the features, update."""
import torch

from resnet import resnet18
from threads import LIBRARY
from vit import ViT

FORMATS = {"channels last": torch.channels_last, "channels first": torch.contiguous_format}
MODELS = {"resnet18": resnet18, "vit-tiny": ViT}


def optimizer(kind, parameters):
    """The one-pass form of each optimizer, the faster one."""
    if kind == "adamw":
        return torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.05, fused=True)
    return torch.optim.SGD(parameters, lr=1e-4, momentum=0.9, weight_decay=1e-4, fused=True)


def step(model, kind, batch, memory_format):
    model.to(memory_format=memory_format).train()
    images = torch.randn(batch, 3, 32, 32).contiguous(memory_format=memory_format)
    upstream = torch.randn(batch, model.width) / batch
    update = optimizer(kind, model.parameters())

    def call():
        update.zero_grad(set_to_none=True)
        model(images).backward(upstream)
        update.step()

    return call


def prepare(name, optimizer, batch):
    return LIBRARY, {f: step(MODELS[name](), optimizer, batch, FORMATS[f]) for f in FORMATS}
