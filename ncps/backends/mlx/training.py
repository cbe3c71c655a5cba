"""Training with `mlx.optimizers`, compiled."""

from __future__ import annotations

from typing import ClassVar

import mlx.core as mx
import numpy as np
from mlx import nn, optimizers as own
from mlx.utils import tree_flatten

from ncps import optimizers
from ncps.backends.mlx.ops import tensor
from ncps.backends.optimizer import BoundOptimizer

BETAS = {"betas": ("beta_1", "beta_2")}


def adam(learning_rate, **arguments):
    return own.Adam(learning_rate, bias_correction=True, **arguments)


class Adamax(own.Adamax):
    """With the correction for the first steps, which mlx leaves out (Kingma & Ba 2015, algorithm 2)."""

    def apply_single(self, gradient, parameter, state):
        plain = super().apply_single(gradient, parameter, state)
        return parameter + (plain - parameter) / (1 - self.betas[0] ** self.step).astype(parameter.dtype)


class MLXOptimizer(BoundOptimizer):
    """An `mlx.optimizers.Optimizer`."""

    FRAMEWORK = "mlx"
    KINDS: ClassVar = {
        optimizers.SGD: (own.SGD, {"momentum": "momentum", "nesterov": "nesterov"}),
        optimizers.RMSprop: (own.RMSprop, {"alpha": "rho", "eps": "epsilon"}),
        optimizers.Adam: (adam, {**BETAS, "eps": "epsilon"}),
        optimizers.Adamax: (Adamax, {**BETAS, "eps": "epsilon"}),
        optimizers.Adagrad: (own.Adagrad, {"eps": "epsilon"}),
        optimizers.Adadelta: (own.AdaDelta, {"rho": "rho", "eps": "epsilon"}),
        optimizers.Lion: (own.Lion, BETAS),
    }

    def trainable(self):
        return {path: holder(self.model, path) for path, _ in tree_flatten(self.model.trainable_parameters())}

    def make(self, given):
        kind, arguments = self.kind(given)
        made = kind(self.first_rate(), **arguments)
        made.init(self.model.trainable_parameters())
        if isinstance(given, optimizers.Adagrad):  # it begins with 0 where Keras has an argument
            for path, value in tree_flatten(made.state):
                if path.endswith(".v"):
                    put(made.state, path, mx.full(value.shape, given.initial_accumulator_value, value.dtype))
        return made

    def adopt(self, given):
        if not isinstance(given, own.Optimizer):
            raise self.unknown(given)
        if self.before is not None:  # rates and steps are arrays, what belongs to weights is in trees
            given.state = {name: value for name, value in given.state.items() if isinstance(value, mx.array)}
        given.init(self.model.trainable_parameters())
        return given

    @property
    def learning_rate(self):
        return float(self.native.learning_rate.item())

    @learning_rate.setter
    def learning_rate(self, rate):
        self.native.learning_rate = rate

    def step(self, objective, prepare, how):
        how = how.in_one_precision("mlx")
        model, optimizer = self.model, self.native
        differentiate = nn.value_and_grad(model, objective)
        state = [model.state, optimizer.state]

        def update(carry, batch):
            (loss, carry), gradients = differentiate(model, carry, batch)
            paths, leaves = zip(*tree_flatten(gradients), strict=True)
            leaves, taken, carry = prepare(loss, leaves, carry)
            before = dict(tree_flatten([model.trainable_parameters(), optimizer.state]))
            if self.decay:
                shrink = 1 - optimizer.learning_rate * self.decay
                for path, weight in tree_flatten(model.trainable_parameters()):
                    put(model, path, weight * shrink)
            for path, gradient in zip(paths, leaves, strict=True):
                put(gradients, path, gradient)
            optimizer.update(model, gradients)
            for path, new in tree_flatten([model.trainable_parameters(), optimizer.state]):
                put([model, optimizer.state], path, mx.where(taken, new, before[path]))
            return carry

        ready = compiled_with(state, update, how)

        def step(carry, batch):
            carry = ready(carry, batch)
            mx.eval(carry, state)
            return carry

        return step

    def get_state(self):
        return {path: np.array(value) for path, value in tree_flatten(self.native.state)}

    def set_state(self, state):
        for path, value in tree_flatten(self.native.state):
            put(self.native.state, path, tensor(state[path]).astype(value.dtype))


optimizer = MLXOptimizer


def put(tree, path, value):
    """Sets a leaf of a tree of dictionaries and modules in its place, where compiled functions look for it."""
    tree, last = holder(tree, path), path.split(".")[-1]
    tree[key(tree, last)] = value


def holder(tree, path):
    """The dictionary, list or module in a tree that holds a leaf."""
    for name in path.split(".")[:-1]:
        tree = tree[key(tree, name)]
    return tree


def key(tree, name):
    """The name as a key of dictionaries, or as an index of lists."""
    return int(name) if isinstance(tree, list) else name


def compiled(model, function, how):
    def run(*arguments):
        return function(model, *arguments)

    return compiled_with([model.state], run, how)


def compiled_with(state, function, how):
    """The function compiled, which reads and changes `state` and random numbers; after an error these are as before.

    mlx would leave placeholders of its trace there, which make every later use of the model and of its generator fail.
    """
    if how.eager:
        return function
    captured = [state, mx.random.state]
    ready = mx.compile(function, inputs=captured, outputs=captured)

    def call(*arguments):
        before, (random,) = tree_flatten(state), mx.random.state
        try:
            return ready(*arguments)
        except Exception:
            for path, value in before:
                put(state, path, value)
            upper, lower = random.tolist()
            mx.random.seed(upper << 32 | lower)  # the only way to set it; its two halves are the key
            raise

    return call
