"""``python -m ncps`` tells the truth about every backend and survives broken ones."""

import io
import json
import subprocess
import sys

import pytest
from rich.console import Console

from ncps import __main__ as program


def shown(names, found):
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(program.table(names, found))
    return console.export_text()


def test_the_table_tells_installed_missing_broken_and_active():
    found = {
        "torch": {"version": "2.9.0", "device": "cpu"},
        "jax": {"error": "OSError: [libjax] not found"},
        "other": {"error": "Boom"},
        "active": {"backend": "torch"},
    }
    text = shown(("mlx", "torch", "jax", "other"), found)
    lines = {line.split("│")[1].strip(): line for line in text.splitlines() if line.startswith("│")}
    assert "no" in lines["mlx"]
    assert 'pip install "ncps[mlx]"' in lines["mlx"]
    assert [cell.strip() for cell in lines["torch"].split("│")[2:6]] == ["yes", "2.9.0", "cpu", "yes"]
    assert "broken" in lines["jax"]
    assert "OSError: [libjax] not found" in lines["jax"]
    assert 'pip install "ncps[jax]"' in lines["jax"]
    assert "Boom" in lines["other"]


def test_numpy_is_asked_in_a_process_of_its_own():
    import numpy as np

    assert program.ask("numpy") == {"version": np.__version__, "device": "cpu"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("raise OSError('libbroken.so: no [such] file')", "libbroken.so: no [such] file"),
        ("import os; os._exit(3)", "status 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "status -11"),
    ],
)
def test_a_broken_framework_is_shown_with_its_reason(tmp_path, monkeypatch, body, expected):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(body)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    assert expected in program.ask("torch")["error"]


def test_the_environment_chooses(monkeypatch):
    monkeypatch.setenv("NCPS_BACKEND", "numpy")
    assert program.ask("active") == {"backend": "numpy"}
    monkeypatch.setenv("NCPS_BACKEND", "abacus")
    assert "'abacus'" in program.ask("active")["error"]


def test_where_no_backend_can_be_chosen_the_status_says_so(monkeypatch, capsys):
    def ask(question):
        return {"error": "none works"} if question == program.ACTIVE else {"version": "1.0", "device": "cpu"}

    monkeypatch.setattr(program, "ask", ask)
    assert program.main([]) == 1
    assert "No backend is active: none works" in capsys.readouterr().out


def test_a_process_that_does_not_answer_is_given_up(monkeypatch):
    monkeypatch.setattr(program, "TIMEOUT", 0.01)
    assert program.ask("numpy") == {"error": "no answer within 0.01 s"}


def test_a_probe_tells_version_device_and_faults(capsys):
    import numpy as np

    for question, found in (
        ("numpy", {"version": np.__version__, "device": "cpu"}),
        ("abacus", {"error": "Expected a backend out of"}),
    ):
        program.probe(question)
        answer = json.loads(capsys.readouterr().out.strip().removeprefix(program.MARK))
        assert answer.keys() == found.keys()
        assert all(answer[name].startswith(text) for name, text in found.items())


def test_the_command_prints_all_backends(tmp_path, monkeypatch):
    for name in ("tensorflow", "jax", "keras"):  # those that take seconds to import
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise OSError('broken on purpose')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("NCPS_BACKEND", "numpy")
    monkeypatch.setenv("COLUMNS", "200")
    done = subprocess.run([sys.executable, "-m", "ncps"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = {line.split("│")[1].strip(): line for line in done.stdout.splitlines() if line.startswith("│")}
    assert set(lines) == set(program.NCPSBackend.known_backends())
    for name, line in lines.items():
        assert ("broken on purpose" in line) == (name in ("tensorflow", "jax", "keras")), line


@pytest.fixture
def saved(tmp_path):
    import numpy as np

    import ncps
    from ncps.layers import LTC, Dense
    from ncps.wirings import AutoNCP

    model = ncps.Sequential([LTC(AutoNCP(9, 2)), Dense(1)])
    model(np.zeros((1, 2, 3), np.float32))
    model.save(tmp_path / "lane keeper.safetensors")
    return tmp_path / "lane keeper.safetensors"


def test_a_saved_model_is_exported(saved, capsys):
    pytest.importorskip("onnx")
    folder, onnx = saved.parent / "c", saved.parent / "model.onnx"
    assert program.main(["export", str(saved), "--c", str(folder), "--int8", "--example", "--onnx", str(onnx)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "Makefile",
        "lane_keeper.c",
        "lane_keeper.h",
        "lane_keeper_main.c",
    ]
    assert "signed char weight" in (folder / "lane_keeper.c").read_text()
    assert onnx.stat().st_size > 1_000
    assert "36 bytes of RAM" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--c", "out", "--name", "2x"], "Try 'model_2x'"),
        ([], "--c DIR, --onnx FILE or both"),
        (["--c", "out", "--import", "no_such_module"], "no_such_module"),
        (["--c", "model.txt/out"], "Expected a folder"),
    ],
)
def test_a_failed_export_tells_why(saved, arguments, message, capsys, monkeypatch):
    monkeypatch.chdir(saved.parent)
    (saved.parent / "model.txt").write_text("")
    assert program.main(["export", saved.name, *arguments]) == 1
    assert message in capsys.readouterr().out
    assert sorted(path.name for path in saved.parent.iterdir()) == [saved.name, "model.txt"]


def test_models_with_classes_of_ones_own(tmp_path):
    from ncps.demo.network import make_network
    from ncps.saving import save

    save(make_network("cfc", 12, 4), tmp_path / "demo.safetensors")
    command = ["export", str(tmp_path / "demo.safetensors"), "--c", str(tmp_path), "--import", "ncps.demo.network"]
    assert program.main(command) == 0
    assert (tmp_path / "demo.c").exists()
