"""The processes of ncps 1.0.1 import these: they are no tests, and hold no examples."""

collect_ignore_glob = ["answers_*.py", "server.py"]
