"""Sums a float32 vector of every process over gloo on the loopback interface: one all_reduce for each line on standard input, answered with
the milliseconds of its slowest process. Arguments: processes, bytes."""

import os
import sys
import tempfile
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def rank(me, world, nbytes, rendezvous, commands, times):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method="file://" + rendezvous, rank=me, world_size=world)
    torch.manual_seed(me)
    values = torch.randn(nbytes // 4) * 1e-3
    gradient = torch.empty_like(values)
    while commands[me].get():
        gradient.copy_(values)  # the sum is made in place
        dist.barrier()
        start = time.perf_counter()
        dist.all_reduce(gradient)
        times.put((time.perf_counter() - start) * 1e3)
    dist.destroy_process_group()


def main():
    world, nbytes = int(sys.argv[1]), int(sys.argv[2])
    context = mp.get_context("spawn")
    commands, times = [context.SimpleQueue() for _ in range(world)], context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        ranks = [
            context.Process(target=rank, args=(me, world, nbytes, os.path.join(folder, "rendezvous"), commands, times))
            for me in range(world)
        ]
        for process in ranks:
            process.start()
        for _ in sys.stdin:
            for c in commands:
                c.put(True)
            print(max(times.get() for _ in ranks), flush=True)
        for c in commands:
            c.put(False)
        for process in ranks:
            process.join()


if __name__ == "__main__":
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    main()
