"""What runs apart from the server: it loads what was uploaded, converts it, compares and measures it.

``python -m jupyter_dodas.inference.conversion.converter`` imports TensorFlow and waits. For each job it forks a process,
which confines itself and only then opens what it was given. The waiting process passes on lines and looks at nothing.
"""
