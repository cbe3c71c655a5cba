"""The results of examples/xor_paper.py beside those of the CfC paper, as a table for docs/examples.md.

python docs/xor_table.py cfc.json no_gate.json pure.json mixed.json
"""

import json
import sys
from pathlib import Path

import numpy as np

NAMES = {
    "cfc": "CfC",
    "no_gate": "CfC without gate",
    "pure": "closed form alone (Cf-S)",
    "mixed": "CfC with mixed memory",
}
PAPER = {"cfc": "99.42 ± 0.42", "no_gate": "96.29 ± 1.61", "pure": "85.42 ± 2.84", "mixed": "99.72 ± 0.08"}  # events
DENSE = "100.00 ± 0.00"  # all of them


def table(files):
    rows = [
        "| model | streams as | epochs | seeds | each, % | ours, % | the paper's, % |",
        "|---|---|---|---|---|---|---|",
    ]
    for file in files:
        found = json.loads(Path(file).read_text())
        last = 100 * np.array(found["accuracy"][-1])
        ours, kind = f"{last.mean():.2f}", "bits" if found["dense"] else "events"
        ours += f" ± {last.std():.2f}" if len(last) > 1 else ""
        paper = DENSE if found["dense"] else PAPER[found["model"]]
        each, epochs = ", ".join(f"{x:.1f}" for x in last), len(found["accuracy"])
        rows.append(f"| {NAMES[found['model']]} | {kind} | {epochs} | {len(last)} | {each} | {ours} | {paper} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table(sys.argv[1:]))
