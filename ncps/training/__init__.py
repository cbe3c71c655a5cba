"""Training: one loop for all backends, and single steps for those who write their own."""

from ncps.training.steps import backend_of as backend_of, training_step as training_step
