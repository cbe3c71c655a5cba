"""What runs in the process of ncps 1.0.1 is no test of ours."""

collect_ignore_glob = ["answers_*.py", "server.py"]
