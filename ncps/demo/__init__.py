"""``python -m ncps.demo``: a liquid network learns who speaks, on the active backend, and then runs on NumPy."""
