"""What runs: one package for each kind of cluster."""
