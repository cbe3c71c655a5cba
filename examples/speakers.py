"""Who speaks? Series of different lengths, with a mask.

Nine speakers say /ae/ (Japanese Vowels, shipped with ncps): 270 series to train with and 370 to test, of 7 to 29
frames with 12 features each. Batches need one length, so the series are padded, and a mask says where they end: a
masked step leaves the state of a network as it is. A CfC of 96 neurons whose 24 motor neurons a readout sees learns
them; noise on the frames, smoothed targets and averaged weights keep it from learning 270 series by heart.

    pip install "ncps[torch,fast,viz]"
    python examples/speakers.py --backend torch

It prints, after ten seconds (seed 0 on torch; seeds 1 and 2 come to 96.2% and 96.5%):

    23521 weights, loss 0.540 after 30 epochs
    recognised: 96.5% of 370 test series

The picture shows what the network thinks while one of the test series is heard, and whom it takes for whom.
"""

import argparse
import os
from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import ncps
from ncps.callbacks import AverageWeights
from ncps.layers import CfC, Dense
from ncps.wirings import AutoNCP

SPEAKERS, FRAMES, BATCH = 9, 29, 30
NOISE = 0.5  # standard deviation of what is added to the features, which have 1
BLUE, GRAY = "#1f6fb4", "0.75"


def load():
    """Series (N, T, F) of two sets, masks (N, T), speakers (N,)."""
    with files("ncps").joinpath("data/japanese_vowels.npz").open("rb") as file:
        stored = dict(np.load(file))
    mean, spread = stored["x_train"].mean(0), stored["x_train"].std(0)
    for part in ("train", "test"):
        frames = (stored[f"x_{part}"] - mean) / spread  # of all series, end to end
        mask = np.arange(FRAMES) < stored[f"length_{part}"].astype(int)[:, None]
        series = np.zeros((*mask.shape, frames.shape[-1]), np.float32)
        series[mask] = frames
        yield series, mask, stored[f"y_{part}"].astype(int)


def noisy_batches(series, mask, speakers, seed):
    """Batches of all series in random order, without end: the inputs, and the speakers one-hot."""
    rng, targets = np.random.default_rng(seed), np.eye(SPEAKERS, dtype=np.float32)
    while True:
        for chosen in rng.permutation(len(series))[: len(series) // BATCH * BATCH].reshape(-1, BATCH):
            noise = NOISE * rng.standard_normal(series[chosen].shape, np.float32)
            yield (series[chosen] + noise, mask[chosen]), targets[speakers[chosen]]


class SpeakerNetwork(ncps.Model):
    """A liquid network, and a readout of its motor neurons after the last frame."""

    def __init__(self, wiring):
        super().__init__()
        self.rnn, self.readout = CfC(wiring), Dense(SPEAKERS)

    def call(self, series, mask=None):
        return self.readout(self.rnn(series, mask=mask))


def probabilities(logits):
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def draw(path, thoughts, speaker, confusion):
    """Probabilities (T, 9) of the speakers as the frames of a series come in, and the confusion matrix."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", width_ratios=(1.3, 1))
    for other, line in enumerate(thoughts.T):
        own = other == speaker
        left.plot(np.arange(1, len(line) + 1), line, color=BLUE if own else GRAY, lw=2.5 if own else 1.2)
    left.set(xlabel="frames heard", ylabel="probability", ylim=(0, 1), xlim=(1, len(thoughts)))
    left.set_title(f"Speaker {speaker + 1} (blue) among nine", loc="left", fontweight="bold")
    left.spines[["top", "right"]].set_visible(False)
    right.imshow(np.sqrt(confusion), cmap="Blues", aspect="auto")  # the root, so that single errors can be seen
    for (truth, found), count in np.ndenumerate(confusion):
        if count:
            color = "white" if truth == found else "black"
            right.text(found, truth, int(count), ha="center", va="center", fontsize=9, color=color)
    places = range(SPEAKERS)
    labels = [str(i + 1) for i in places]
    right.set(
        xlabel="taken for", ylabel="speaker", xticks=places, xticklabels=labels, yticks=places, yticklabels=labels
    )
    accuracy = np.trace(confusion) / confusion.sum()
    right.set_title(f"{accuracy:.1%} of {int(confusion.sum())} recognised", loc="left", fontweight="bold")
    figure.savefig(path, dpi=110)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", help="torch, jax, mlx, tensorflow, keras (default: NCPS_BACKEND or any)")
    parser.add_argument("--units", type=int, default=96, help="neurons, a quarter of them motor (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, default=Path("speakers.png"), help="default: %(default)s")
    options = parser.parse_args(argv)
    with ncps.backend_scope(options.backend or ncps.get_backend()):
        run(options)


def run(options):
    (series, mask, speakers), (test_series, test_mask, test_speakers) = load()
    ncps.set_seed(options.seed)
    model = SpeakerNetwork(AutoNCP(options.units, options.units // 4))
    model.compile(
        ncps.optimizers.Adam(0.01, global_clipnorm=1.0),
        ncps.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        metrics=["accuracy"],
    )
    batches = noisy_batches(series, mask, speakers, options.seed)
    steps = len(series) // BATCH
    history = model.fit(batches, epochs=options.epochs, steps_per_epoch=steps, callbacks=[AverageWeights(0.98)])
    logits = model.predict_on_batch((test_series, test_mask))
    found = logits.argmax(-1)
    print(f"{model.count_params()} weights, loss {history.history['loss'][-1]:.3f} after {options.epochs} epochs")
    print(f"recognised: {(found == test_speakers).mean():.1%} of {len(found)} test series")

    confusion = np.zeros((SPEAKERS, SPEAKERS))
    np.add.at(confusion, (test_speakers, found), 1)
    heard = np.flatnonzero((found == test_speakers) & (test_mask.sum(1) >= 20))[0]
    frames = int(test_mask[heard].sum())
    first = np.tri(frames, FRAMES, dtype=bool)  # a mask for the first frame, the first two, and so on
    thoughts = probabilities(model.predict_on_batch((np.repeat(test_series[[heard]], frames, 0), first)))
    draw(options.picture, thoughts, test_speakers[heard], confusion)
    print(f"Saved {options.picture}")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch would share products of 30 rows among all cores, in vain
    main()
