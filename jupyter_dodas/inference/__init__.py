"""The inference server: models go in as files, predictions come out, in the protocol of TFaaS and in others.

It stands alone: it knows nothing of clusters, backends and notebooks, and its front imports no TensorFlow. The command is
``dodas-tfaas``; the service kind ``tfaas`` runs it with others, and `jupyter_dodas.services.tfaas` has its client.
"""
