"""Comparison with other libraries, and with what the machine can do: ``python -m benchmarks.compare``.

| module | holds |
|---|---|
| `cases` | cells and sizes that are measured |
| `sides` | who is compared: ours, peers, the limit of the machine, and the environment of their processes |
| `ours`, `peers`, `limit` | how a worker makes the network of a side |
| `frameworks/` | how users of a framework run and train a network, whoever's it is |
| `worker`, `memory` | the process of one side, and its peak of memory |
| `process`, `bench` | the parent: starts workers, lets them take turns, makes records |
| `records`, `floors`, `growth` | results, what they must reach, how they grow |
| `tables`, `plots`, `page` | how they are shown |
"""
