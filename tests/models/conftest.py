"""Each backend that trains, and mlx without its compiler."""

import pytest
from small_models import TRAINING, can_train

from ncps.backend import NCPSBackend, backend_scope


@pytest.fixture(params=TRAINING)
def trains(request):
    """Each backend that trains, active during the test."""
    if not can_train(request.param):
        pytest.skip("not installed, or does not train")
    with backend_scope(request.param):
        yield request.param


@pytest.fixture(autouse=True)
def uncompiled_mlx():
    """On Linux mlx compiles with the compiler of C++, for many seconds; what it does is the same."""
    if "mlx" not in NCPSBackend.available_backends():
        yield
        return
    import mlx.core as mx

    mx.disable_compile()
    yield
    mx.enable_compile()
