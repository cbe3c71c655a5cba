"""The only code that imports a framework: one folder a backend, the same files in each."""
