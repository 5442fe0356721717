"""The whole of the demo job, read, transform, step: MoCo of a small residual network with a queue, AdamW, two DataLoader workers."""
import copy

import torch
from torch import nn
from torch.nn import functional as F

import images
from resnet import Block
from serve import fastest
from threads import LIBRARY

BATCH, WORKERS = 256, 2
HIDDEN, WIDTH = 128, 64
QUEUE, TAU, MOMENTUM = 4096, 0.2, 0.99


def encoder():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True), Block(32, 64, 2), Block(64, 128, 2),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(512, HIDDEN, bias=False), nn.BatchNorm1d(HIDDEN), nn.ReLU(inplace=True), nn.Linear(HIDDEN, WIDTH))


class MoCo:
    def __init__(self, memory_format):
        self.memory_format = memory_format
        self.query = encoder().to(memory_format=memory_format).train()
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self.pairs = [list(m.parameters()) for m in (self.key, self.query)]
        self.queue, self.at = F.normalize(torch.randn(WIDTH, QUEUE), dim=0), 0
        self.labels = torch.zeros(BATCH, dtype=torch.long)
        self.update = torch.optim.AdamW(self.query.parameters(), lr=3e-3, weight_decay=5e-4, fused=True)

    def step(self, first, second):
        first, second = (x.contiguous(memory_format=self.memory_format) for x in (first, second))
        q = F.normalize(self.query(first))
        with torch.no_grad():
            k = F.normalize(self.key(second))
        logits = torch.cat(((q * k).sum(1, keepdim=True), q @ self.queue), 1).div_(TAU)
        loss = F.cross_entropy(logits, self.labels)
        self.update.zero_grad(set_to_none=True)
        loss.backward()
        self.update.step()
        with torch.no_grad():
            torch._foreach_lerp_(*self.pairs, 1 - MOMENTUM)
            self.queue[:, self.at:self.at + BATCH] = k.T
        self.at = (self.at + BATCH) % QUEUE
        return loss.item()


def prepare(shards):
    views = images.batches(shards, BATCH, WORKERS)
    batch = next(views)
    tried = {name: MoCo(f) for name, f in (("channels last", torch.channels_last), ("channels first", torch.contiguous_format))}
    name = fastest({name: lambda m=m: m.step(*batch) for name, m in tried.items()})
    moco = tried[name]
    return f"{LIBRARY}, DataLoader of {WORKERS} workers, {name}", {"": lambda: moco.step(*next(views))}
