"""Teachers that are served behind HTTP: client, protocols and retries."""
