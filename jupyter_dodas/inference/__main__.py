"""``python -m jupyter_dodas.inference`` is ``dodas-tfaas``."""

from jupyter_dodas.inference.command import main

main()
