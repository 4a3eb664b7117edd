"""The names of the layers of vision transformers in PyTorch."""

from jaxkd.models.vit import TorchvisionViT, ViT
from jaxkd.serialization.pytorch.naming_schemes import (
  Layers,
  Names,
  NamingScheme,
  nest_blocks,
)

# ViT: {even} and {odd} are 2 {layer} and 2 {layer} + 1.

_VIT_TIMM = {
  "LayerNorm_{even}": "norm1",
  "LocalityAttention_{layer}/Dense_0": "attn.qkv",
  "LocalityAttention_{layer}/log_scale": "attn.temperature",
  "LocalityAttention_{layer}/Dense_1": "attn.proj",
  "LayerNorm_{odd}": "norm2",
  "Dense_{even}": "mlp.fc1",
  "Dense_{odd}": "mlp.fc2",
}
_VIT_PYTORCH = {
  "LayerNorm_{even}": "0.norm",
  "LocalityAttention_{layer}/Dense_0": "0.to_qkv",
  "LocalityAttention_{layer}/log_scale": "0.temperature",
  "LocalityAttention_{layer}/Dense_1": "0.to_out.0",
  "LayerNorm_{odd}": "1.net.0",
  "Dense_{even}": "1.net.1",
  "Dense_{odd}": "1.net.4",
}
_VIT_PRENORM = {
  "LayerNorm_{even}": "0.norm",
  "LocalityAttention_{layer}/Dense_0": "0.fn.to_qkv",
  "LocalityAttention_{layer}/log_scale": "0.fn.temperature",
  "LocalityAttention_{layer}/Dense_1": "0.fn.to_out.0",
  "LayerNorm_{odd}": "1.norm",
  "Dense_{even}": "1.fn.net.0",
  "Dense_{odd}": "1.fn.net.3",
}


def vit(network: ViT) -> Names:
  """Returns the names of timm and of vit-pytorch."""
  last = 2 * network.depth
  timm = {
    "ShiftedPatches_0/LayerNorm_0": "patch_embed.norm",
    "ShiftedPatches_0/Dense_0": "patch_embed.proj",
    "class_token": "cls_token",
    "position": "pos_embed",
    f"LayerNorm_{last}": "norm",
    f"Dense_{last}": "head",
  }
  pytorch = {
    "ShiftedPatches_0/LayerNorm_0": "to_patch_embedding.to_patch_tokens.1",
    "ShiftedPatches_0/Dense_0": "to_patch_embedding.to_patch_tokens.2",
    "class_token": "cls_token",
    "position": "pos_embedding",
    f"LayerNorm_{last}": "mlp_head.0",
    f"Dense_{last}": "mlp_head.1",
  }

  def layers(prefix: str, table: Layers) -> Layers:
    return {
      path.format(layer=layer, even=2 * layer, odd=2 * layer + 1): (
        f"{prefix}.{layer}.{torch_name}"
      )
      for layer in range(network.depth)
      for path, torch_name in table.items()
    }

  kernel = {"ShiftedPatches_0/Dense_0": (network.patch, network.patch)}
  prefix = "transformer.layers"
  return Names(
    (
      NamingScheme("timm", timm | layers("blocks", _VIT_TIMM), as_conv=kernel),
      NamingScheme("vit-pytorch", pytorch | layers(prefix, _VIT_PYTORCH)),
      NamingScheme(
        "vit-pytorch, PreNorm", pytorch | layers(prefix, _VIT_PRENORM)
      ),
    ),
    note="vit4 and vit8 are for small data sets, with normalised shifted "
    "patches, a learned temperature and no biases of queries, keys and values; "
    "ViT-B/16 is torchvision_vit_b_16 and timm_vit_base_patch16_224.",
  )


# ViT-B/16

_ENCODER_TORCHVISION = {
  "LayerNorm_0": "ln_1",
  "Dense_0/kernel": "self_attention.in_proj_weight",
  "Dense_0/bias": "self_attention.in_proj_bias",
  "Dense_1": "self_attention.out_proj",
  "LayerNorm_1": "ln_2",
  "Dense_2": "mlp.0",
  "Dense_3": "mlp.3",
}
_ENCODER_OLD = _ENCODER_TORCHVISION | {
  "Dense_2": "mlp.linear_1",
  "Dense_3": "mlp.linear_2",
}
_ENCODER_TIMM = {
  "LayerNorm_0": "norm1",
  "Dense_0": "attn.qkv",
  "Dense_1": "attn.proj",
  "LayerNorm_1": "norm2",
  "Dense_2": "mlp.fc1",
  "Dense_3": "mlp.fc2",
}


def torchvision_vit(network: TorchvisionViT) -> Names:
  """Returns the names of torchvision, also before 0.14, and of timm."""
  torchvision = {
    "Dense_0": "conv_proj",
    "class_token": "class_token",
    "position": "encoder.pos_embedding",
    "LayerNorm_0": "encoder.ln",
    "Dense_1": "heads.head",
  }
  timm = {
    "Dense_0": "patch_embed.proj",
    "class_token": "cls_token",
    "position": "pos_embed",
    "LayerNorm_0": "norm",
    "Dense_1": "head",
  }

  def layers(pattern: str, table: Layers) -> Layers:
    names = map(pattern.format, range(network.depth))
    return nest_blocks("EncoderBlock", names, table)

  numbered = "encoder.layers.encoder_layer_{}"
  kernel = {"Dense_0": (network.patch, network.patch)}
  return Names(
    (
      NamingScheme(
        "torchvision",
        torchvision | layers(numbered, _ENCODER_TORCHVISION),
        as_conv=kernel,
      ),
      NamingScheme(
        "torchvision before 0.14",
        torchvision | layers(numbered, _ENCODER_OLD),
        as_conv=kernel,
      ),
      NamingScheme(
        "timm", timm | layers("blocks.{}", _ENCODER_TIMM), as_conv=kernel
      ),
    ),
    note="The positions are those of one size of images.",
  )
