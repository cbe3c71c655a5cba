"""A training step with `keras.optimizers.Adam`, run by Keras' own trainer, which compiles where its framework does."""

import keras
import numpy as np

from ncps.backends.common import no_gradients
from ncps.backends.keras.ops import FRAMEWORK


class LossModel(keras.Model):
    """A model whose output is the loss, so that Keras' trainer minimises any function of a batch."""

    def __init__(self, model, loss):
        super().__init__()
        self.model, self.value = model, loss

    def call(self, batch, training=None):
        return self.value(self.model, *batch)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(y_pred)


def training_step(model, loss, learning_rate, clip_norm):
    if FRAMEWORK == "numpy":
        return no_gradients()
    trainer = LossModel(model, loss)
    trainer.compile(keras.optimizers.Adam(learning_rate, epsilon=1e-7, global_clipnorm=clip_norm))
    trainer.built = True
    return lambda *batch: trainer.train_on_batch(tuple(np.asarray(x) for x in batch))
