"""The base of all layers: Keras' layer protocol, on whichever framework's module the layer is bound to."""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ncps import allowance, initializers, ops, seeds, tree
from ncps.backend import active, backend_scope
from ncps.layers.binding import LayerMeta
from ncps.layers.symbols import Symbol, noted
from ncps.serialization import deserialize, serialize

Tensor = Any
Shape = Sequence[int | None]
HIDDEN = (AttributeError, NotImplementedError, RuntimeError, TypeError)  # what frameworks raise for values they hide
BYTES_OF_A_LAYER = 10_000  # about, with what frameworks keep of it
BUILT = ("built", "_non_negative", "_anchor", "_shape_built_for")  # what building changes, beside weights and layers


class Weight(NamedTuple):
    """A weight of a layer or of one of the layers within it."""

    path: str  # attributes from the outermost layer, "cell/w": the same on every backend
    owner: Any
    name: str
    variable: Any  # the framework's own
    trainable: bool


class Layer(metaclass=LayerMeta):
    """Base class of layers; write `build` and `call` against `ncps.ops`, and it runs on every backend.

    A layer is at once an `ncps.layers.Layer` and a module of the backend that was active when it was made
    (`torch.nn.Module`, `flax.nnx.Module`, `mlx.nn.Module`, `tf.Module`, `keras.layers.Layer`), and remembers it.

    Args:
        input_size: number of features; when given, the layer is built at once, else at its first call.
        name: a name to show; weights are named by attributes, never by it.
        dtype: type of the weights, "float32" by default.
        native: further options of the framework's own module, under keras.

    Raises:
        TypeError: `Layer` itself cannot be instantiated.

    Example:
        >>> class Scale(Layer):
        ...     def build(self, input_shape):
        ...         self.factor = self.add_weight("factor", (input_shape[-1],), "ones")
        ...
        ...     def call(self, inputs):
        ...         return inputs * self.factor
        >>> Scale()(np.float32([[1, 2]]))
        array([[1., 2.]], dtype=float32)
    """

    bound_to: str | None = None
    native_kind = "Layer"  # which of the backend's base classes it is bound to
    built: bool

    if TYPE_CHECKING:  # what the native base adds, see ncps/backends/native.py
        make_weight: Callable[[str, np.ndarray, bool, str | None], Any]
        make_buffer: Callable[[np.ndarray], Any]
        make_state: Callable[[Any], Any]
        makes_states_at_build: Callable[[], bool]
        build_shape: Callable[[], Any]
        read_state: Callable[[str], Any]
        write_state: Callable[[str, Any], None]
        capturable: Callable[[Any], Any]
        changes_in_place: bool
        native_attributes: Callable[[], Iterable[tuple[str, Any]]]
        native_config: Callable[[], dict[str, Any]]
        native_dtype: Callable[[], str]
        native_result: Callable[[Any, Any], Any]
        native_state: Callable[[Any], Any]
        native_training: Callable[[], bool]
        native_weights: Callable[[], dict[str, tuple[Any, bool]]]
        input_type: Callable[[], Any]
        is_traced: Callable[[Any], bool]
        is_weight: Callable[[Any], bool]
        reopen: Callable[[], None]
        write_weight: Callable[[Any, np.ndarray], None]
        compute_mask: Callable[..., Any]
        compute_output_shape: Callable[..., Any]
        __call__: Callable[..., Any]

    always_constrained = True  # else a constrained weight counts as it is until `apply_weight_constraints`
    takes_seed = True  # containers do not: their number would differ between backends

    def __init__(
        self, *, input_size: int | None = None, name: str | None = None, dtype: str | None = None, **native: Any
    ) -> None:
        if unbound(type(self)) is Layer:
            raise TypeError(
                "Layer is the base class of layers. Instantiate Dense, LTC, CfC ..., or a subclass of your own."
            )
        super().__init__(name=name, dtype=dtype, **native)  # type: ignore[call-arg]
        if "float" not in self.native_dtype():
            raise ValueError(
                f"Expected dtype to be a floating type, such as 'float32'. Received: dtype={dtype!r}. Quantise after "
                "training, as ncps.export.to_c(..., weights='int8') does."
            )
        self.input_size = check_size("input_size", input_size) if input_size is not None else None
        self._layer_index = seeds.next_layer_index() if self.takes_seed else -1
        self._non_negative: tuple[str, ...] = ()
        self._anchor: tuple[str, ...] = ()
        self._shape_built_for: Any = None
        allowance.spend(BYTES_OF_A_LAYER)

    @classmethod
    def made_of(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> type:
        """The class that a call with these arguments instantiates."""
        return cls

    # -- what a layer writes

    def build(self, input_shape: Shape) -> None:
        """Makes the weights, once the number of features is known; `input_shape` ends with it."""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the outputs."""
        raise NotImplementedError(f"{type(self).__name__} does not define call(self, inputs, ...). Define it.")

    def check_arguments(self, *args: Any, **kwargs: Any) -> None:
        """Raises if something is wrong with the arguments of a call as the user gave them, before any conversion."""

    # -- what a layer uses

    def add_weight(
        self,
        name: str,
        shape: Sequence[int],
        initializer: Any = "glorot_uniform",
        trainable: bool = True,
        constraint: str | None = None,
    ) -> Any:
        """A new weight, to be assigned to the attribute `name`.

        Args:
            name: name of the attribute.
            shape: its shape.
            initializer: name, number, array or `ncps.initializers.Initializer`.
            trainable: whether optimizers change it.
            constraint: ``"non_negative"``: the value that counts is max(weight, 0), see `positive`.

        Returns:
            The framework's own parameter.
        """
        if constraint not in (None, "non_negative"):
            raise ValueError(
                f"Expected constraint=None or 'non_negative'. Received: {constraint!r}. Other constraints are "
                "functions of the weight, computed in call."
            )
        if constraint:
            self._non_negative = (*self._non_negative, name)
        allowance.spend(8 * math.prod(shape))
        if allowance.is_limited():  # a file has the values
            return self.make_weight(name, np.zeros(shape), trainable, constraint)
        draw = initializers.get(initializer)
        generator = seeds.generator_for(self._layer_index, name, getattr(draw, "seed", None))
        value = np.asarray(draw(tuple(shape), generator), np.float64)
        if value.shape != tuple(shape):
            raise ValueError(
                f"Expected initial values of shape {tuple(shape)} for {name!r}. Received: {value.shape}. Give an "
                "array of this shape, a number, or the name of an initializer."
            )
        return self.make_weight(name, value, trainable, constraint)

    def add_seed_generator(self, seed: int | None) -> None:
        """Makes the state that the layer's own draws come from, `self.seed_generator`, repeatable by `set_seed`."""
        if seed is None and seeds.given_seed() is not None:
            seed = int(seeds.generator_for(self._layer_index, "seed_generator").integers(2**31))
        with self.scope():
            self.seed_generator = ops.random.seed_generator(seed)

    def is_training(self, training: bool | None) -> bool:
        """The explicit value, else that of the layer which called this one, else the framework's own mode."""
        if training is None:
            training = active.training
        return self.native_training() if training is None else bool(training)

    def convert_input(self, inputs: Tensor) -> Tensor:
        """Inputs as tensors of the layer's type; layers of integers override this."""
        inputs, wanted = ops.convert_to_tensor(inputs), self.input_type()
        return inputs if wanted is None or inputs.dtype == wanted else ops.cast(inputs, wanted)

    def anchor_weight(self) -> Any:
        """The weight whose type and device the inputs take."""
        found = self
        for name in self._anchor:
            found = getattr(found, name)
        return found

    def scope(self) -> backend_scope:
        """The scope of the layer's own backend."""
        return backend_scope(self.bound_to or "")

    # -- building and calling

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """A call: in the layer's own backend, built, with converted inputs. The framework's entry point comes here."""
        if not args:
            args, kwargs = self.first_by_position(kwargs)
        if isinstance(args[0], Symbol):
            with self.scope():
                return noted(self, args, kwargs)
        previous = active.backend, active.ops, active.training
        if previous[0] != self.bound_to:
            with self.scope():
                return self.run(*args, **kwargs)
        if kwargs.get("training") is not None:
            active.training = kwargs["training"]
        try:
            self.check_arguments(*args, **kwargs)
            if self.built:
                return self.call(self.convert_input(args[0]), *args[1:], **kwargs)
            with self.whole_or_not_at_all():  # a call that fails does not decide the number of features
                self.build_before_call(args[0])
                return self.call(self.convert_input(args[0]), *args[1:], **kwargs)
        finally:
            active.training = previous[2]

    def first_by_position(self, arguments: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of a call with the first of them by position."""
        first = next(iter(inspect.signature(self.call).parameters))
        if first not in arguments:
            raise TypeError(f"Expected the inputs of {type(self).__name__}, {first}. Received: none. Give them first.")
        return (arguments[first],), {name: value for name, value in arguments.items() if name != first}

    def build_before_call(self, inputs: Any) -> None:
        """Builds for these inputs, outside of any compilation."""
        inputs = self.tensors(inputs)
        if any(map(self.is_traced, tree.flatten(inputs)[0])):
            raise RuntimeError(
                f"{type(self).__name__} is called under a compiler before it is built: its weights would belong to the "
                "compiled function. Call it once without, or give input_size= to the constructor."
            )
        self.ensure_built(tree.map(lambda x: tuple(ops.shape(x)), inputs))

    def tensors(self, inputs: Any) -> Any:
        """Inputs as tensors; a model takes trees of them."""
        return ops.convert_to_tensor(inputs)

    def defines_build(self) -> bool:
        """Whether the layer makes weights of its own, or only has layers that do."""
        return unbound(type(self)).build is not Layer.build

    def ensure_built(self, input_shape: Shape) -> None:
        """Builds the layer if it is not."""
        if not self.built:
            self.build(input_shape)

    @contextlib.contextmanager
    def whole_or_not_at_all(self) -> Iterator[None]:
        """After an error in this block, the layer and those within have no more weights and layers than before it."""
        for name, value in list(vars(self).items()):  # containers may have been filled since they were assigned
            if isinstance(value, (list, tuple, dict)):
                self.check_container(name, value)
        before = [
            (layer, {*layer.own_weights(), *layer.own_layers()}, [(name, getattr(layer, name)) for name in BUILT])
            for layer in self.layers_within()
        ]
        try:
            yield
        except BaseException:
            for layer, names, attributes in before:
                if layer.built and not dict(attributes)["built"]:
                    layer.reopen()
                for name in {*layer.own_weights(), *layer.own_layers()} - names:
                    delattr(layer, name)
                for name, value in attributes:
                    if getattr(layer, name) != value:  # under a compiler, even the same value could not be set
                        setattr(layer, name, value)
            raise

    def find_anchor(self) -> None:
        """Notes the first floating weight: inputs take its type."""
        for weight in self.walk():
            if "float" in str(weight.variable.dtype):
                self._anchor = tuple(weight.path.split("/"))
                return

    def build_if_sized(self) -> None:
        """Builds in the constructor where `input_size` tells the number of features."""
        if self.input_size is not None and not self.built:
            self.ensure_built((None, self.input_size))

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, (list, tuple, dict)):
            self.check_container(name, value)
        super().__setattr__(name, value)

    def check_container(self, name: str, value: Any) -> None:
        """Raises if a plain container holds layers or weights: frameworks lose them, mostly in silence.

        Raises:
            TypeError: it does.
        """
        if name.startswith("_") or isinstance(value, Layer) or not self.holds_layers(value):
            return
        kind, container = ("dict", "Dict") if isinstance(value, dict) else ("tuple", "List")
        kind = "list" if isinstance(value, list) else kind
        raise TypeError(
            f"Expected layers and weights as attributes of their own, or in ncps.layers.List or Dict. Received: "
            f"{type(self).__name__}.{name}, a plain {kind} that holds some, whose weights would be lost. Write "
            f"self.{name} = ncps.layers.{container}(...)."
        )

    def holds_layers(self, value: Any) -> bool:
        """Whether a value is a layer or a weight, or a container that holds some at any depth."""
        if isinstance(value, Layer) or self.is_weight(value):
            return True
        if isinstance(value, (list, tuple, dict)):
            return any(map(self.holds_layers, value.values() if isinstance(value, dict) else value))
        return False

    # -- weights

    def own_weights(self) -> dict[str, tuple[Any, bool]]:
        """Attribute names of the layer's own weights, with the framework's variable and whether it is trained."""
        return self.native_weights()

    def own_layers(self) -> dict[str, Layer]:
        """Attribute names of the layers within this one."""
        return {name: value for name, value in self.native_attributes() if isinstance(value, Layer)}

    def layers_within(self) -> Iterator[Layer]:
        """This layer and all layers within it."""
        yield self
        for layer in self.own_layers().values():
            yield from layer.layers_within()

    def walk(self, prefix: str = "") -> Iterator[Weight]:
        """All weights: those of the layer, then those of the layers within, each by name.

        The order of creation would read better, but nnx sorts attributes whenever a module goes through its transforms.
        """
        own, layers = self.own_weights(), self.own_layers()
        for name in sorted(own, key=natural):
            yield Weight(prefix + name, self, name, *own[name])
        for name in sorted(layers, key=natural):
            yield from layers[name].walk(f"{prefix}{name}/")

    def weight_paths(self) -> list[str]:
        """Paths of all weights, in the order of `get_weights`."""
        return [weight.path for weight in self.walk()]

    def get_weights(self) -> list[np.ndarray]:
        """All weights as NumPy arrays; where they are constrained, the value that counts."""
        return [weight.owner.read_weight(weight.name) for weight in self.walk()]

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Sets all weights, in the order of `get_weights`.

        Raises:
            ValueError: their number or a shape differs; nothing is changed then.
        """
        own, values = list(self.walk()), [np.asarray(value) for value in weights]
        if len(own) != len(values):
            raise ValueError(
                f"Expected {len(own)} weights: {self.weight_paths()}. Received: {len(values)}. get_weights() of a "
                "layer with the same arguments has these."
            )
        for weight, value in zip(own, values, strict=True):
            if tuple(weight.variable.shape) != value.shape:
                raise ValueError(
                    f"Expected {weight.path} of shape {tuple(weight.variable.shape)}. Received: {value.shape}. Give "
                    "the arrays in the order of weight_paths()."
                )
        for weight, value in zip(own, values, strict=True):
            weight.owner.write_weight(weight.variable, value)

    def read_weight(self, name: str) -> np.ndarray:
        """One of the layer's own weights, as the layer uses it."""
        with self.scope():
            value = np.array(ops.convert_to_numpy(self.own_weights()[name][0]))
        return np.maximum(value, 0) if name in self._non_negative and self.always_constrained else value

    def visible(self, *tensors: Tensor) -> list[np.ndarray] | None:
        """Their values; None under a compiler or a transformation that hides them."""
        if any(map(self.is_traced, tensors)):
            return None
        try:
            return [ops.convert_to_numpy(x) for x in tensors]
        except HIDDEN:
            return None

    def apply_weight_constraints(self) -> None:
        """Writes max(weight, 0) into constrained weights; the outputs do not change where that is what counted."""
        for weight in self.walk():
            if weight.name in weight.owner._non_negative:
                weight.owner.write_weight(weight.variable, np.maximum(weight.owner.read_weight(weight.name), 0))

    def count_params(self, dense: bool = False) -> int:
        """Number of parameters, trained or not.

        Args:
            dense: counts the synapses that a wiring leaves out as well, as papers do.
        """
        own = {name: int(np.prod(variable.shape)) for name, (variable, _) in self.own_weights().items()}
        if dense:
            own |= self.dense_sizes()
        return sum(own.values()) + sum(layer.count_params(dense) for layer in self.own_layers().values())

    def dense_sizes(self) -> dict[str, int]:
        """Sizes of the weights that are stored for existing synapses only, were they stored for all."""
        return {}

    # -- configuration

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as JSON-able data: each is read from the attribute of its name."""
        config = {}
        for name in constructor_arguments(unbound(type(self))):
            if not hasattr(self, name):
                raise NotImplementedError(
                    f"{type(self).__name__}.get_config expects the constructor argument {name!r} as an attribute of "
                    f"this name. Write self.{name} = {name} in __init__, or define get_config and from_config."
                )
            config[name] = serialize(getattr(self, name))
        return config | self.native_config()

    @classmethod
    def arguments(cls) -> list[str]:
        """Names of the constructor's arguments."""
        return [*constructor_arguments(unbound(cls)), "name", "dtype"]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """A new layer from `get_config`, on the active backend."""
        if cls.bound_to is None:
            return cls(**{name: deserialize(value) for name, value in config.items()})
        with backend_scope(cls.bound_to):
            return cls(**{name: value if name == "dtype" else deserialize(value) for name, value in config.items()})


def natural(name: str) -> tuple[int, str]:
    """Key that sorts "2" before "10"."""
    return (int(name), "") if name.isdigit() else (-1, name)


def unbound(cls: type) -> Any:
    """The layer class of a bound class."""
    return cls.__bases__[0] if vars(cls).get("bound_to") else cls


def constructor_arguments(cls: type) -> list[str]:
    """Names of the constructor's arguments, through ``**kwargs`` up to `Layer`."""
    names: list[str] = []
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        names += [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        if base is Layer or not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return [name for name in dict.fromkeys(names) if name not in ("name", "dtype")]


def check_size(name: str, value: Any) -> int:
    """`value` if it is a whole number above 0.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is below 1.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(
            f"Expected {name} to be an integer. Received: {value!r}. Give a whole number from 1, as int(...)."
        )
    if value < 1:
        raise ValueError(f"Expected {name} to be at least 1. Received: {value!r}. Give a whole number from 1.")
    allowance.spend(8 * int(value))
    return int(value)


def check_rate(name: str, value: float) -> float:
    """`value` if it lies in [0, 1].

    Raises:
        ValueError: it does not.
    """
    if not 0 <= value <= 1:
        raise ValueError(
            f"Expected {name} between 0 and 1. Received: {name}={value!r}. It is the share that is left out: 0.1 for "
            "a tenth."
        )
    return value


Activation = str | Callable[[Tensor], Tensor] | None
