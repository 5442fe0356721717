"""Peak memory of five steps of ResNet-18 above what the process held before the model, in bytes: run by itself, it prints one number.

A step of a tiny network of the same layers comes before, so that what PyTorch loads on first use does not count.
"""
import gc
import sys

import model
from resnet import ResNet, resnet18


def resident(field):
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith(field + ":"))


def main(memory_format):
    model.step(ResNet(3, (8, 16), 1), "sgd", 2, memory_format)()
    gc.collect()
    idle = resident("VmRSS")
    call = model.step(resnet18(), "sgd", 64, memory_format)
    for _ in range(5):
        call()
    print(resident("VmHWM") - idle)


if __name__ == "__main__":
    main(model.FORMATS[sys.argv[1]])
