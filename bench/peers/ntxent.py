"""NT-Xent of a batch of two views, mean loss and the gradient by all rows."""
import torch
from torch.nn import functional as F

from threads import LIBRARY


def prepare(samples, d, tau):
    rows = F.normalize(torch.randn(2 * samples, d))
    labels = (torch.arange(2 * samples) + samples) % (2 * samples)
    itself = torch.eye(2 * samples, dtype=torch.bool)

    def masked():
        z = rows.detach().requires_grad_()
        F.cross_entropy((z @ z.T).div_(tau).masked_fill(itself, float("-inf")), labels).backward()

    def in_place():
        z = rows.detach().requires_grad_()
        F.cross_entropy((z @ z.T).div_(tau).fill_diagonal_(float("-inf")), labels).backward()

    return f"{LIBRARY} cross_entropy", {"masked_fill": masked, "fill_diagonal_": in_place}
