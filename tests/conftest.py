"""One thread: two cores are often shared, and small tensors are slower with more."""

import torch

torch.set_num_threads(1)
