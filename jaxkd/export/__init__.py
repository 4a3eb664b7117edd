"""What leaves a run: the student, and the images that it was trained on.

`python -m jaxkd.export --help` names the commands.
"""
