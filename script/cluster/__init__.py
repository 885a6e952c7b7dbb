"""A test cluster: a real Kubernetes with one node on this machine. `script/kubernetes` runs it."""
