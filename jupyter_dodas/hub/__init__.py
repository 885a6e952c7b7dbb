"""The JupyterHub side: signing in with INDIGO IAM, and tokens for what people run. The hub loads it by its entry point, ``iam``."""
