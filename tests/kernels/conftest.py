"""Tests of kernels use as many threads as they ask for, however small they are."""

import pytest

from ncps.backends.kernels import pool


@pytest.fixture(autouse=True)
def threads_for_little_work(monkeypatch):
    monkeypatch.setattr(pool, "LITTLE", 1)
