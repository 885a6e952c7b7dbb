"""Where instances run: one package for each backend."""
