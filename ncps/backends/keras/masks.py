"""The mask that Keras keeps with a tensor; on jax, whose traced tensors take no attributes, it does so elsewhere."""

from keras.src import backend  # there is no public way

mask_of = backend.get_keras_mask
