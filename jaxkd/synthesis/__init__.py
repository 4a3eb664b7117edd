"""Engines that methods share: how images, generators and searches are run."""
