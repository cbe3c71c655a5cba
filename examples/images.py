"""A liquid network in Keras recognises digits that drift across noisy films.

An 8 × 8 digit of scikit-learn's set drifts across frames of 16 × 16 with so much noise that one alone says little. The
model is an ordinary `keras.Model`: convolutions in `keras.layers.TimeDistributed` look at each frame, and a closed-form
network (`CfC`) wired as a neural circuit policy gathers what they see. 30 % of the frames are lost, so its second input
are the times since the last one that arrived. It answers after every frame: the later, the better.

    pip install "ncps[keras,torch,fast,examples]"
    python examples/images.py --backend torch

`--backend` is the framework under Keras: torch, jax or tensorflow, as in KERAS_BACKEND.

In 90 seconds on torch, it prints which share of the 397 test digits is recognised:

    one frame, a model trained for that   87.7%
    the liquid network after each of the frames   76.6%  86.1%  90.2%  90.2%  91.2%  92.7%  93.2%  93.7%
"""

import argparse
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from rich.progress import track
from sklearn.datasets import load_digits

import ncps
from ncps import inspect, viz
from ncps.layers import CfC
from ncps.wirings import AutoNCP

FRAMES, SIZE, DIGIT, NOISE, LOST = 8, 16, 8, 0.3, 0.3
TRAINED, BATCH = 1400, 32  # digits to train with; the other 397 are for the test


def load():
    """Digits (N, 8, 8) from 0 to 1 and their classes, in random order, to train and to test with."""
    digits, order = load_digits(), np.random.default_rng(0).permutation(1797)
    images, classes = (digits.images[order] / 16).astype(np.float32), digits.target[order].astype(np.int32)
    return (images[:TRAINED], classes[:TRAINED]), (images[TRAINED:], classes[TRAINED:])


def films(images, rng):
    """A film of each image, (B, T, 16, 16, 1), and the elapsed times (B, T), 1 where no frame was lost before."""
    count = len(images)
    elapsed = rng.geometric(1 - LOST, (count, FRAMES)).astype(np.float32)
    way = (elapsed.cumsum(1) / elapsed.sum(1, keepdims=True))[:, :, None]
    start, end = rng.uniform(0, SIZE - DIGIT, (2, count, 1, 2))
    corner = np.rint(start + (end - start) * way).astype(int)[..., None, None]  # (B, T, 2, 1, 1)
    film, frame = np.arange(count)[:, None, None, None], np.arange(FRAMES)[:, None, None]
    inner = np.arange(DIGIT)
    seen = NOISE * rng.standard_normal((count, FRAMES, SIZE, SIZE), np.float32)
    seen[film, frame, corner[:, :, 0] + inner[:, None], corner[:, :, 1] + inner] += images[:, None]
    return seen[..., None], elapsed


def make_model(frames, steps):
    """A film and its elapsed times become the logits of ten classes after each frame; `steps` of training."""
    import keras
    from keras import layers

    film, elapsed = keras.Input((frames, SIZE, SIZE, 1)), keras.Input((frames,))
    look = keras.Sequential([
        layers.Conv2D(16, 5, strides=2, padding="same", use_bias=False), layers.BatchNormalization(), layers.ReLU(),
        layers.Conv2D(48, 3, use_bias=False), layers.BatchNormalization(), layers.ReLU(),
        layers.GlobalMaxPooling2D(),
    ])  # fmt: skip
    seen = layers.TimeDistributed(look, name="look")(film)
    gathered = CfC(AutoNCP(64, 16, seed=0), return_sequences=True, name="liquid")(seen, timespans=elapsed)
    model = keras.Model([film, elapsed], layers.Dense(10)(gathered))
    rate = keras.optimizers.schedules.CosineDecay(7e-3, steps)
    model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def learn(frames, digits, options):
    """A model that was trained with new films in each epoch; of one frame, with as many frames."""
    import keras

    keras.utils.set_random_seed(options.seed)
    ncps.set_seed(options.seed)
    images, classes = digits[0][: options.digits], digits[1][: options.digits]
    rng, size = np.random.default_rng(options.seed), BATCH * FRAMES // frames
    model = make_model(frames, options.epochs * -(-len(images) // BATCH))
    for _ in track(range(options.epochs), f"{frames} frame{'s' if frames > 1 else ' '}"):
        seen, elapsed = films(images, rng)
        pieces = seen.reshape(-1, frames, SIZE, SIZE, 1), elapsed.reshape(-1, frames)
        targets = np.repeat(classes, FRAMES).reshape(-1, frames)
        model.fit(pieces, targets, batch_size=size, epochs=1, verbose=0)
    return model


def draw(model, film, elapsed, digit, path):
    """A film, what the model thinks after each frame, and what its neurons do meanwhile."""
    import keras

    times = np.cumsum(elapsed)
    features = keras.Model(model.inputs[0], model.get_layer("look").output).predict(film[None], verbose=0)[0]
    logits = model.predict((film[None], elapsed[None]), verbose=0)[0]
    chances = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    figure = plt.figure(figsize=(8, 8), layout="constrained")
    top, middle, bottom = figure.subfigures(3, height_ratios=[1.3, 2.2, 4])
    top.suptitle(f"A noisy digit drifts by, and frames are lost. What is it? (A {digit}.)", fontweight="bold")
    for axes, frame, time, chance in zip(top.subplots(1, FRAMES), film, times, chances, strict=True):
        axes.imshow(frame[..., 0], cmap="gray", vmin=-0.5, vmax=1.2)
        axes.set(xticks=[], yticks=[], title=f"t = {time:.0f}", xlabel=f"{chance.argmax()}: {chance.max():.0%}")
    shown = np.full((10, round(times[-1])), np.nan)
    shown[:, np.round(times).astype(int) - 1] = chances.T
    axes = middle.subplots()
    image = axes.pcolormesh(np.arange(1, shown.shape[1] + 1), range(10), shown, cmap="cividis", vmin=0, vmax=1)
    middle.colorbar(image, label="probability", pad=0.02, fraction=0.05)
    axes.set(yticks=range(10), ylabel="digit", xlabel="time (frames; lost ones are blank)")
    liquid = model.get_layer("liquid")
    seen = inspect.activity(liquid, features, timespans=elapsed)
    axes = viz.plot_activity(seen.states, liquid.cell.wiring, times=times, ax=bottom.subplots())
    axes.set_xlabel("time (frames)")
    figure.savefig(path, dpi=90)
    print(f"Saved {path}")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--backend", choices=["torch", "jax", "tensorflow"], help="under Keras (default: KERAS_BACKEND)"
    )
    parser.add_argument("--epochs", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--digits", type=int, default=TRAINED, help="to train with (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, default=Path("images.png"))
    options = parser.parse_args(arguments)
    if options.backend:
        os.environ["KERAS_BACKEND"] = options.backend  # before Keras is imported, which then keeps it
    with ncps.backend_scope("keras"):
        train, (images, classes) = load()
        model, glance = learn(FRAMES, train, options), learn(1, train, options)
        seen, elapsed = films(images, np.random.default_rng(12345))
        answers = model.predict((seen, elapsed), verbose=0).argmax(axis=-1)
        first = glance.predict((seen[:, :1], elapsed[:, :1]), verbose=0).argmax(axis=-1)
        right = (answers == classes[:, None]).mean(axis=0)
        print(f"one frame, a model trained for that   {(first[:, 0] == classes).mean():.1%}")
        print("the liquid network after each of the frames   " + "  ".join(f"{share:.1%}" for share in right))
        doubtful = (answers[:, 0] != classes) & (answers[:, -1] == classes)  # it changes its mind, and is right
        example = np.flatnonzero(doubtful)[0] if doubtful.any() else 0
        draw(model, seen[example], elapsed[example], classes[example], options.picture)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch would share little work among all cores, and wait
    main()
