"""A training step with TensorFlow's own Adam, traced."""

import tensorflow as tf

from ncps.backends.tensorflow.ops import tensor


def training_step(model, loss, learning_rate, clip_norm):
    # Keras' optimizers take Keras' variables only; this is TensorFlow's own, with the same formula.
    optimizer = tf.compat.v1.train.AdamOptimizer(learning_rate, epsilon=1e-7)

    @tf.function(reduce_retracing=True, autograph=False)  # there is nothing to rewrite in what is written with ops
    def update(*batch):
        with tf.GradientTape() as tape:
            value = loss(model, *batch)
        variables = model.trainable_variables
        gradients = tape.gradient(value, variables)
        if clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, clip_norm)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return value

    return lambda *batch: update(*(tensor(x) for x in batch))
