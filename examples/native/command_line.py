"""What the loops beside this file share: their batches, their options, and the line that they print."""

import argparse
import time

import numpy as np

import ncps
from ncps.demo.data import batches, load


def noisy_batches(series, generator):
    """Batches of 30 in random order, with noise on the frames: 270 series are few, and soon known by heart."""
    for batch in batches(series, 30, generator):
        yield batch._replace(x=batch.x + 0.5 * generator.standard_normal(batch.x.shape, np.float32))


def run(backend, train_and_test, argv=None):
    """Calls `train_and_test`, which gives the losses of all steps and the share of the test series recognised."""
    parser = argparse.ArgumentParser(description=f"Trains a CfC to tell nine speakers apart, on {backend}.")
    parser.add_argument("--epochs", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--series", type=int, help="train and test with this many only")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    train_set, test_set = load(options.series)
    start = time.perf_counter()
    with ncps.backend_scope(backend):
        ncps.set_seed(options.seed)
        losses, accuracy = train_and_test(train_set, test_set, options.epochs, options.seed)
    seconds = time.perf_counter() - start
    print(
        f"{backend}: loss {losses[0]:.4f} at first, {np.mean(losses[-9:]):.4f} in the end; {accuracy:.1%} of "
        f"{len(test_set.y)} test series recognised; {seconds:.0f} s"
    )
    return losses, accuracy
