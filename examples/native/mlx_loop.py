"""The speakers on mlx: an `mlx.nn.Module`, one of `mlx.optimizers`, a compiled step, a loop of its own.

The layers are mlx modules like any other: `parameters()`, `nn.value_and_grad`, `mx.compile` and `freeze()` work on
them. (Meant for Apple's GPUs. On Linux mlx runs on the CPU and takes longer.)

    pip install "ncps[mlx]"
    python examples/native/mlx_loop.py

It prints, on two cores of a CPU:

    mlx: loss 2.1876 at first, 0.0532 in the end; 94.6% of 370 test series recognised; 13 s
"""

import functools

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from command_line import noisy_batches, run
from rich.progress import track

from ncps.demo.data import FEATURES, SPEAKERS
from ncps.layers import CfC, Dense
from ncps.wirings import AutoNCP


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = CfC(AutoNCP(64, 16), input_size=FEATURES)
        self.readout = Dense(SPEAKERS, input_size=16)

    def __call__(self, series, mask):
        return self.readout(self.rnn(series, mask=mask))


def loss_of(network, series, mask, speakers):
    return nn.losses.cross_entropy(network(series, mask), speakers, reduction="mean")


def train_and_test(train_set, test_set, epochs, seed):
    """The loss of every step, and the share of the test series that are recognised."""
    network = Network()
    optimizer = optim.Adam(0.004, eps=1e-7, bias_correction=True)
    state = [network.state, optimizer.state]
    generator, losses = np.random.default_rng(seed), []

    @functools.partial(mx.compile, inputs=state, outputs=state)
    def step(series, mask, speakers):
        loss, gradients = nn.value_and_grad(network, loss_of)(network, series, mask, speakers)
        gradients, _ = optim.clip_grad_norm(gradients, 1.0)
        optimizer.update(network, gradients)
        return loss

    for _ in track(range(epochs), "mlx"):
        for batch in noisy_batches(train_set, generator):
            losses.append(step(*map(mx.array, batch)))
            mx.eval(state, losses[-1])

    network.eval()
    found = network(mx.array(test_set.x), mx.array(test_set.mask)).argmax(-1)
    return [loss.item() for loss in losses], float((np.array(found) == test_set.y).mean())


def main(argv=None):
    return run("mlx", train_and_test, argv)


if __name__ == "__main__":
    main()
