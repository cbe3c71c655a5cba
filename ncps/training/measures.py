"""The loss and the metrics of a model, over one output or several: what is carried through the steps of an epoch."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ncps import losses, metrics, ops, tree

Tree = Any
Tensor = Any
Assigned = tuple[str, metrics.Metric, int, bool]  # name, metric, number of the output, whether weights count


class Measures:
    """What `compile` was told to measure.

    Args:
        loss: a name, an object or a function; for several outputs a list or a dictionary of some.
        loss_weights: factors of the losses of several outputs, in the same form.
        named_metrics: what is reported beside it, without the sample weights.
        weighted_metrics: and with them.

    Raises:
        ValueError: nobody knows a name.
    """

    def __init__(
        self, loss: Any, loss_weights: Any = None, named_metrics: Any = None, weighted_metrics: Any = None
    ) -> None:
        self.loss = convert(losses.get, loss)
        self.loss_weights = loss_weights
        self.kinds = [
            (convert(named, named_metrics or []), False),
            (convert(named, weighted_metrics or []), True),
        ]
        self.metrics: list[Assigned] | None = None  # known with the number of outputs

    def start(self) -> Tree:
        """The sums before the first batch: of the loss, of the samples, and the states of the metrics."""
        states = [metric.start() for _, metric, _, _ in self.metrics or ()]
        return {"loss": (np.float32(0), np.float32(0)), "metrics": states}

    def arrange(self, outputs: Tree) -> None:
        """Assigns the metrics to the outputs, once these are known.

        Raises:
            ValueError: there is not one for each output.
        """
        if self.metrics is not None:
            return
        names = output_names(outputs)
        found = []
        for kind, weighted in ((kind, weighted) for kind, weighted in self.kinds if kind):
            per_output = [kind] if len(names) == 1 and not isinstance(kind, Mapping) else for_outputs(kind, outputs)
            for i, chosen in enumerate(per_output):
                for name, metric in chosen if isinstance(chosen, list) else [chosen] if chosen else []:
                    found.append((f"{names[i]}_{name}" if len(names) > 1 else name, metric, i, weighted))
        self.metrics = with_unique_names(found)

    def value(self, y: Tree, outputs: Tree, sample_weight: Any, mask: Any) -> Tensor:
        """The loss of a batch.

        Raises:
            ValueError: there are no targets, or not one for each output.
        """
        if self.loss is None:
            raise ValueError("Expected a loss. Received: none. Call model.compile(optimizer, loss=...).")
        if y is None:
            raise ValueError("Expected targets y. Received: none. Give them as fit(x, y), or in the batches as (x, y).")
        pairs = paired(y, outputs)
        chosen = for_outputs(self.loss, outputs)
        factors = for_outputs(self.loss_weights, outputs)
        total = None
        for (target, output), loss, factor in zip(pairs, chosen, factors, strict=True):
            if loss is None:
                continue
            value = loss(target, output, sample_weight, mask)
            value = value if factor is None else value * factor
            total = value if total is None else total + value
        return total

    def update(self, sums: Tree, loss: Tensor, y: Tree, outputs: Tree, sample_weight: Any, mask: Any) -> Tree:
        """The sums after one more batch."""
        pairs = [(target, ops.stop_gradient(output)) for target, output in paired(y, outputs)]
        total, count = sums["loss"]
        samples = ops.cast(ops.shape(pairs[0][1])[0], ops.dtype(count))
        states = [
            metric.update(state, *pairs[i], sample_weight if weighted else None, mask)
            for state, (_, metric, i, weighted) in zip(sums["metrics"], self.metrics or (), strict=True)
        ]
        loss = ops.cast(ops.stop_gradient(loss), ops.dtype(total))
        return {"loss": (total + loss * samples, count + samples), "metrics": states}

    def results(self, sums: Tree) -> dict[str, float]:
        """The numbers that sums, as NumPy arrays, stand for: ``"loss"`` and the metrics by name."""
        total, count = sums["loss"]
        found = {"loss": metrics.ratio(total, count)}
        for (name, metric, _, _), state in zip(self.metrics or (), sums["metrics"], strict=True):
            found[name] = metric.result(state)
        return {name: float(value) for name, value in found.items()}


def convert(get: Any, value: Any) -> Any:
    """`value`, or the values in lists and dictionaries, through `get`."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {key: convert(get, item) for key, item in value.items()}
    return [convert(get, item) for item in value] if isinstance(value, (list, tuple)) else get(value)


def named(metric: Any) -> tuple[str, metrics.Metric]:
    """A metric and the name it is reported under: as it was asked for, as Keras does."""
    found = metrics.get(metric)
    return metric if isinstance(metric, str) else found.name, found


def with_unique_names(found: Sequence[Assigned]) -> list[Assigned]:
    """Metrics with names of their own: the second ``"mse"`` is ``"weighted_mse"`` if it is, else ``"mse_1"``."""
    taken: dict[str, Assigned] = {}
    for name, metric, output, weighted in found:
        free = name
        if name in taken:
            numbered = (f"{name}_{i}" for i in itertools.count(1))
            candidates = itertools.chain([f"weighted_{name}"] if weighted else [], numbered)
            free = next(candidate for candidate in candidates if candidate not in taken)
        taken[free] = free, metric, output, weighted
    return list(taken.values())


def output_names(outputs: Tree) -> list[str]:
    """Names of the outputs in the order of their leaves."""
    if isinstance(outputs, Mapping):
        return sorted(outputs)
    return [f"output_{i}" for i in range(len(tree.flatten(outputs)[0]))]


def for_outputs(chosen: Any, outputs: Tree) -> list[Any]:
    """What was chosen for each output: one for all, a list in their order, or a dictionary by their names.

    Raises:
        ValueError: it fits neither.
    """
    names = output_names(outputs)
    if isinstance(chosen, Mapping):
        if isinstance(outputs, Mapping) and set(chosen) <= set(names):
            return [chosen.get(name) for name in names]
    elif not isinstance(chosen, list):
        return [chosen] * len(names)
    elif len(chosen) == len(names):
        return list(chosen)
    raise ValueError(
        f"Expected one loss (or list of metrics) for each of the outputs {', '.join(names)}. Received: {chosen!r}. "
        "Give one for all, a list of as many, or a dictionary with these names."
    )


def paired(y: Tree, outputs: Tree) -> list[tuple[Any, Tensor]]:
    """Targets with their outputs.

    Raises:
        ValueError: there are not as many targets as outputs.
    """
    if isinstance(y, Mapping) and isinstance(outputs, Mapping) and set(y) != set(outputs):
        raise ValueError(
            f"Expected targets for the outputs {sorted(outputs)}. Received: {sorted(y)}. Give y these names."
        )
    targets, found = tree.flatten(y)[0], tree.flatten(outputs)[0]
    if len(targets) != len(found):
        raise ValueError(
            f"Expected targets for {len(found)} outputs. Received: {len(targets)}. Give y the structure of the outputs."
        )
    return list(zip(targets, found, strict=True))
