"""Dask: a scheduler and workers, over TLS with a certificate authority of their own."""
