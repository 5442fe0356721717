#!/usr/bin/env python3
"""Writes resnet_tiny.json: resnet-tiny with its projector in PyTorch, float64, forward and backward.

Every input is drawn by a rule that the test repeats, so the file holds results alone: element i of tensor number k is
u(i, k) in [-1, 1), scaled by what the tensor is. Tensors are numbered in the order of state_dict(); the images come after, then dz.
"""
import json, os
import numpy as np, torch, torch.nn as nn, torch.nn.functional as F

B, H, W, C, GROUPS = 6, 20, 18, 3, 2


def u(k, n):
    h = (np.arange(n, dtype=np.uint64) + np.uint64(1000003 * (k + 1))).astype(np.uint32)
    h ^= h >> np.uint32(16); h *= np.uint32(0x7FEB352D); h ^= h >> np.uint32(15); h *= np.uint32(0x846CA68B); h ^= h >> np.uint32(16)
    return (h.astype(np.float64) / 2**31 - 1).astype(np.float32)


def tensor(k, *shape):
    return torch.from_numpy(u(k, int(np.prod(shape))).astype(np.float64)).reshape(shape)


class GroupedBatchNorm(nn.BatchNorm2d):
    """Batch norm whose contiguous groups of the batch are normalised on their own; keeps the mean of the groups' statistics."""

    def _check_input_dim(self, x):
        pass

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        parts, dims = x.chunk(GROUPS), [0] + list(range(2, x.dim()))
        self.batch_mean = torch.stack([p.mean(dims) for p in parts]).mean(0)
        self.batch_var = torch.stack([p.var(dims, unbiased=True) for p in parts]).mean(0)
        return torch.cat([F.batch_norm(p, None, None, self.weight, self.bias, True, 0, self.eps) for p in parts])


class Block(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, 2, 1, bias=False), GroupedBatchNorm(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), GroupedBatchNorm(o)
        self.downsample = nn.Sequential(nn.Conv2d(i, o, 1, 2, bias=False), GroupedBatchNorm(o))

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.downsample(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(C, 32, 3, 2, 1, bias=False), GroupedBatchNorm(32)
        self.layer1, self.layer2 = nn.Sequential(Block(32, 64)), nn.Sequential(Block(64, 128))
        self.projector = nn.Sequential(nn.Linear(512, 128, bias=False), GroupedBatchNorm(128), nn.ReLU(), nn.Linear(128, 64))

    def forward(self, x):
        x = self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x)))))
        f = F.adaptive_avg_pool2d(x, 2).flatten(1)
        return f, self.projector(f)


def fill(net):
    k = 0
    for name, t in net.state_dict().items():
        if name.endswith('num_batches_tracked'):
            continue
        v = tensor(k, *t.shape)
        if t.dim() > 1:
            v = v * np.float32(2.0 ** -4)
        elif name.endswith('running_var') or name.endswith('weight'):
            v = 1 + v * 0.5
        t.copy_(v)
        k += 1
    return k


def some(t):
    """Sum, sum of magnitudes and every seventeenth-and-a-bit element: enough to notice any mistake."""
    t = t.detach().reshape(-1)
    step = max(1, len(t) // 16)
    return {'sum': t.sum().item(), 'abs': t.abs().sum().item(), 'step': step, 'data': t[::step].tolist()}


torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
net = Net()
with torch.no_grad():
    k = fill(net)
x, dz = tensor(k, B, C, H, W), tensor(k + 1, B, 64)
net.train()
features, z = net(x)
(z * dz).sum().backward()
out = {'shape': [B, H, W, C], 'groups': GROUPS, 'features': some(features), 'z': some(z)}
out['grads'] = {n: some(p.grad) for n, p in net.named_parameters()}
out['stats'] = {}
for n, m in net.named_modules():
    if isinstance(m, GroupedBatchNorm):
        out['stats'][n + '.running_mean'], out['stats'][n + '.running_var'] = some(m.batch_mean), some(m.batch_var)
net.eval()
with torch.no_grad():
    features, z = net(x)
out['evalFeatures'], out['evalZ'] = some(features), some(z)
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'resnet_tiny.json'), 'w') as f:
    json.dump(out, f, indent=0)
print('z', z.abs().max().item(), {n: v['abs'] for n, v in out['grads'].items()})
