"""The bit-stream XOR table of the CfC paper, in its own setting: 100,000 sequences, 200 epochs, several seeds at once.

Run it on jax, best with a GPU: the weights of all seeds are stacked, `jax.vmap` trains them side by side, and a whole
epoch is one compiled `lax.scan`. ``--model`` is one of cfc, no_gate, pure, mixed.

    python examples/xor_paper.py --model cfc --seeds 0 1 2 3 4 --json cfc.json
    python examples/xor_paper.py --table cfc.json no_gate.json pure.json mixed.json

Hyper-parameters, clipping and the schedule are those of the authors' code (github.com/raminmh/CfC, train_xor.py). Three
things differ: every epoch leaves out the 32 sequences (another 32 each time) that fill no batch; the norms of gradients are
limited for each of our weights, of which one holds the heads that are four there; the memory's kernel of mixed begins
uniform for each gate. As there, the result is the test accuracy after the last epoch.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from rich.progress import Progress
from xor import Parity, sequences

import ncps
from ncps.layers import CfC, CfCCell, MixedMemory


class Setting(NamedTuple):
    make: object  # the recurrent layer
    optimizer: object
    learning_rate: float
    decay: float  # of the learning rate, in an epoch
    clip: float  # limit of the norm of each weight's gradient
    batch: int
    l2: float  # of the CfC's kernels
    paper: tuple[str, str]  # with events, and dense: accuracy in %


def options(units, activation, dropout=0.0):
    return {
        "backbone_units": units, "backbone_activation": activation, "backbone_dropout": dropout,
        "head_activation": "lecun_tanh",
    }  # fmt: skip


def rmsprop(rate):
    return optax.rmsprop(rate, eps=1e-7)


def adam(rate):
    return optax.adam(rate, eps=1e-7)


SETTINGS = {
    "cfc": Setting(
        lambda: CfC(192, **options(128, "relu")), rmsprop, 0.05, 0.95, 1.0, 128, 3e-6, ("99.42 ± 0.42", "100.00 ± 0.00")
    ),
    "no_gate": Setting(
        lambda: CfC(128, mode="no_gate", **options(192, "silu", 0.3)),
        rmsprop, 0.005, 0.95, 10.0, 128, 5e-6, ("96.29 ± 1.61", "100.00 ± 0.00"),
    ),
    "pure": Setting(
        lambda: CfC(64, mode="pure", **options(64, "silu")),
        adam, 0.005, 0.9, 5.0, 256, 3e-5, ("85.42 ± 2.84", "100.00 ± 0.00"),
    ),
    "mixed": Setting(
        lambda: MixedMemory(CfCCell(64, **options(128, "relu")), forget_bias=0.6),
        rmsprop, 0.005, 0.95, 10.0, 128, 2e-6, ("99.72 ± 0.08", "100.00 ± 0.00"),
    ),
}  # fmt: skip


def train(setting, seeds, epochs, events, count, report):
    """Trains a model for each seed; ``report(losses, accuracies)`` hears of every epoch."""
    train_set, test_set = sequences(count, 1234984, events), sequences(max(count // 10, 1), 48736, events)
    longest = max(int(mask.sum(1).max()) for (_, _, mask), _ in (train_set, test_set))  # what follows is padding
    (x, y), (test_x, test_y) = (
        jax.device_put((tuple(part[:, :longest] for part in inputs), parity))
        for inputs, parity in (train_set, test_set)
    )
    models = []
    for seed in seeds:
        ncps.set_seed(seed)
        models.append(Parity(setting.make()))
        models[-1](*(part[:1] for part in x))
    graph = nnx.graphdef(models[0])
    splits = [nnx.split(model, nnx.Param, ...)[1:] for model in models]
    weights, others = jax.tree.map(lambda *each: jnp.stack(each), *splits)  # of all seeds
    steps = len(y) // setting.batch
    schedule = optax.exponential_decay(setting.learning_rate, steps, setting.decay)
    optimizer = optax.chain(optax.stateless(lambda updates, _: clipped(updates, setting.clip)), setting.optimizer(schedule))

    def loss(weights, others, batch):
        model = nnx.merge(graph, weights, jax.tree.map(lambda value: value, others))  # variables of this trace
        inputs, parity = batch
        logits = model(*inputs, training=True)
        penalty = setting.l2 * sum(jnp.sum(kernel**2) for kernel in kernels(weights))
        rest = nnx.split(model, nnx.Param, ...)[2]  # dropout has drawn
        return optax.sigmoid_binary_cross_entropy(logits, parity).mean() + penalty, rest

    def step(carry, chosen):
        weights, others, state = carry
        batch = jax.tree.map(lambda array: array[chosen], (x, y))
        (value, others), gradients = jax.value_and_grad(loss, has_aux=True)(weights, others, batch)
        updates, state = optimizer.update(gradients, state)
        return (optax.apply_updates(weights, updates), others, state), value

    def epoch(weights, others, state, key):
        order = jax.random.permutation(key, len(y))[: steps * setting.batch].reshape(steps, setting.batch)
        (weights, others, state), losses = jax.lax.scan(step, (weights, others, state), order)
        logits = nnx.merge(graph, weights, others)(*test_x, training=False)
        return weights, others, state, losses.mean(), ((logits > 0) == test_y).mean()

    run = jax.jit(jax.vmap(epoch), donate_argnums=(0, 1, 2))
    state = jax.vmap(optimizer.init)(weights)
    for number in range(epochs):
        keys = jnp.stack([jax.random.fold_in(jax.random.key(seed), number) for seed in seeds])
        weights, others, state, losses, accuracies = run(weights, others, state, keys)
        report(losses.tolist(), accuracies.tolist())


def kernels(weights):
    """The kernels of the CfC, which the authors' code holds small; not those of the memory and of the readout."""
    named = [("/".join(map(str, path)), value[...]) for path, value in nnx.to_flat_state(weights)]
    return [value for path, value in named if "backbone" in path and path.endswith("kernel") or "heads_kernel" in path]


def clipped(gradients, limit):
    return jax.tree.map(lambda g: g * (limit / jnp.maximum(jnp.linalg.norm(g.ravel()), limit)), gradients)


def table(files):
    """The results beside the paper's, in Markdown."""
    print("| model | events | seeds | ours % | the paper's % |\n|---|---|---|---|---|")
    for file in files:
        found = json.loads(Path(file).read_text())
        final = 100 * np.array(found["accuracy"])[-1]
        paper = SETTINGS[found["model"]].paper[found["dense"]]
        kind = "no" if found["dense"] else "yes"
        print(f"| {found['model']} | {kind} | {len(final)} | {final.mean():.2f} ± {final.std():.2f} | {paper} |")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=SETTINGS, default="cfc")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--sequences", type=int, default=100_000, help="to train with; a tenth as many to test")
    parser.add_argument("--dense", action="store_true", help="every bit is a step, in place of events")
    parser.add_argument("--json", type=Path, help="where the results go, after every epoch")
    parser.add_argument("--table", nargs="+", metavar="JSON", help="prints a table of such files and does nothing else")
    chosen = parser.parse_args(argv)
    if chosen.table:
        return table(chosen.table)
    found = {"model": chosen.model, "dense": chosen.dense, "seeds": chosen.seeds, "loss": [], "accuracy": [], "seconds": []}
    with ncps.backend_scope("jax"), Progress() as progress:
        task = progress.add_task(chosen.model, total=chosen.epochs)
        start = time.perf_counter()

        def report(losses, accuracies):
            found["loss"].append(losses)
            found["accuracy"].append(accuracies)
            found["seconds"].append(time.perf_counter() - start)
            if chosen.json:
                chosen.json.write_text(json.dumps(found))
            done = len(found["loss"])
            numbers = " ".join(f"{100 * accuracy:.2f}" for accuracy in accuracies)
            progress.console.print(f"epoch {done}: {found['seconds'][-1]:.1f} s, loss {np.mean(losses):.4f}, test % {numbers}")
            progress.advance(task)

        setting = SETTINGS[chosen.model]
        train(setting, chosen.seeds, chosen.epochs, not chosen.dense, chosen.sequences, report)


if __name__ == "__main__":
    main()
