"""The report of a run: an HTML page, figures and a summary in text."""
