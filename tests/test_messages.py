"""Every error says what was expected, what was received, and the way out."""

import ast
import functools
from pathlib import Path

import numpy as np
import pytest

import ncps
from ncps.layers import CfC, Dense
from ncps.saving import load, load_weights, save_weights

SOURCE = Path(ncps.__file__).parent


def text_of(node):
    """The text of an expression, with {} where a value comes; None if it is no text."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join("{}" if isinstance(part, ast.FormattedValue) else str(part.value) for part in node.values)
    return None


@functools.cache
def messages():
    """Where errors are made, and their texts."""
    return list(all_messages())


def all_messages():
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith(("Error", "error")):
                for text in filter(None, map(text_of, node.args)):
                    yield f"{path.relative_to(SOURCE)}:{node.lineno}", text


def test_what_was_received_is_followed_by_the_way_out():
    found = [(where, text) for where, text in messages() if "Received: " in text]
    assert len(found) > 150
    without = [(where, text) for where, text in found if ". " not in text.split("Received: ", 1)[1]]
    assert not without


def test_what_was_expected_is_followed_by_what_was_received():
    found = [(where, text) for where, text in messages() if text.startswith("Expected ")]
    assert len(found) > 150
    assert not [(where, text) for where, text in found if "Received: " not in text]


def test_an_unknown_backend():
    with pytest.raises(ValueError, match=r"out of .*torch.* Received: 'pytorch'\. Did you mean 'torch'\?"):
        ncps.set_backend("pytorch")
    with pytest.raises(ValueError, match=r"Received: 'abacus'\. Give one of these\. A backend of another package"):
        ncps.backend_scope("abacus")


def test_an_empty_sequence():
    with ncps.backend_scope("numpy"):
        layer = CfC(3, input_size=2)
        with pytest.raises(ValueError, match=r"at least one time step.*shape \(5, 0, 2\).*mask="):
            layer(np.zeros((5, 0, 2), np.float32))
        masked = layer(np.zeros((5, 1, 2), np.float32), mask=np.zeros((5, 1), bool))  # what the message promises
        np.testing.assert_array_equal(masked, 0)


@pytest.fixture
def layer():
    with ncps.backend_scope("numpy"):
        yield Dense(2, input_size=3)


def test_a_file_that_is_not_there(layer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for read in (load, lambda path: load_weights(layer, path)):
        with pytest.raises(FileNotFoundError, match=rf"Received: nowhere\.safetensors .*looks from .*{tmp_path.name}"):
            read("nowhere.safetensors")


def test_a_file_that_is_damaged(layer, tmp_path):
    save_weights(layer, tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    for damaged in (content[:-4], content[:10], b"", b"{" * 100):
        (tmp_path / "damaged").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"Expected .*damaged"):
            load_weights(layer, tmp_path / "damaged")


def test_a_place_where_no_file_can_be(layer, tmp_path):
    with pytest.raises(IsADirectoryError, match=r"Received: the folder .* Add a name"):
        save_weights(layer, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"in a folder that is there.*Make the folder first"):
        save_weights(layer, tmp_path / "missing" / "weights")
    assert not list(tmp_path.iterdir())
