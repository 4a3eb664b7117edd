"""An HTTP server for classifiers; the command is `python -m jaxkd.serve`."""
