"""Files of networks: weights, bundles, and imports from other frameworks.

answers.py          answers of a network, also with changed layers
artefact.py         what a `jax.export` artefact takes and returns
bundle.py           a network in a folder, with a card and a probe
class_names.py      names of classes in text files
data_spec.py        specs of inputs as checked JSON
imported.py         networks in files of other frameworks
mismatch.py         why a network does not answer a probe as expected
mismatch_causes.py  the usual causes, which `mismatch.py` tries
model_card.py       what a bundle says about its network
probe.py            images with the answers that are expected
pytorch/            PyTorch's names and layouts
safetensors_io.py   reading safetensors files that are not trusted
shards.py           weights in several files
stablehlo.py        classifiers from `jax.export` artefacts
weights.py          classifiers as safetensors files
"""
