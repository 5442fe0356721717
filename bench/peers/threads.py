"""PyTorch with as many threads as the driver says that there are cores."""
import os

import torch

torch.set_num_threads(int(os.environ["SSLCTL_BENCH_THREADS"]))
LIBRARY = f"torch {torch.__version__}"
