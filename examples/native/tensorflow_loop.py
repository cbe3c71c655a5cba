"""The speakers on tensorflow: a `tf.Module`, TensorFlow's own optimizer, a traced step, a loop of its own.

The layers are modules like any other: `trainable_variables`, `tf.function`, `tf.train.Checkpoint` and
`tf.saved_model.save` work on them. For Keras on TensorFlow, see keras_loop.py.

    pip install "ncps[tensorflow]"
    python examples/native/tensorflow_loop.py

It prints, on two cores of a CPU:

    tensorflow: loss 2.1876 at first, 0.0784 in the end; 97.8% of 370 test series recognised; 9 s
"""

import numpy as np
import tensorflow as tf
from command_line import noisy_batches, run
from rich.progress import track

from ncps.demo.data import FEATURES, SPEAKERS
from ncps.layers import CfC, Dense
from ncps.wirings import AutoNCP


class Network(tf.Module):
    def __init__(self):
        super().__init__()
        self.rnn = CfC(AutoNCP(64, 16), input_size=FEATURES)
        self.readout = Dense(SPEAKERS, input_size=16)

    def __call__(self, series, mask):
        return self.readout(self.rnn(series, mask=mask))


def loss_of(network, series, mask, speakers):
    logits = network(series, mask)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=speakers, logits=logits))


def train_and_test(train_set, test_set, epochs, seed):
    """The loss of every step, and the share of the test series that are recognised."""
    network = Network()
    optimizer = tf.compat.v1.train.AdamOptimizer(0.004, epsilon=1e-7)  # the one of TensorFlow itself; others are Keras'
    generator, losses = np.random.default_rng(seed), []

    @tf.function
    def step(series, mask, speakers):
        with tf.GradientTape() as tape:
            loss = loss_of(network, series, mask, speakers)
        weights = network.trainable_variables
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, weights), 1.0)
        optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return loss

    for _ in track(range(epochs), "tensorflow"):
        losses += [step(*map(tf.constant, batch)) for batch in noisy_batches(train_set, generator)]

    found = tf.argmax(network(test_set.x, test_set.mask), -1)
    return [float(loss) for loss in losses], float((found.numpy() == test_set.y).mean())


def main(argv=None):
    return run("tensorflow", train_and_test, argv)


if __name__ == "__main__":
    main()
