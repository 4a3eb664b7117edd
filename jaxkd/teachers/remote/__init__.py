"""Teachers behind HTTP."""
