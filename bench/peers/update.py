"""An optimizer's update of many parameters."""
import torch

from threads import LIBRARY

TENSORS = 10


def prepare(optimizer, elements, fused):
    parameters = [torch.randn(elements // TENSORS).requires_grad_() for _ in range(TENSORS)]
    for p in parameters:
        p.grad = torch.randn_like(p) * 1e-2
    if optimizer == "adamw":
        update = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-2, fused=fused or None)
    else:
        update = torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, weight_decay=1e-4, fused=fused or None)
    return f"{LIBRARY} {type(update).__name__}{'(fused=True)' if fused else ''}", {"": update.step}
