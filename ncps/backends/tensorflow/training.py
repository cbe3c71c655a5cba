"""Training with TensorFlow's own optimizers, traced. Keras' would take Keras' variables only."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import tensorflow as tf

from ncps import optimizers, tree
from ncps.backends.optimizer import BoundOptimizer

own = tf.compat.v1.train


def sgd(learning_rate, momentum, nesterov):
    if momentum:
        return own.MomentumOptimizer(learning_rate, momentum, use_nesterov=nesterov)
    return own.GradientDescentOptimizer(learning_rate)


class TensorflowOptimizer(BoundOptimizer):
    """A `tf.compat.v1.train.Optimizer`, which has the same formulas as Keras'."""

    FRAMEWORK = "tensorflow"
    KINDS: ClassVar = {
        optimizers.SGD: (sgd, {"momentum": "momentum", "nesterov": "nesterov"}),
        optimizers.RMSprop: (
            own.RMSPropOptimizer,
            {"decay": "rho", "momentum": "momentum", "epsilon": "epsilon", "centered": "centered"},
        ),
        optimizers.Adam: (own.AdamOptimizer, {"beta1": "beta_1", "beta2": "beta_2", "epsilon": "epsilon"}),
        optimizers.Adagrad: (own.AdagradOptimizer, {"initial_accumulator_value": "initial_accumulator_value"}),
        optimizers.Adadelta: (own.AdadeltaOptimizer, {"rho": "rho", "epsilon": "epsilon"}),
    }

    def trainable(self):
        return dict(enumerate(self.model.trainable_variables))

    def make(self, given):
        kind, arguments = self.kind(given)
        self.rate = tf.Variable(self.first_rate(), trainable=False, dtype=tf.float32)
        return kind(self.rate, **arguments)

    def adopt(self, given):
        if not isinstance(given, own.Optimizer):
            raise self.unknown(given)
        self.rate = None
        return given

    @property
    def learning_rate(self):
        if self.rate is None:
            raise ValueError(
                "Expected an optimizer whose learning rate can be seen and set. Received: one of tf.compat.v1.train, "
                "which keeps it. Give the name of an optimizer or one of ncps.optimizers."
            )
        return float(self.rate.numpy())

    @learning_rate.setter
    def learning_rate(self, rate):
        assert self.learning_rate is not None
        self.rate.assign(rate)

    def make_slots(self):
        """Makes the optimizer's variables, which a branch of a traced function could not."""
        with tf.init_scope():
            self.native._create_slots(list(self.model.trainable_variables))

    def step(self, objective, prepare, how):
        how = how.in_one_precision("tensorflow")
        model, optimizer = self.model, self.native
        self.make_slots()

        def update(carry, batch):
            with tf.GradientTape() as tape:
                loss, carry = objective(model, carry, batch)
            variables = model.trainable_variables
            found = zip(tape.gradient(loss, variables), variables, strict=True)
            gradients, used = zip(*((tf.convert_to_tensor(g), v) for g, v in found if g is not None), strict=True)
            gradients, taken, carry = prepare(loss, gradients, carry)

            def take():
                if self.decay:
                    for variable in used:
                        variable.assign(variable * (1 - self.rate * self.decay))
                optimizer.apply_gradients(zip(gradients, used, strict=True))
                return True

            tf.cond(taken, take, lambda: True)
            return carry

        return update if how.run_eagerly else traced(update, how.asked_for)

    def variables(self):
        """The optimizer's variables: those of a weight by its number and their kind, the others, as powers, by number.

        Not in the order of ``native.variables()``, which sorts by names that TensorFlow makes unique in a process.
        """
        self.make_slots()
        kinds = self.native.get_slot_names()
        slots = {
            f"{i}/{kind}": self.native.get_slot(weight, kind)
            for i, weight in enumerate(self.model.trainable_variables)
            for kind in kinds
        }
        known = {id(variable) for variable in slots.values()}
        others = [variable for variable in self.native.variables() if id(variable) not in known]
        return slots | {str(i): variable for i, variable in enumerate(others)}

    def get_state(self):
        return {name: variable.numpy() for name, variable in self.variables().items()}

    def set_state(self, state):
        for name, variable in self.variables().items():
            variable.assign(np.asarray(state[name]))


optimizer = TensorflowOptimizer


def traced(function, xla):
    """The function in graphs, one for all batch sizes: the first axis of what stands last, the batch, is left open."""
    # There is nothing for AutoGraph to rewrite in what is written with ops.
    graph = tf.function(function, autograph=False, jit_compile=xla)
    made = {}

    def call(*arguments):
        *carried, batch = arguments
        tensors, structure = tree.flatten(batch)
        key = repr(structure), *((x.dtype, *x.shape[1:]) for x in tensors)
        if key not in made:
            signature = tree.map(lambda x: tf.TensorSpec([None, *x.shape[1:]] if x.shape.rank else [], x.dtype), batch)
            made[key] = graph.get_concrete_function(*carried, signature)
        return made[key](*arguments)

    return call


def compiled(model, function, how):
    def run(*arguments):
        return function(model, *arguments)

    return run if how.run_eagerly else traced(run, how.asked_for)
