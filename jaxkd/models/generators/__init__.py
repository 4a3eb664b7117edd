"""Generators: networks that turn latents into images."""
