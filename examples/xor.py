"""The parity of a stream of bits that is seen as events: what counts is how long the bits stay as they are.

A stream of random bits is shown as events only: its first bit, each bit that differs from the one before, and its
last. Is the number of ones odd? The events alone do not tell; the time between them does, as it is the number of
bits. A network that takes elapsed time learns it; the same network, told that all steps take equal time, cannot.

    pip install "ncps[torch,fast,viz]"
    python examples/xor.py --backend torch

It prints, after two trainings of 15 to 40 s each (seed 0 on torch; seeds 1 and 2 come to 98.1% and 98.2%):

    20000 streams to train and 2000 to test, 5.2 events each
    right about the test streams: 96.7% with elapsed times, 59.5% without, 50.2% by chance

This is the task of the CfC paper with shorter streams (2 to 15 bits), so that it learns in half a minute. Its own
setting, with streams of up to 31 bits, is examples/xor_paper.py.

Source: Hasani et al., Nature Machine Intelligence 2022 (arXiv 2106.13898), and its code.
"""

import argparse
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import ncps
from ncps.layers import CfC, Dense

BLUE, ORANGE, GRAY = "#1f6fb4", "#e07b39", "0.85"


def sequences(count, seed, pad=32, events=True):
    """Streams of 2 to ``pad - 1`` bits: (bits (B, T, 1), the time since the one before, which are no padding), parity.

    With `pad` 32 and the seeds 1234984 and 48736, these are the data of the paper to train and to test with.
    """
    rng = np.random.RandomState(seed)
    bits, elapsed = np.zeros((count, pad, 1), np.float32), np.zeros((count, pad), np.float32)
    mask, parity = np.zeros((count, pad), bool), np.zeros((count, 1), np.float32)
    for i in range(count):
        length = rng.randint(2, pad)
        stream = rng.randint(0, 2, length)
        shown = np.arange(length)
        if events:
            shown = np.unique([0, *np.flatnonzero(np.diff(stream)) + 1, length - 1])
        n = len(shown)
        bits[i, :n, 0], elapsed[i, :n], mask[i, :n] = stream[shown], np.diff(shown, prepend=-1), True
        parity[i] = stream.sum() % 2
    return (bits, elapsed, mask), parity


class Parity(ncps.Model):
    """A recurrent layer, and the logit of an odd number of ones."""

    def __init__(self, rnn):
        super().__init__()
        self.rnn, self.readout = rnn, Dense(1)

    def call(self, bits, timespans=None, mask=None, training=None):
        return self.readout(self.rnn(bits, timespans=timespans, mask=mask, training=training))


def timespans(elapsed, told):
    """Elapsed bits as the network's time, which four bits take; or all steps alike."""
    return elapsed / 4 if told else np.ones_like(elapsed)


def train(train_set, test_set, told, options):
    """A trained network, and the share of the test streams whose parity it tells."""
    ncps.set_seed(options.seed)
    ((bits, elapsed, mask), parity), ((test_bits, test_elapsed, test_mask), test_parity) = train_set, test_set
    model = Parity(CfC(32, backbone_units=64))
    steps = options.epochs * -(-len(parity) // 128)
    model.compile(
        ncps.optimizers.Adam(lambda step: 5e-3 * max(1 - step / steps, 0.02), global_clipnorm=1.0),
        ncps.losses.BinaryCrossentropy(from_logits=True),
        metrics=[ncps.metrics.BinaryAccuracy(threshold=0.0)],
    )
    print("told the elapsed times" if told else "told that all steps are equal")
    model.fit((bits, timespans(elapsed, told), mask), parity, batch_size=128, epochs=options.epochs)
    logits = model.predict((test_bits, timespans(test_elapsed, told), test_mask), batch_size=500, verbose=0)
    return model, float(((logits > 0) == test_parity).mean())


def draw(path, model, accuracies, test_set):
    """A test stream, and what the network says after each of its events."""
    (bits, elapsed, mask), _ = test_set
    events, length = mask.sum(1), np.sum(elapsed * mask, axis=1)
    chosen = np.flatnonzero((length == length.max()) & (events <= 8))[0]
    series, spans, at = bits[[chosen]], timespans(elapsed[[chosen]], told=True), np.cumsum(elapsed[chosen]).astype(int)
    n = events[chosen]
    heard = [(series[:, :k], spans[:, :k], mask[[chosen], :k]) for k in range(1, n + 1)]
    odd = [1 / (1 + np.exp(-model.predict(x, verbose=0)[0, 0])) for x in heard]
    stream = np.repeat(series[0, :n, 0], np.diff(at[:n], append=at[n - 1] + 1))

    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 4.2), sharex=True, layout="constrained")
    above.bar(np.arange(1, len(stream) + 1), stream, width=0.9, color=GRAY)
    above.plot(at[:n], series[0, :n, 0], "o", color=BLUE, label="an event, all that the network is shown")
    above.set(ylabel="bit", yticks=[0, 1], ylim=(-0.2, 1.7))
    below.bar(np.arange(1, len(stream) + 1), np.cumsum(stream) % 2, width=0.9, color=GRAY, label="it is odd")
    below.plot(at[:n], odd, "o", color=ORANGE, label="probability of odd, by the network")
    below.set(xlabel="time in bits", ylabel="number of ones so far", ylim=(-0.2, 1.7))
    below.set_yticks([0, 1], ["even", "odd"])
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="upper right", ncols=2)
    told, not_told = accuracies
    title = f"Parity from events: {told:.1%} right with the elapsed times, {not_told:.1%} without"
    above.set_title(title, loc="left", fontweight="bold")
    figure.savefig(path, dpi=110)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", help="torch, jax, mlx, tensorflow, keras (default: NCPS_BACKEND or any)")
    parser.add_argument(
        "--sequences", type=int, default=20_000, help="to train with, a tenth as many to test (default: %(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, default=Path("xor.png"), help="default: %(default)s")
    options = parser.parse_args(argv)
    with ncps.backend_scope(options.backend or ncps.get_backend()):
        run(options)


def run(options):
    train_set, test_set = (
        sequences(options.sequences, 1234984, pad=16),
        sequences(options.sequences // 10, 48736, pad=16),
    )
    (_, _, mask), parity = test_set
    print(f"{options.sequences} streams to train and {len(parity)} to test, {mask.sum(1).mean():.1f} events each")
    model, told = train(train_set, test_set, True, options)
    _, not_told = train(train_set, test_set, False, options)
    common = max(parity.mean(), 1 - parity.mean())
    print(
        f"right about the test streams: {told:.1%} with elapsed times, {not_told:.1%} without, {common:.1%} by chance"
    )
    draw(options.picture, model, (told, not_told), test_set)
    print(f"Saved {options.picture}")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch would share small products among all cores, in vain
    main()
