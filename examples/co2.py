"""Carbon dioxide over Mauna Loa: a forecast across gaps needs to know how long they are.

The weekly record of 1958 to 2001 lacks 59 weeks, 21 of them in 1964. Eight observations ahead may be eight weeks or 24.
A liquid network gets a year of observations and the weeks between them as timespans; its last step holds no observation
and says how long to wait for the one that is asked for. The same network, told that all steps are equal, and the guess
that all stays as it is (persistence) are what it is measured against, on 1962 to 1967, where most gaps are.

    pip install "ncps[torch,fast,viz]"
    python examples/co2.py --backend torch

It prints, after two trainings of a few seconds each (seed 0 on torch):

    2953 windows to train, 279 to test, on torch
    persistence          2.17 ppm
    all steps equal      1.02 ppm
    real elapsed times   0.77 ppm

How the numbers vary with the seed, and why it trains on a record that lost more: docs/guides/irregular.md.
"""

import argparse
import csv
import os
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import ncps
from ncps.layers import CfC, Dense

AHEAD, STEPS, EACH = 8, 13, 4  # the observation to forecast; a year of observations, in steps of four
TEST = (1962, 1968)  # years
UNIT = 3.0  # ppm
BLUE, ORANGE, GRAY = "#1f6fb4", "#e07b39", "0.6"


def record():
    """The weeks with an observation, counted from March 1958, and what was observed in ppm."""
    rows = list(csv.DictReader(files("ncps").joinpath("data/mauna_loa_co2.csv").read_text().splitlines()))
    seen = [(week, float(row["co2"])) for week, row in enumerate(rows) if row["co2"]]
    return tuple(map(np.array, zip(*seen, strict=True)))


def year(week):
    return 1958 + (88 + 7 * week) / 365.25


def windows(week, ppm):
    """For each observation: a year up to it, the weeks between, and the change to come, in units of 3 ppm."""
    now = np.arange(STEPS * EACH, len(ppm) - AHEAD)
    past = now[:, None] - np.arange(STEPS * EACH)[::-1]
    series = np.zeros((len(now), STEPS + 1, EACH + 1), np.float32)
    series[:, :-1, :-1] = ((ppm[past] - ppm[now, None]) / UNIT).reshape(len(now), STEPS, EACH)
    series[:, -1, -1] = 1  # no observation, a question
    ends = now[:, None] - EACH * np.arange(STEPS + 1)[::-1]
    elapsed = np.column_stack([np.diff(week[ends]), week[now + AHEAD] - week[now]]).astype(np.float32)
    change = ((ppm[now + AHEAD] - ppm[now]) / UNIT).astype(np.float32)[:, None]
    return now, series, elapsed, change


def training_windows(week, ppm, copies):
    """Windows outside of the test years, from copies of the record that lost observations in 40 outages each."""
    rng, parts = np.random.default_rng(0), []
    for copy in range(copies):
        kept = np.ones(len(week), bool)
        for start in rng.integers(0, len(week), 40):
            kept[start : start + rng.integers(1, 20)] = False
        now, *arrays = windows(week[kept], ppm[kept])
        years = year(week[kept])
        outside = (years[now + AHEAD] < TEST[0]) | (years[now - STEPS * EACH] >= TEST[1])
        parts.append([array[outside][copy % 4 :: 4] for array in arrays])  # neighbours are nearly the same
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def timespans(elapsed, told):
    """Elapsed weeks as the network's time: the real ones, or all steps alike."""
    regular = np.float32([EACH] * STEPS + [AHEAD])
    return 0.1 * (elapsed if told else np.broadcast_to(regular, elapsed.shape))


def forecast(train, test, told, epochs, seed):
    """Trains a network, and what it says about the windows to test with, in ppm."""
    ncps.set_seed(seed)
    (series, elapsed, change), (test_series, test_elapsed) = train, test
    model = ncps.Sequential([CfC(32), Dense(1)])
    model.compile(ncps.optimizers.Adam(lambda step: 5e-3 / (1 + step / 150), global_clipnorm=1.0), "mse")
    print("told the real elapsed times" if told else "told that all steps are equal")
    model.fit((series, timespans(elapsed, told)), change, batch_size=64, epochs=epochs)
    return UNIT * model.predict((test_series, timespans(test_elapsed, told)), verbose=0)[:, 0]


def draw(path, week, ppm, target, forecasts, errors):
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    gaps = [(start, end) for start, end in pairwise(week) if end - start > 2]
    for start, end in gaps:
        axes.axvspan(year(start + 0.5), year(end - 0.5), color="0.93", lw=0)
    axes.plot(year(week), ppm, ".", color=GRAY, ms=6, label="observed (none in the gray gaps)")
    for (name, values), color in zip(forecasts.items(), (ORANGE, BLUE), strict=True):
        asked = week[target]
        for start, end in gaps:  # no line across a gap
            place = np.searchsorted(asked, end)
            asked, values = np.insert(asked, place, start), np.insert(values, place, np.nan)
        axes.plot(year(asked), values, ".-", color=color, ms=6, lw=1, label=f"{name}: {errors[name]:.2f} ppm")
    axes.set(
        xlim=(1963.3, 1965.3), xticks=(1963.5, 1964, 1964.5, 1965), ylim=(315, 324), xlabel="year", ylabel="CO₂ (ppm)"
    )
    axes.set_title("Eight observations ahead, across the gap of 1964", loc="left", fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=110)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", help="torch, jax, mlx, tensorflow, keras (default: NCPS_BACKEND or any)")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--copies", type=int, default=8, help="of the record, each with other losses (default: 8)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, default=Path("co2.png"))
    options = parser.parse_args(argv)
    with ncps.backend_scope(options.backend or ncps.get_backend()):
        run(options)


def run(options):
    week, ppm = record()
    train = training_windows(week, ppm, options.copies)
    now, series, elapsed, change = windows(week, ppm)
    tested = (year(week[now]) >= TEST[0]) & (year(week[now]) < TEST[1])
    now, test, change = now[tested], (series[tested], elapsed[tested]), UNIT * change[tested, 0]
    print(f"{len(train[0])} windows to train, {len(now)} to test, on {ncps.get_backend()}")
    names = {"all steps equal": False, "real elapsed times": True}
    changes = {name: forecast(train, test, told, options.epochs, options.seed) for name, told in names.items()}
    changes = {"persistence": np.zeros_like(change), **changes}
    errors = {name: np.sqrt(np.mean((found - change) ** 2)) for name, found in changes.items()}
    for name, error in errors.items():
        print(f"{name:20} {error:.2f} ppm")
    forecasts = {name: ppm[now] + changes[name] for name in names}
    draw(options.picture, week, ppm, now + AHEAD, forecasts, errors)
    print(f"Saved {options.picture}")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch would share products of 64 rows among all cores, in vain
    main()
