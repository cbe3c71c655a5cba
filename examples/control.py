"""Nineteen neurons swing up a pendulum that they see only now and then.

The torque of gymnasium's Pendulum-v1 is too weak to lift the pole: it has to swing it up, and hold it there. An expert
who knows angle and velocity gives it the energy that it lacks. A neural circuit policy of 19 neurons learns from it but
sees the angle alone, with noise, in frames of which 30 % are lost. The velocity lies in how far the pole moved in *how
much time*, so the network is told the time since the last frame that arrived: the layer's timespans.

It is behaviour cloning in rounds (DAgger): the network drives, the expert says what it would have done instead, the
network learns from all that was seen so far. It trains on any backend and drives on NumPy, one `layer.step` a frame.

    pip install "ncps[torch,fast,examples]"
    python examples/control.py --backend torch

In a minute on torch, it prints mean returns (0 is best) and how many poles are upright all through the last second:

    expert                   return  -146.8   upright 100%
    network, told the time   return  -194.4   upright 100%
    the same, told always 1  return  -663.2   upright  48%
    another, trained so      return  -306.3   upright  91%

Sources: Ross, Gordon, Bagnell, AISTATS 2011 (arXiv 1011.0686); Lechner et al., Nature Machine Intelligence 2020.
"""

import argparse
import os
import timeit
from collections import namedtuple
from pathlib import Path

import gymnasium
import matplotlib.pyplot as plt
import numpy as np
from rich.progress import track

import ncps
from ncps import inspect, viz
from ncps.layers import CfC
from ncps.wirings import AutoNCP

STEPS, LOST, NOISE = 200, 0.3, 0.02  # frames of 0.05 s in an episode; the share that is lost; radians
TORQUE = 2.0  # the strongest, in N m; the network's output is a share of it
ROUNDS, BATCH, TEST = 6, 16, 12345  # of training; the seed of the episodes to test with


# Episodes (B, T): cosine and sine of the angle, with noise; the time since the last frame that arrived, in frames; if
# this one did; the expert's torque, as a share of the strongest; rewards; the true angle, in radians, 0 being upright.
Flight = namedtuple("Flight", "frames elapsed arrived advice rewards angle")


def expert(angle, velocity):
    """The torque: gives energy until there is enough to reach the top, and holds the pole there."""
    lacking = 15 * (1 - np.cos(angle)) - velocity**2 / 2
    holding = -(10 * np.sin(angle) + 2.7 * velocity)
    return np.clip(np.where(np.cos(angle) > 0.8, holding, lacking * velocity), -TORQUE, TORQUE)


def fly(driver, episodes, seed, tells_time=True):
    """Runs episodes side by side with a network at the controls, or with the expert, who loses no frame, for None."""
    rng = np.random.default_rng(seed)
    arrived, elapsed = rng.random((episodes, STEPS)) > LOST, np.ones((episodes, STEPS), np.float32)
    arrived[:, 0] = True
    if tells_time:
        elapsed[:, 1:] = np.arange(1, STEPS) - np.maximum.accumulate(arrived * np.arange(STEPS), axis=1)[:, :-1]
    noise = NOISE * rng.standard_normal((episodes, STEPS))
    world = gymnasium.make_vec("Pendulum-v1", num_envs=episodes, vectorization_mode="sync")
    observed, torque, state, log = world.reset(seed=seed)[0], np.zeros(episodes), None, []
    for t in range(STEPS):
        cosine, sine, velocity = observed.T
        angle = np.arctan2(sine, cosine)
        advice = expert(angle, velocity)
        seen = np.stack([np.cos(angle + noise[:, t]), np.sin(angle + noise[:, t])], axis=-1).astype(np.float32)
        if driver is None:
            torque = advice
        else:
            output, after = driver.step(seen, state, timespan=elapsed[:, t])
            now = arrived[:, t, None]  # a lost frame changes nothing: neither the state nor the torque
            state = after if state is None else np.where(now, after, state)
            torque = np.where(now, TORQUE * output, torque[:, None])[:, 0]
        observed, reward, *_ = world.step(torque[:, None].astype(np.float32))
        log.append((seen, (advice[:, None] / TORQUE).astype(np.float32), reward, angle))
    frames, advice, rewards, angle = (np.stack(values, axis=1) for values in zip(*log, strict=True))
    return Flight(frames, elapsed, arrived, advice, rewards, angle)


def learn(options, tells_time=True):
    """The trained network on NumPy: the expert drives first, then the network, corrected by the expert."""
    ncps.set_seed(options.seed)
    layer = CfC(AutoNCP(19, 1, sparsity_level=0.2, seed=0), return_sequences=True, input_size=2)
    model = ncps.Sequential([layer])
    model.compile(ncps.optimizers.Adam(lambda step: 0.01 / (1 + step / 1000), global_clipnorm=1.0), "mse")
    flights = []
    for done in track(range(ROUNDS * options.epochs), "told the time" if tells_time else "not told    "):
        if done % options.epochs == 0:
            driver = ncps.convert(layer, "numpy") if flights else None
            flights.append(fly(driver, options.episodes, 100 * (options.seed + 1) + done, tells_time))
            frames, elapsed, arrived, advice, *_ = map(np.concatenate, zip(*flights, strict=True))
        model.fit((frames, elapsed, arrived), advice, batch_size=BATCH, epochs=1, verbose=0)
    return ncps.convert(layer, "numpy")


def draw(driver, flights, path):
    """One episode that begins far down: the angle with each driver, and what the neurons do meanwhile."""
    told, seconds = flights["network, told the time"], 0.05 * np.arange(STEPS)
    episode = np.abs(told.angle[:, :10]).min(axis=1).argmax()
    arrived = told.arrived[episode]
    figure, (above, below) = plt.subplots(2, figsize=(8, 7.5), layout="constrained", height_ratios=[2, 3])
    for name, color in zip(flights, ("0.6", "#0072B2", "#D55E00"), strict=False):
        above.plot(seconds, np.cos(flights[name].angle[episode]), color=color, linewidth=2, label=name)
    above.plot(seconds[~arrived], np.full((~arrived).sum(), -1.25), "|", color="0.3", label="lost frames")
    above.set_title(
        "A pendulum, swung up by 19 neurons that see its angle only now and then", fontsize=11, fontweight="bold"
    )
    above.set(ylabel="height of the tip (m)", yticks=[-1, 0, 1])
    above.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.08), frameon=False, fontsize="small")
    above.margins(x=0)
    seen = inspect.activity(driver, told.frames[episode][arrived], timespans=told.elapsed[episode][arrived])
    viz.plot_activity(seen.states, driver.cell.wiring, times=seconds[arrived], ax=below).set_xlabel("time (s)")
    figure.savefig(path, dpi=100)
    print(f"Saved {path}")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--backend", help="to train on (default: NCPS_BACKEND, else the first that is installed)")
    parser.add_argument("--epochs", type=int, default=15, help="in each of the six rounds (default: %(default)s)")
    parser.add_argument("--episodes", type=int, default=128, help="in each round and to test (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, default=Path("control.png"))
    options = parser.parse_args(arguments)
    with ncps.backend_scope(options.backend or ncps.get_backend()):
        told, untold = learn(options), learn(options, tells_time=False)
    flights = {
        "expert": fly(None, options.episodes, TEST),
        "network, told the time": fly(told, options.episodes, TEST),
        "the same, told always 1": fly(told, options.episodes, TEST, tells_time=False),
        "another, trained so": fly(untold, options.episodes, TEST, tells_time=False),
    }
    for name, flight in flights.items():
        upright = (np.cos(flight.angle[:, -20:]) > 0.9).all(axis=1).mean()  # throughout the last second
        print(f"{name:<24} return {flight.rewards.sum(axis=1).mean():7.1f}   upright {upright:4.0%}")
    frame, state = np.float32([1, 0]), np.zeros(19, np.float32)
    each = min(timeit.repeat(lambda: told.step(frame, state, timespan=1.0), number=1000))  # of 1000, in seconds
    print(f"one step on NumPy: {1000 * each:.0f} microseconds")
    draw(told, flights, options.picture)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch would share little work among all cores, and wait
    main()
