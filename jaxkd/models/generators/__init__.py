"""Generators: networks that turn latents into images.

    convolutional.py    upsampling generators and DCGAN
    registry.py         `create_generator`, with the published recipes by name
    transformer_gan.py  the transformer generator

DaST's generator is in `jaxkd.models.dast`.
"""
