"""What the README shows runs, and the test command stands where CI looks for it."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_code_runs(capsys, monkeypatch, tmp_path):
    import ncps
    from ncps.backend import process

    for name in ("backend", "ops"):
        monkeypatch.setattr(process, name, getattr(process, name))  # the code sets the backend of the process
    monkeypatch.chdir(tmp_path)  # where it saves a model
    names = {}
    for block in BLOCKS:
        exec(block, names)
    assert "(8, 50, 1)" in capsys.readouterr().out
    assert names["action"].shape == (1,)
    assert isinstance(names["layer"], ncps.layers.CfC)
    assert names["forecasts"].shape == (8, 1)


@pytest.mark.parametrize("words", ["python3 -m venv", "-c constraints.txt", "-m pytest"])
def test_command_for_tests_is_marked(words):
    command = re.search(r"<!-- test-command -->\n```sh\n(.*)\n```", README)
    assert command
    assert words in command.group(1)


def test_picture_exists():
    assert (Path(__file__).parent.parent / "docs" / "pictures" / "hero.png").stat().st_size > 10_000
