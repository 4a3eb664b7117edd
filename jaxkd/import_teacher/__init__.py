"""The command that imports a trained classifier as a teacher bundle.

python -m jaxkd.import_teacher net.safetensors --model=resnet18 \
  --image_shape=32,32,3 --num_classes=10 --mean=0.5 --std=0.5 \
  --probe=probe.safetensors --out=teacher
python -m jaxkd.import_teacher --torch=my_models:net --weights=net.safetensors \
  --image_shape=64,64,3 --mean=0.5 --std=0.25 --out=teacher

    flags.py     the flags, and what they say of the inputs
    sources.py   the network that they name, and its probe
    command.py   the check by the probe, the bundle, the summary
"""

from jaxkd.import_teacher.command import main

__all__ = ["main"]
