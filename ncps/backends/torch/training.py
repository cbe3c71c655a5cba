"""Training with `torch.optim`."""

from __future__ import annotations

import contextlib
from typing import ClassVar

import numpy as np
import torch

from ncps import optimizers
from ncps.backends.optimizer import BoundOptimizer

ADAM = {"betas": ("beta_1", "beta_2"), "eps": "epsilon"}


class TorchOptimizer(BoundOptimizer):
    """A `torch.optim.Optimizer`."""

    FRAMEWORK = "torch"
    KINDS: ClassVar = {
        optimizers.SGD: (torch.optim.SGD, {"momentum": "momentum", "nesterov": "nesterov"}),
        optimizers.RMSprop: (
            torch.optim.RMSprop,
            {"alpha": "rho", "momentum": "momentum", "eps": "epsilon", "centered": "centered"},
        ),
        optimizers.Adam: (torch.optim.Adam, {**ADAM, "amsgrad": "amsgrad"}),
        optimizers.Adamax: (torch.optim.Adamax, ADAM),
        optimizers.Nadam: (torch.optim.NAdam, ADAM),
        optimizers.Adagrad: (
            torch.optim.Adagrad,
            {"initial_accumulator_value": "initial_accumulator_value", "eps": "epsilon"},
        ),
        optimizers.Adadelta: (torch.optim.Adadelta, {"rho": "rho", "eps": "epsilon"}),
    }

    def trainable(self):
        return {path: weight for path, weight in self.model.named_parameters() if weight.requires_grad}

    def make(self, given):
        kind, arguments = self.kind(given)
        return kind(self.weights.values(), self.first_rate(), **arguments)

    def adopt(self, given):
        if not isinstance(given, torch.optim.Optimizer):
            raise self.unknown(given)
        held = {id(weight) for group in given.param_groups for weight in group["params"]}
        if self.before is not None:
            known = held | {id(weight) for weight in self.before.values()}
            if not known >= {id(weight) for weight in self.weights.values()}:
                raise self.of_before(given)
        if not held & {id(weight) for weight in self.weights.values()}:
            raise ValueError(
                "Expected a torch.optim.Optimizer of this model's parameters. Received: one of others. Build the model "
                "first (call it once, or give input_size=), then make the optimizer from model.parameters()."
            )
        return given

    @property
    def learning_rate(self):
        return float(self.native.param_groups[0]["lr"])

    @learning_rate.setter
    def learning_rate(self, rate):
        for group in self.native.param_groups:
            group["lr"] = rate

    def step(self, objective, prepare, how):
        model = torch.compile(self.model) if how.asked_for else self.model
        weights = list(self.weights.values())
        device = weights[0].device.type
        scaler = torch.amp.GradScaler(device, enabled=how.mixed_precision == "float16")

        def step(carry, batch):
            self.native.zero_grad()
            with autocast(device, how.mixed_precision):
                loss, after = objective(model, carry, batch)
            scaler.scale(loss).backward()
            scaler.unscale_(self.native)
            used = [weight for weight in weights if weight.grad is not None]
            with torch.no_grad():
                gradients, taken, after = prepare(loss.detach(), [weight.grad for weight in used], after)
                if taken:
                    for weight, gradient in zip(used, gradients, strict=True):
                        weight.grad = gradient
                    if self.decay:
                        torch._foreach_mul_(used, 1 - self.learning_rate * self.decay)
                    self.native.step()
            if scaler.is_enabled() and not taken and loss.isfinite():  # the scale was too large: it will be lower
                after = {**after, "steps": carry["steps"], "healthy": carry["healthy"]}
            scaler.update()
            return after

        return step

    def get_state(self):
        state = self.native.state_dict()["state"]
        return {
            f"{number}/{name}": torch.as_tensor(value).detach().cpu().numpy()
            for number, values in state.items()
            for name, value in values.items()
            if value is not None
        }

    def set_state(self, state):
        own = self.native.state_dict()
        kept = {}
        for path, array in state.items():
            number, name = path.split("/")
            kept.setdefault(int(number), {})[name] = torch.tensor(np.asarray(array))
        self.native.load_state_dict({"state": kept, "param_groups": own["param_groups"]})


optimizer = TorchOptimizer


def compiled(model, function, how):
    ready = torch.compile(model) if how.asked_for else model
    device = next((weight.device.type for weight in model.parameters()), "cpu")

    def run(*arguments):
        with torch.no_grad(), autocast(device, how.mixed_precision):
            return function(ready, *arguments)

    return run


def autocast(device, precision):
    """Products in a smaller type, None as they are."""
    if precision is None:
        return contextlib.nullcontext()
    return torch.autocast(device, getattr(torch, precision))
