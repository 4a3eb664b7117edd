"""Export of a run's student, and of the synthetic images of its training.

`python -m jaxkd.export --help` lists the commands.
"""
