"""Training of networks: objectives, optimisers, epochs, trained teachers."""
