"""What the inference server says over HTTP: who may ask, in which protocol, the page and the API to manage models."""
