"""Answers what ncps 1.0.1 computes, in a process of its own; it must not import our ncps, which has its name.

Every line of the standard input names a module of `answers`, a file with the questions and one for the answers, both of
NumPy arrays, whose array "cases" is JSON. Run as ``python -P server.py FRAMEWORK`` with 1.0.1 on the PYTHONPATH.
"""

import importlib
import json
import sys
import traceback
from pathlib import Path

import numpy as np


def read(path):
    with np.load(path, allow_pickle=False) as content:
        arrays = dict(content)
    return json.loads(str(arrays.pop("cases"))), arrays


def own(arrays, i, part):
    """The arrays of a case under a heading."""
    prefix = f"{i}|{part}|"
    return {name.removeprefix(prefix): x for name, x in arrays.items() if name.startswith(prefix)}


def wiring_of(case):
    import ncps.wirings

    name, arguments = case["wiring"]
    return getattr(ncps.wirings, name)(**arguments)


def main():
    sys.path.insert(0, str(Path(__file__).parent))
    answers = importlib.import_module(f"answers_{sys.argv[1]}")
    for line in sys.stdin:
        question, answer = line.strip().split("\t")
        try:
            cases, arrays = read(question)
            found = {}
            for i, case in enumerate(cases):
                for part, values in answers.answer(case, {p: own(arrays, i, p) for p in ("given", "weights")}).items():
                    found |= {f"{i}|{part}|{name}": x for name, x in values.items()}
            np.savez(answer, **found)
            print("done", flush=True)
        except Exception:
            print(json.dumps(traceback.format_exc()), flush=True)


if __name__ == "__main__":
    main()
