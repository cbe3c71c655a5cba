"""How users of each framework run and train a network; the same functions for ours and for peers.

Each module has `tensor(array)`, what the network gets; `forward(model, x)`, `training(model, x, y)` and
`control(model, step, x)`, with one of the model's steps, which return ways to run once; `release()`, which empties its
caches and, where that can be, has the accelerator forget its peak; and `device_peak()`, the most bytes that it held.
The training step is a mean squared error over all outputs and Adam; a control step is one step without gradients that
carries the state, and ends with the outputs on the host.
"""

import os

from benchmarks.comparing.sides import DEVICE

ON_GPU = os.environ.get(DEVICE) == "gpu"
RATE = 1e-3
