"""Training with optax, compiled."""

from __future__ import annotations

import functools
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from ncps import optimizers
from ncps.backends.optimizer import BoundOptimizer

ADAM = {"b1": "beta_1", "b2": "beta_2", "eps": "epsilon"}


class JaxOptimizer(BoundOptimizer):
    """An `nnx.Optimizer` around an optax transformation."""

    FRAMEWORK = "optax"
    KINDS: ClassVar = {
        optimizers.SGD: (optax.sgd, {"momentum": "momentum", "nesterov": "nesterov"}),
        optimizers.RMSprop: (
            optax.rmsprop,
            {"decay": "rho", "momentum": "momentum", "eps": "epsilon", "centered": "centered"},
        ),
        optimizers.Adam: (optax.adam, ADAM),
        optimizers.Adamax: (optax.adamax, ADAM),
        optimizers.Nadam: (optax.nadam, ADAM),
        optimizers.Adagrad: (
            optax.adagrad,
            {"initial_accumulator_value": "initial_accumulator_value", "eps": "epsilon"},
        ),
        optimizers.Adadelta: (optax.adadelta, {"rho": "rho", "eps": "epsilon"}),
        optimizers.Lion: (lambda rate, **o: optax.lion(rate, weight_decay=0.0, **o), {"b1": "beta_1", "b2": "beta_2"}),
    }

    def trainable(self):
        return dict(nnx.to_flat_state(nnx.state(self.model, nnx.Param)))

    def make(self, given):
        kind, arguments = self.kind(given)
        if not arguments.get("momentum", True):
            del arguments["momentum"]  # optax would keep a trace for 0

        def transformation(learning_rate):
            return kind(learning_rate, **arguments)

        settable = optax.inject_hyperparams(transformation)(learning_rate=self.first_rate())
        return nnx.Optimizer(self.model, settable, wrt=nnx.Param)

    def adopt(self, given):
        if isinstance(given, nnx.Optimizer):
            if self.before is not None:
                raise self.of_before(given)
            return given
        if isinstance(given, optax.GradientTransformation):
            return nnx.Optimizer(self.model, given, wrt=nnx.Param)
        raise self.unknown(given)

    @property
    def hyperparameters(self):
        found = getattr(self.native.opt_state, "hyperparams", {})
        if "learning_rate" not in found:
            raise ValueError(
                "Expected an optimizer whose learning rate can be seen and set. Received: an optax transformation that "
                "hides it. Give the name of an optimizer, or use optax.inject_hyperparams."
            )
        return found

    @property
    def learning_rate(self):
        return float(self.hyperparameters["learning_rate"][...])

    @learning_rate.setter
    def learning_rate(self, rate):
        self.hyperparameters["learning_rate"][...] = jnp.asarray(rate, self.hyperparameters["learning_rate"].dtype)

    def step(self, objective, prepare, how):
        how = how.in_one_precision("jax")

        def update(model, optimizer, carry, batch):
            differentiate = nnx.value_and_grad(objective, argnums=nnx.DiffState(0, nnx.Param), has_aux=True)
            (loss, carry), gradients = differentiate(model, carry, batch)
            leaves, structure = jax.tree.flatten(gradients)
            leaves, taken, carry = prepare(loss, leaves, carry)
            before = jax.tree.map(jnp.asarray, nnx.state((model, optimizer)))  # a copy: nnx hands out what it changes
            if self.decay:
                shrink = 1 - optimizer.opt_state.hyperparams["learning_rate"][...] * self.decay
                nnx.update(model, jax.tree.map(lambda weight: weight * shrink, nnx.state(model, nnx.Param)))
            optimizer.update(model, jax.tree.unflatten(structure, leaves))
            after = nnx.state((model, optimizer))
            nnx.update((model, optimizer), jax.tree.map(lambda new, old: jnp.where(taken, new, old), after, before))
            return carry

        return ready((self.model, self.native), update, how)

    def get_state(self):
        flat = nnx.to_flat_state(nnx.state(self.native))
        return {"/".join(map(str, path)): np.asarray(value[...]) for path, value in flat}

    def set_state(self, state):
        for path, value in nnx.to_flat_state(nnx.state(self.native)):
            value[...] = jnp.asarray(state["/".join(map(str, path))], value.dtype)


optimizer = JaxOptimizer


def compiled(model, function, how):
    return ready((model,), function, how)


def ready(nodes, function, how):
    """``function(*nodes, *arguments)`` of the arguments, compiled.

    `nnx.jit` goes through the graphs of the nodes twice at every call, which takes longer than a small network. Here
    that is done once; a call hands over the values of their variables, and sets them.
    """
    if how.eager:
        return functools.partial(function, *nodes)
    graph, variables = nnx.graphdef(nodes), variables_of(nodes)

    @jax.jit
    def run(values, arguments):
        state = jax.tree.map(lambda value: value, nnx.state(nodes))  # variables of this trace
        for (_, variable), value in zip(nnx.to_flat_state(state), values, strict=True):
            variable.set_value(value)
        inner = nnx.merge(graph, state)
        result = function(*inner, *arguments)
        return result, [variable.get_value() for variable in variables_of(inner)]

    def call(*arguments):
        result, values = run([variable.get_value() for variable in variables], arguments)
        for variable, value in zip(variables, values, strict=True):
            variable.set_value(value)
        return result

    return call


def variables_of(nodes):
    """The variables of modules and optimizers, which their state holds in an order that depends on paths alone."""
    return [variable for _, variable in nnx.to_flat_state(nnx.state(nodes))]
