"""NumPy does not train."""

from ncps.backends.common import no_gradients


def optimizer(model, given):
    return no_gradients()


def compiled(model, function, how):
    return lambda *arguments: function(model, *arguments)
