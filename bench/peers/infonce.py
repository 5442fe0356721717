"""InfoNCE of queries against their keys and a bank, mean loss and the gradient by the queries."""
import torch
from torch.nn import functional as F

from threads import LIBRARY


def operands(queries, d, bank):
    return tuple(F.normalize(torch.randn(n, d)) for n in (queries, queries, bank))


def cross_entropy(q, k, bank, tau):
    """As in the code of He et al., "Momentum contrast" (2020): logits side by side, then cross_entropy."""
    labels = torch.zeros(len(q), dtype=torch.long)

    def call():
        z = q.detach().requires_grad_()
        logits = torch.cat(((z * k).sum(1, keepdim=True), z @ bank), 1)
        F.cross_entropy(logits.div_(tau), labels).backward()
        return z.grad

    return call


def in_place(q, k, bank, tau):
    """By hand: one matrix of scores that is reused from call to call and overwritten on the way."""
    scores = torch.empty(len(q), bank.shape[1])

    def call():
        torch.mm(q, bank, out=scores)
        scores.div_(tau)
        positive = (q * k).sum(1).div_(tau)
        most = torch.maximum(scores.amax(1), positive)
        scores.sub_(most[:, None]).exp_()
        own = (positive - most).exp_()
        total = scores.sum(1).add_(own)
        loss = (total.log() + most - positive).mean()
        gradient = torch.mm(scores, bank.T).div_(total[:, None])
        gradient.add_(k * (own / total - 1)[:, None]).div_(tau * len(q))
        return loss, gradient

    return call


def prepare(kind, queries, d, bank, tau):
    q, k, keys = operands(queries, d, bank)
    make = {"cross_entropy": cross_entropy, "in place": in_place}[kind]
    layouts = {"bank (d, K)": keys.T.contiguous(), "bank (K, d)": keys.T}
    return f"{LIBRARY} {kind}", {name: make(q, k, b, tau) for name, b in layouts.items()}
