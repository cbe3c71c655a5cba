"""The bit-stream XOR of the CfC paper in its own setting: 100,000 streams of 2 to 31 bits, 200 epochs, several seeds.

For jax, best on a GPU: the weights of all seeds are stacked, `jax.vmap` trains them side by side, and an epoch is one
compiled `lax.scan` over its batches, so that nothing but the device works.

    python examples/xor_paper.py --model cfc --seeds 0 1 2 3 4 --json cfc.json
    python docs/xor_table.py cfc.json no_gate.json pure.json mixed.json

It prints a line for every epoch: the mean loss, and the test accuracy of each seed. As in the authors' code, whose
hyper-parameters these are (github.com/raminmh/CfC, train_xor.py), the result is the accuracy after the last epoch.
Three things differ: an epoch leaves out the few streams, others each time, that fill no batch; the norm of gradients
is limited for each of our weights, one of which holds the heads that are four there; and the memory's kernel begins
with the spread of one gate, not of four.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from rich.progress import Progress
from xor import Parity, sequences

import ncps
from ncps.layers import CfC, CfCCell, MixedMemory


@dataclass(frozen=True)
class Setting:
    layer: Callable  # of the options that all share
    backbone: dict
    optimizer: Callable
    learning_rate: float
    decay: float  # of the learning rate in an epoch
    clip: float  # limit of the norm of each weight's gradient
    batch: int
    l2: float  # of the kernels of the CfC

    def rnn(self):
        named = {f"backbone_{name}": value for name, value in self.backbone.items()}
        return self.layer(head_activation="lecun_tanh", **named)


RELU, SILU = {"units": 128, "activation": "relu"}, {"units": 64, "activation": "silu"}
WIDE = {"units": 192, "activation": "silu", "dropout": 0.3}
RATE = optax.rmsprop, 0.005, 0.95
SETTINGS = {
    "cfc": Setting(lambda **o: CfC(192, **o), RELU, optax.rmsprop, 0.05, 0.95, 1.0, 128, 3e-6),
    "no_gate": Setting(lambda **o: CfC(128, mode="no_gate", **o), WIDE, *RATE, 10.0, 128, 5e-6),
    "pure": Setting(lambda **o: CfC(64, mode="pure", **o), SILU, optax.adam, 0.005, 0.9, 5.0, 256, 3e-5),
    "mixed": Setting(lambda **o: MixedMemory(CfCCell(64, **o), forget_bias=0.6), RELU, *RATE, 10.0, 128, 2e-6),
}


def data(count, seed, dense):
    (bits, elapsed, mask), parity = sequences(count, seed, events=not dense)
    longest = mask.sum(1).max()  # the rest is padding for all
    return (bits[:, :longest], elapsed[:, :longest] / 32, mask[:, :longest]), parity


def of_cfc(path):
    """Whether a weight is a kernel that the authors' code keeps small: not those of the memory and of the readout."""
    return path[-1] == "heads_kernel" or ("backbone" in path and path[-1] == "kernel")


def clipped(gradients, limit):
    return jax.tree.map(lambda g: g * (limit / jnp.maximum(jnp.linalg.norm(g.ravel()), limit)), gradients)


def trainer(setting, seeds, train_set, test_set):
    """What trains all seeds for an epoch, and gives their losses and test accuracies."""
    (x, y), (test_x, test_y) = jax.device_put((train_set, test_set))
    splits = []
    for seed in seeds:
        ncps.set_seed(seed)
        model = Parity(setting.rnn())
        model(*(part[:1] for part in x))  # builds it
        graph, *parts = nnx.split(model, nnx.Param, ...)
        splits.append(parts)
    weights, others = jax.tree.map(lambda *each: jnp.stack(each), *splits)  # others: what dropout draws from
    steps = len(y) // setting.batch
    optimizer = setting.optimizer(optax.exponential_decay(setting.learning_rate, steps, setting.decay), eps=1e-7)

    def loss(weights, others, inputs, parity):
        model = nnx.merge(graph, weights, jax.tree.map(lambda value: value, others))  # variables of this trace
        logits = model(*inputs, training=True)
        penalty = sum(jnp.sum(w[...] ** 2) for path, w in nnx.to_flat_state(weights) if of_cfc(path))
        value = optax.sigmoid_binary_cross_entropy(logits, parity).mean() + setting.l2 * penalty
        return value, nnx.split(model, nnx.Param, ...)[2]

    def step(carry, chosen):
        weights, others, state = carry
        batch = jax.tree.map(lambda array: array[chosen], (x, y))
        (value, others), gradients = jax.value_and_grad(loss, has_aux=True)(weights, others, *batch)
        updates, state = optimizer.update(clipped(gradients, setting.clip), state)
        return (optax.apply_updates(weights, updates), others, state), value

    def epoch(carry, key):
        order = jax.random.permutation(key, len(y))[: steps * setting.batch].reshape(steps, setting.batch)
        carry, losses = jax.lax.scan(step, carry, order)
        logits = nnx.merge(graph, *carry[:2])(*test_x, training=False)
        return carry, losses.mean(), ((logits > 0) == test_y).mean()

    run = jax.jit(jax.vmap(epoch), donate_argnums=0)
    carry = weights, others, jax.vmap(optimizer.init)(weights)

    def train(number):
        nonlocal carry
        keys = jnp.stack([jax.random.fold_in(jax.random.key(seed), number) for seed in seeds])
        carry, losses, accuracies = run(carry, keys)
        return losses.tolist(), accuracies.tolist()

    return train


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=SETTINGS, default="cfc")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--sequences", type=int, default=100_000, help="to train with, a tenth as many to test")
    parser.add_argument("--dense", action="store_true", help="every bit is a step, in place of events")
    parser.add_argument("--json", type=Path, required=True, help="where the results go, after every epoch")
    options = parser.parse_args(argv)
    found = {"model": options.model, "dense": options.dense, "seeds": options.seeds, "device": str(jax.devices()[0])}
    found |= {"epochs": options.epochs, "loss": [], "accuracy": [], "seconds": []}
    sets = data(options.sequences, 1234984, options.dense), data(options.sequences // 10, 48736, options.dense)
    start = time.perf_counter()
    with ncps.backend_scope("jax"), Progress() as progress:
        train = trainer(SETTINGS[options.model], options.seeds, *sets)
        for number in progress.track(range(options.epochs), description=options.model):
            losses, accuracies = train(number)
            for name, value in (("loss", losses), ("accuracy", accuracies), ("seconds", time.perf_counter() - start)):
                found[name].append(value)
            shown = " ".join(f"{accuracy:.2%}" for accuracy in accuracies)
            progress.print(
                f"epoch {number + 1}: {found['seconds'][-1]:.1f} s, loss {np.mean(losses):.4f}, test {shown}"
            )
            options.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
