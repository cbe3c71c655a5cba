"""Draws the pictures of docs/ideas: each is made by layers of ours that run.

python docs/draw_ideas.py            all of them
python docs/draw_ideas.py wirings    one
"""

import io
import sys
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import ncps
from ncps import inspect
from ncps.layers import LTC, CfC, Dense
from ncps.wirings import AutoNCP, FullyConnected, Random, Wiring

PICTURES = Path(__file__).parent / "pictures"
BLUE, ORANGE, GREEN, PURPLE, GRAY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.45"  # Okabe and Ito
STYLE = {
    "figure.dpi": 110,
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "legend.frameon": False,
    "lines.linewidth": 2,
}


# ---- a neuron with a liquid time constant


def one_neuron(tau: float, w: float, **options: Any) -> LTC:
    """One neuron of the leak time constant tau with one synapse from its input: open at 1, shut at 0."""
    wiring = Wiring(1)
    wiring.build(1)
    wiring.add_sensory_synapse(0, 0, polarity=1)
    layer = LTC(wiring, output_mapping=None, input_size=1, epsilon=0.0, return_sequences=True, **options)
    set_weights(layer, cm=1.0, gleak=1 / tau, vleak=0.0, sensory_w=w, sensory_sigma=16.0, sensory_mu=0.5)
    return layer


def set_weights(layer: LTC, **values: float) -> None:
    """Sets weights of the cell by name, all elements alike."""
    paths, weights = layer.weight_paths(), layer.get_weights()
    named = {path.removeprefix("cell/"): weight for path, weight in zip(paths, weights, strict=True)}
    named |= {name: np.full_like(named[name], value) for name, value in values.items()}
    layer.set_weights([named[path.removeprefix("cell/")] for path in paths])


def liquid_neuron() -> plt.Figure:
    """What the time constant of a neuron does while its input comes and goes."""
    step, tau = 0.02, 2.0
    time = np.arange(0, 12, step)
    pulse = ((time > 1) & (time < 2.5)) | ((time > 6) & (time < 7.5))
    height = np.where(time < 4, 1.0, 0.48) * pulse
    layer = one_neuron(tau, w=4.0, unfolds=20)
    series = height[:, None].astype("float32")
    seen = inspect.activity(layer, series, timespans=step)
    tau_now = inspect.time_constants(layer, series, timespans=step)[:, 0]
    openness = inspect.synapses(layer, series, timespans=step).sensory_openness[:, 0]
    fixed = [0.0]  # the same drive, but dx/dt = -x / τ + 4 f A / (1 + 4 τ): it rests where the liquid neuron does
    for f in openness:
        fixed.append(fixed[-1] + step * (-fixed[-1] / tau + 4 * f / (1 + 4 * tau * f)))

    figure, (above, middle, below) = plt.subplots(
        3, sharex=True, figsize=(7.4, 5.6), layout="constrained", height_ratios=(0.8, 1.6, 1.1)
    )
    above.fill_between(time, height, color=GRAY, alpha=0.5, linewidth=0)
    above.set(ylabel="input I", ylim=(0, 1.15), title="A strong input, then a weak one")
    middle.plot(time, seen.states[:, 0], color=BLUE)
    middle.plot(time, fixed[1:], color=ORANGE, linestyle="--")
    middle.text(2.85, 0.83, "liquid: fast while it hears,\nslow while it remembers", color=BLUE)
    middle.text(2.6, 0.03, "fixed time constant", color=ORANGE)
    middle.set(ylabel="state x", ylim=(0, 1.15))
    below.plot(time, tau_now, color=BLUE)
    below.axhline(tau, color=ORANGE, linestyle="--")
    below.set(ylabel="time constant (s)", ylim=(0, 2.4), xlabel="time (s)", xlim=(0, 12))
    return figure


# ---- steps of solvers


def solver_steps() -> plt.Figure:
    """The semi-implicit step beside the explicit one, also with steps that are too long for the latter."""
    figure, axes = plt.subplots(1, 2, sharey=True, figsize=(7.4, 3.3), layout="constrained")
    for axis, step in zip(axes, (0.1, 0.45), strict=True):
        for solver, unfolds, style in (
            ("rk4", 50, {"color": "0.75", "linewidth": 6, "label": "exact"}),
            ("explicit", 1, {"color": ORANGE, "marker": "s", "linestyle": "--", "label": "explicit Euler"}),
            ("semi_implicit", 1, {"color": BLUE, "marker": "o", "label": "semi-implicit"}),
        ):
            size = 0.02 if solver == "rk4" else step
            layer = one_neuron(2.0, w=4.0, solver=solver, unfolds=unfolds)
            with warnings.catch_warnings(action="ignore"):  # that the explicit steps are too long, which is the point
                x = layer(np.ones((round(2 / size), 1), "float32"), timespans=size)[:, 0]
            axis.plot(size * np.arange(len(x) + 1), [0, *x], markersize=5, **style)
        axis.set(title=f"steps of {step} s", xlabel="time (s)", xlim=(0, 1.95), ylim=(-0.15, 2))
    axes[0].set_ylabel("state x")
    axes[0].legend(loc="upper left")
    return figure


# ---- a solver and a closed form


def pendulums(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Torques (B, T, 1), elapsed seconds (B, T) and angles (B, T, 1) of pushed pendulums, seen at irregular times."""
    rng = np.random.default_rng(seed)
    steps = 80
    elapsed = rng.uniform(0.05, 0.45, (count, steps))
    holds = np.repeat(rng.uniform(-1.5, 1.5, (count, steps // 8)), 8, axis=1)  # each torque lasts eight observations
    angle, speed = np.zeros(count), np.zeros(count)
    angles = np.zeros((count, steps))
    for k in range(steps):
        for _ in range(40):
            small = elapsed[:, k] / 40
            speed = speed + small * (holds[:, k] - 2.5 * np.sin(angle) - 0.7 * speed)
            angle = angle + small * speed
        angles[:, k] = angle
    return tuple(x.astype("float32") for x in (holds[..., None], elapsed, angles[..., None]))


def ltc_and_cfc() -> plt.Figure:
    """Both learn the same differential equation, that of a pushed pendulum."""
    torques, elapsed, angles = pendulums(512, seed=0)
    test = pendulums(64, seed=1)
    found = {}
    with ncps.backend_scope("torch"):
        for name, layer in (("LTC", LTC), ("CfC", CfC)):
            ncps.set_seed(0)
            model = ncps.Sequential([layer(32, return_sequences=True), Dense(1)])
            optimizer = ncps.optimizers.Adam(lambda step: 1e-2 / (1 + step / 400), global_clipnorm=1.0)
            model.compile(optimizer, "mse")
            model.fit((torques, elapsed), angles, batch_size=32, epochs=40, verbose=0)
            found[name] = np.asarray(model.predict(test[:2], verbose=0))
            print(name, model.count_params(), "weights, rms error", np.sqrt(np.mean((found[name] - test[2]) ** 2)))
    sample = 3
    time = test[1][sample].cumsum()
    figure, (above, below) = plt.subplots(
        2, sharex=True, figsize=(7.4, 4.6), layout="constrained", height_ratios=(0.6, 1.5)
    )
    above.step(time, test[0][sample, :, 0], where="pre", color="black", linewidth=1.2)
    above.set(ylabel="torque", title="A pushed pendulum, seen at irregular times")
    below.plot(time, test[2][sample, :, 0], color="0.75", linewidth=6, label="the pendulum")
    below.plot(time, found["LTC"][sample, :, 0], color=BLUE, label="LTC: solves its equation", linewidth=1.8)
    below.plot(time, found["CfC"][sample, :, 0], "o", color=ORANGE, markersize=4, label="CfC: one formula a step")
    below.set(ylabel="angle (rad)", xlabel="time (s)", xlim=(0, time[-1]))
    below.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3)
    return figure


# ---- wirings


def wirings() -> plt.Figure:
    """Three ways to wire twelve neurons."""
    figure, axes = plt.subplots(1, 3, figsize=(10, 4.1), layout="constrained")
    handles: dict = {}
    for axis, wiring, text in zip(
        axes,
        (FullyConnected(12, 2), Random(12, 2, sparsity_level=0.75), AutoNCP(12, 2)),
        ("every pair", "a random quarter of them", "layers, as in a worm"),
        strict=True,
    ):
        wiring.build(3)
        patches = wiring.draw_graph(layout="layered", draw_labels=False, ax=axis)
        handles |= {patch.get_label(): patch for patch in patches}
        synapses = wiring.synapse_count + wiring.sensory_synapse_count
        axis.set_title(f"{type(wiring).__name__}: {synapses} synapses\n", fontweight="bold")
        axis.text(0, 1.01, text, transform=axis.transAxes, color="0.35")
        axis.set_axis_off()
    order = ("Sensory neurons", "Inter neurons", "Command neurons", "Motor neurons")
    lines = [
        mpl.lines.Line2D([], [], color=color, label=f"{kind} synapse")
        for kind, color in (("Excitatory", GREEN), ("Inhibitory", ORANGE))
    ]
    figure.legend(handles=[*(handles[name] for name in order), *lines], loc="outside lower center", ncols=6, fontsize=9)
    return figure


# ---- irregular samples


def irregular_samples() -> plt.Figure:
    """The states of one network, of one signal: sampled evenly, and at irregular times, told and not told."""
    ncps.set_seed(4)
    layer = LTC(AutoNCP(12, 1, seed=4), input_size=1, initialization_ranges={"cm": (1.0, 1.5), "gleak": (0.6, 1.0)})
    signal = lambda t: np.sin(0.8 * t) + 0.4 * np.sin(1.7 * t)  # noqa: E731
    rng = np.random.default_rng(2)
    regular = np.full(400, 0.05)
    bursts = [step * rng.uniform(0.5, 1.5, count) for step, count in ((0.05, 60), (0.6, 5)) * 4]
    gaps = np.concatenate(bursts)
    gaps = gaps[: np.searchsorted(gaps.cumsum(), 20)]
    runs = {}
    for name, elapsed, told in (
        ("evenly", regular, regular),
        ("told", gaps, gaps),
        ("not told", gaps, np.full_like(gaps, gaps.mean())),
    ):
        times = elapsed.cumsum()
        states = inspect.activity(layer, signal(times)[:, None].astype("float32"), timespans=told).states
        runs[name] = times, states
    neuron = int(np.argmax(runs["evenly"][1][200:].std(axis=0)))

    figure, (above, below) = plt.subplots(
        2, sharex=True, figsize=(7.4, 5.0), layout="constrained", height_ratios=(1, 1.5)
    )
    fine = np.linspace(0, 20, 500)
    above.plot(fine, signal(fine), color="0.75")
    above.plot(gaps.cumsum(), signal(gaps.cumsum()), "o", color="black", markersize=4)
    above.set(ylabel="input", title="One signal, seen at irregular times (dots)")
    below.plot(*((runs["evenly"][0], runs["evenly"][1][:, neuron])), color="0.75", linewidth=6, label="every 0.05 s")
    for name, color, style, label in (
        ("not told", ORANGE, "--", "at the dots, told that all steps are equal"),
        ("told", BLUE, "-", "at the dots, told the elapsed times"),
    ):
        below.plot(
            runs[name][0], runs[name][1][:, neuron], color=color, linestyle=style, marker="o", markersize=3, label=label
        )
    below.set(ylabel=f"state of neuron {neuron}", xlabel="time (s)", xlim=(0, 20))
    below.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, fontsize=9)
    return figure


DRAWN = {
    "liquid_neuron": liquid_neuron,
    "solver_steps": solver_steps,
    "ltc_and_cfc": ltc_and_cfc,
    "wirings": wirings,
    "irregular_samples": irregular_samples,
}


def save(figure: plt.Figure, path: Path) -> None:
    """Saves a figure with 256 colors: they suffice, and take a third of the bytes."""
    content = io.BytesIO()
    figure.savefig(content, dpi=110)
    plt.close(figure)
    Image.open(content).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with ncps.backend_scope("numpy"), mpl.rc_context(STYLE):
        for name in sys.argv[1:] or DRAWN:
            figure = DRAWN[name]()
            save(figure, PICTURES / f"{name}.png")


if __name__ == "__main__":
    main()
