"""Teachers: what a run may ask, and what it costs."""
