"""Asks a process of ncps 1.0.1."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

SERVER = Path(__file__).parent / "server.py"


@contextlib.contextmanager
def server(framework, folder, work, **environment):
    """A function that asks: cases with their arrays, by name and part, become what 1.0.1 computes of each.

    Args:
        framework: whose answers.
        folder: folders to import from.
        work: a folder for files.
        environment: variables of the process.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", str(SERVER), framework],
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(map(str, folder))},
        cwd=work, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def ask(cases):
        question, answer = work / "question.npz", work / "answer.npz"
        arrays = {
            f"{i}|{part}|{name}": x
            for i, (_, parts) in enumerate(cases)
            for part, values in parts.items()
            for name, x in values.items()
        }
        np.savez(question, cases=np.array(json.dumps([case for case, _ in cases])), **arrays)
        process.stdin.write(f"{question}\t{answer}\n")
        process.stdin.flush()
        said = process.stdout.readline().strip()
        assert said == "done", json.loads(said) if said else "the process of ncps 1.0.1 has ended"
        with np.load(answer, allow_pickle=False) as content:
            found = [{} for _ in cases]
            for name, x in content.items():
                i, part, rest = name.split("|", 2)
                found[int(i)].setdefault(part, {})[rest] = x
        return found

    try:
        yield ask
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()
