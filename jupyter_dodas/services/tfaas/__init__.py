"""TFaaS: a server of models, and replicas that compute for it."""
