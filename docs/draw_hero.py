"""Draws the picture that opens the README: a network of 19 neurons, and what they do while it forecasts a real series.

It learns the weekly carbon dioxide over Mauna Loa outside of the years that are drawn; see guides/irregular.md.

    python docs/draw_hero.py
"""

import csv
from importlib.resources import files
from itertools import pairwise

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from draw_ideas import PICTURES, save

import ncps
from ncps import inspect, viz
from ncps.layers import LTC, Dense
from ncps.wirings import AutoNCP

AHEAD = 8  # weeks
DRAWN = (1962.5, 1967.0)
HELD_OUT = (1962, 1968)
UNIT = 0.1  # of the timespans, for a week
STEPS = 104
COLUMNS = ("inputs", "inter", "command", "motor")


def record() -> tuple[np.ndarray, np.ndarray]:
    """Weeks with an observation, and the parts per million then."""
    rows = list(csv.DictReader(files("ncps").joinpath("data/mauna_loa_co2.csv").read_text().splitlines()))
    seen = [(i, float(row["co2"])) for i, row in enumerate(rows) if row["co2"]]
    return tuple(np.array(column) for column in zip(*seen, strict=True))


def to_years(week: np.ndarray) -> np.ndarray:
    return 1958 + (88 + 7 * week) / 365.25


def features(week: np.ndarray, ppm: np.ndarray) -> np.ndarray:
    """What the network sees of each observation: levels and changes, from observations before only."""
    past = [np.interp(week - weeks, week, ppm) for weeks in (52, 26, 8, 2)]  # held where the record begins
    return np.stack([(ppm - before) / 4 for before in past], axis=-1).astype("float32")


def training_set(week: np.ndarray, ppm: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Series, elapsed times and what comes, of windows that lose observations at random."""
    rng, parts = np.random.default_rng(0), []
    year = to_years(week)
    for _ in range(6):
        kept = np.ones(len(week), bool)
        for start in rng.integers(0, len(week), 40):
            kept[start : start + rng.integers(1, 20)] = False
        now, level = week[kept], ppm[kept]
        inputs, elapsed = features(now, level), UNIT * np.diff(now, prepend=now[0] - 1)
        targets = (np.interp(now + AHEAD, week, ppm) - level) / 4
        for start in range(60, len(now) - STEPS - AHEAD, 52):
            part = slice(start, start + STEPS)
            years = year[kept][part]
            if years[-1] < HELD_OUT[0] - 0.2 or years[0] > HELD_OUT[1] + 1:
                parts.append((inputs[part], elapsed[part], targets[part, None]))
    return tuple(np.stack(arrays).astype("float32") for arrays in zip(*parts, strict=True))


def trained(week: np.ndarray, ppm: np.ndarray) -> ncps.Sequential:
    ncps.set_seed(1)
    layer = LTC(AutoNCP(19, 2, sparsity_level=0.6, seed=3), return_sequences=True)
    model = ncps.Sequential([layer, Dense(1)])
    optimizer = ncps.optimizers.Adam(lambda step: 2e-2 / (1 + step / 150), global_clipnorm=1.0)
    model.compile(optimizer, "mse")
    series, elapsed, targets = training_set(week, ppm)
    model.fit((series, elapsed), targets, batch_size=16, epochs=30, verbose=0)
    return model


def draw_wiring(axis: plt.Axes, wiring: AutoNCP) -> None:
    handles = wiring.draw_graph(layout="layered", draw_labels=False, ax=axis)
    for x, (name, handle) in enumerate(zip(COLUMNS, handles, strict=True)):
        axis.text(x, 0.06, name, ha="center", color=handle.get_facecolor(), fontweight="bold", fontsize=12)
    synapses = wiring.synapse_count + wiring.sensory_synapse_count
    axis.text(1.5, -1.06, f"{wiring.units} neurons, {synapses} synapses", ha="center", color="0.35")
    axis.set(xlim=(-0.35, 3.35), ylim=(-1.08, 0.1))
    axis.set_axis_off()


def draw_series(axis: plt.Axes, week: np.ndarray, ppm: np.ndarray, forecast: np.ndarray) -> None:
    for before, after in pairwise(week):
        if after - before > 3:
            begin, end = to_years(np.array([before, after]))
            axis.axvspan(begin, end, color="0.9", linewidth=0)
            if after - before > 10:
                axis.text((begin + end) / 2, 315, "no data", ha="center", color="0.35", fontsize=11)
    axis.plot(to_years(week), ppm, ".", color="black", markersize=5, label="measured")
    pauses = np.flatnonzero(np.diff(week) > 3) + 1  # nothing is forecast where nothing is seen
    times, forecast = (np.insert(x, pauses, np.nan) for x in (to_years(week + AHEAD), forecast))
    axis.plot(times, forecast, color="#D55E00", linewidth=1.8, label="forecast 8 weeks before")
    axis.set_ylabel("CO₂ (ppm)")
    axis.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2, fontsize=11, frameon=False, borderaxespad=0)


def main() -> None:
    week, ppm = record()
    with ncps.backend_scope("torch"):
        model = trained(week, ppm)
        series, elapsed = features(week, ppm), UNIT * np.diff(week, prepend=week[0] - 1)
        layer = model[0]
        seen = inspect.activity(layer, series, timespans=elapsed.astype("float32"))
        change = np.asarray(model.predict((series[None], elapsed[None].astype("float32")), verbose=0))[0, :, 0]
    forecast = ppm + 4 * change
    shown = (to_years(week) >= DRAWN[0]) & (to_years(week) < DRAWN[1])
    truth = np.interp(week + AHEAD, week, ppm)
    for name, values in (("network", forecast), ("persistence", ppm)):
        print(name, "rms error", np.sqrt(np.mean((values - truth)[shown] ** 2)), "ppm")

    with mpl.rc_context({"font.size": 12, "axes.spines.top": False, "axes.spines.right": False}):
        figure = plt.figure(figsize=(11, 5.2), layout="constrained")
        grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.35), height_ratios=(0.75, 1.25))
        draw_wiring(figure.add_subplot(grid[:, 0]), layer.cell.wiring)
        above, below = figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, 1])
        draw_series(above, week[shown], ppm[shown], forecast[shown])
        viz.plot_activity(seen.states[shown], layer.cell.wiring, times=to_years(week[shown]), ax=below)
        below.get_legend().remove()
        below.set(xlabel="year", yticks=[])
        below.set_ylabel("19 neurons", labelpad=16)
        for axis in (above, below):
            axis.set(xlim=DRAWN, xticks=range(1963, 1968))
        above.tick_params(labelbottom=False)
        save(figure, PICTURES / "hero.png")


if __name__ == "__main__":
    main()
