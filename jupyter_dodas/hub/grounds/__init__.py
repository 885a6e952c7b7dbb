"""What a user's notebooks and clusters stand on: an account of this machine, or a namespace of Kubernetes."""
