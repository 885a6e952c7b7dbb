"""The page of a pool: files as they are, without a step of building. `jupyter_dodas.services.htcondor.web` serves them."""
