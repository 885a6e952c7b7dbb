"""The process of an instance of a pool: ``python -m jupyter_dodas.services.htcondor.process {manager,worker}``."""
