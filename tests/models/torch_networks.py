"""PyTorch networks of every family of the zoo, written for these tests."""

import collections
import itertools

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn


def randomise(network):
  """Statistics and scales that no network starts with."""
  for layer in network.modules():
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
      nn.init.normal_(layer.running_mean, std=0.3)
      nn.init.uniform_(layer.running_var, 0.5, 2.0)
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
      nn.init.uniform_(layer.weight, 0.5, 1.5)
      nn.init.normal_(layer.bias, std=0.3)
  return network.eval()


def named(*layers):
  """`nn.Sequential` of layers and (name, layer) pairs."""
  counter = itertools.count()
  return nn.Sequential(
    collections.OrderedDict(
      layer if isinstance(layer, tuple) else (f"_{next(counter)}", layer)
      for layer in layers
    )
  )


# Plain networks


def lenet5(channels, classes):
  return nn.Sequential(
    nn.Conv2d(channels, 6, 5),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(6, 16, 5),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(16, 120, 5),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(120, 84),
    nn.ReLU(),
    nn.Linear(84, classes),
  )


def lenet5_linear(channels, classes):
  return named(
    ("conv1", nn.Conv2d(channels, 6, 5)),
    nn.ReLU(),
    nn.MaxPool2d(2),
    ("conv2", nn.Conv2d(6, 16, 5)),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    ("fc1", nn.Linear(400, 120)),
    nn.ReLU(),
    ("fc2", nn.Linear(120, 84)),
    nn.ReLU(),
    ("fc3", nn.Linear(84, classes)),
  )


def zsdb3kd_lenet5(channels, classes):
  return named(
    ("conv1", nn.Conv2d(channels, 20, 5)),
    nn.ReLU(),
    nn.MaxPool2d(2),
    ("conv2", nn.Conv2d(20, 50, 5)),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    ("fc1", nn.Linear(800, 200)),
    nn.ReLU(),
    ("fc2", nn.Linear(200, classes)),
  )


def cake_cnn(channels, classes):
  return nn.Sequential(
    nn.Conv2d(channels, 32, 3),
    nn.ReLU(),
    nn.Conv2d(32, 64, 4),
    nn.MaxPool2d(2),
    nn.ReLU(),
    nn.Conv2d(64, 64, 3),
    nn.MaxPool2d(2),
    nn.ReLU(),
    nn.Conv2d(64, 64, 3),
    nn.MaxPool2d(2),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(64, classes),
  )


def cnn(channels, classes):
  layers = []
  for number, width in enumerate((32, 64, 128), 1):
    conv = nn.Conv2d(channels, width, 3, padding=1)
    norm = nn.BatchNorm2d(width)
    layers += [(f"conv{number}", conv), (f"bn{number}", norm)]
    layers += [nn.MaxPool2d(2), nn.ReLU()]
    channels = width
  return named(
    *layers,
    nn.Flatten(),
    ("fc1", nn.Linear(16 * 128, 128)),
    ("fcbn1", nn.BatchNorm1d(128)),
    nn.ReLU(),
    ("fc2", nn.Linear(128, classes)),
  )


def alexnet_quarter(channels, classes):
  layers = []
  for number, (width, stride, pooled) in enumerate(
    ((16, 2, True), (48, 1, True), (96, 1, False), (64, 1, False))
    + ((64, 1, True),),
    1,
  ):
    conv = nn.Conv2d(channels, width, 3, stride, 1)
    layers += [(f"conv{number}", conv), (f"bn{number}", nn.BatchNorm2d(width))]
    layers += [nn.ReLU()] + [nn.MaxPool2d(2)] * pooled
    channels = width
  return named(
    *layers,
    nn.Flatten(),
    ("fc1", nn.Linear(256, 1024)),
    nn.ReLU(),
    nn.Dropout(),
    ("bn6", nn.BatchNorm1d(1024)),
    ("fc2", nn.Linear(1024, 1024)),
    nn.ReLU(),
    nn.Dropout(),
    ("bn7", nn.BatchNorm1d(1024)),
    ("fc3", nn.Linear(1024, classes)),
  )


def dast_medium(channels, classes):
  return named(
    ("conv1", nn.Conv2d(channels, 20, 5)),
    nn.MaxPool2d(2),
    nn.ReLU(),
    ("conv2", nn.Conv2d(20, 50, 5)),
    nn.MaxPool2d(2),
    nn.ReLU(),
    ("conv3", nn.Conv2d(50, 50, 3, padding=1)),
    nn.MaxPool2d(2),
    nn.ReLU(),
    nn.Flatten(),
    ("fc1", nn.Linear(200, 500)),
    nn.ReLU(),
    ("fc2", nn.Linear(500, classes)),
  )


def ideal_alexnet(channels, classes):
  return nn.Sequential(
    nn.Conv2d(channels, 32, 3, padding=1),
    nn.MaxPool2d(2),
    nn.ReLU(),
    nn.Conv2d(32, 64, 3, padding=1),
    nn.MaxPool2d(2),
    nn.ReLU(),
    nn.Conv2d(64, 128, 3, padding=1),
    nn.Conv2d(128, 256, 3, padding=1),
    nn.Conv2d(256, 256, 3, padding=1),
    nn.MaxPool2d(3, 2),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(2304, 512),
    nn.Linear(512, classes),
  )


def ideal_cnn(channels, classes):
  return named(
    ("conv1", nn.Conv2d(channels, 256, 3)),
    nn.MaxPool2d(2),
    nn.ReLU(),
    ("conv2", nn.Conv2d(256, 256, 3)),
    nn.MaxPool2d(2),
    nn.ReLU(),
    ("conv3", nn.Conv2d(256, 128, 3)),
    nn.ReLU(),
    nn.Flatten(),
    ("fc", nn.Linear(2048, classes)),
  )


def ideal_lenet(channels, classes):
  def layer(channels, width):
    return nn.Sequential(
      nn.Conv2d(channels, width, 5, padding=2),
      nn.BatchNorm2d(width),
      nn.ReLU(),
      nn.MaxPool2d(2),
    )

  return named(
    ("layer1", layer(channels, 16)),
    ("layer2", layer(16, 32)),
    nn.Flatten(),
    ("fc", nn.Linear(1568, classes)),
  )


def mlp(channels, classes):
  return nn.Sequential(
    nn.Flatten(),
    nn.Linear(channels * 64, 20),
    nn.ReLU(),
    nn.Linear(20, 20),
    nn.ReLU(),
    nn.Linear(20, 20),
    nn.ReLU(),
    nn.Linear(20, classes),
  )


# Networks of blocks


class Pooled(nn.Module):
  """The mean of rows and columns."""

  def forward(self, x):
    return x.mean((2, 3))


class Block(nn.Module):
  """A residual block of two or three convolutions."""

  def __init__(self, channels, width, stride, bottleneck):
    super().__init__()
    out = 4 * width if bottleneck else width
    sizes = [(width, 1, 1), (width, 3, stride), (out, 1, 1)]
    sizes = sizes if bottleneck else [(width, 3, stride), (out, 3, 1)]
    inner = channels
    for number, (features, size, step) in enumerate(sizes, 1):
      conv = nn.Conv2d(inner, features, size, step, size // 2, bias=False)
      self.add_module(f"conv{number}", conv)
      self.add_module(f"bn{number}", nn.BatchNorm2d(features))
      inner = features
    self.count = len(sizes)
    self.downsample = nn.Sequential()
    if stride != 1 or channels != out:
      self.downsample = nn.Sequential(
        nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
      )

  def forward(self, x):
    y = x
    for number in range(1, self.count + 1):
      conv, norm = (self.get_submodule(f"{k}{number}") for k in ("conv", "bn"))
      y = norm(conv(y))
      y = torch.relu(y) if number < self.count else y
    return torch.relu(y + self.downsample(x))


def resnet(depths, bottleneck, first, channels, classes):
  stages = []
  inner = first
  for stage, depth in enumerate(depths):
    blocks = []
    for index in range(depth):
      width, stride = first * 2**stage, 2 if stage and not index else 1
      blocks.append(Block(inner, width, stride, bottleneck))
      inner = 4 * width if bottleneck else width
    stages.append((f"layer{stage + 1}", nn.Sequential(*blocks)))
  return named(
    ("conv1", nn.Conv2d(channels, first, 3, padding=1, bias=False)),
    ("bn1", nn.BatchNorm2d(first)),
    nn.ReLU(),
    *stages,
    Pooled(),
    ("fc", nn.Linear(inner, classes)),
  )


def vgg(depths, channels, classes):
  layers = []
  for block, (width, depth) in enumerate(
    zip((64, 128, 256, 512, 512), depths, strict=True)
  ):
    for _ in range(depth):
      conv = nn.Conv2d(channels, width, 3, padding=1)
      layers += [conv, nn.BatchNorm2d(width), nn.ReLU()]
      channels = width
    layers += [nn.MaxPool2d(2)] * (block < 3)
  return named(
    ("features", nn.Sequential(*layers)),
    Pooled(),
    ("classifier", nn.Linear(512, classes)),
  )


def pointwise(channels, width, activation=None):
  layers = [nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width)]
  return layers + ([activation()] if activation else [])


def depthwise(width, stride):
  conv = nn.Conv2d(width, width, 3, stride, 1, groups=width)
  return [conv, nn.BatchNorm2d(width)]


class InvertedResidual(nn.Module):
  """MobileNetV2's block."""

  def __init__(self, channels, width, expansion, stride):
    super().__init__()
    inner = channels * expansion
    self.residual = nn.Sequential(
      *pointwise(channels, inner, nn.ReLU6),
      *depthwise(inner, stride),
      nn.ReLU6(),
      *pointwise(inner, width),
    )
    self.added = stride == 1 and channels == width

  def forward(self, x):
    return self.residual(x) + (x if self.added else 0)


def mobilenet_quarter(channels, classes):
  stages, inner = [], 8
  table = ((1, 4, 1, 1), (6, 6, 2, 2), (6, 8, 3, 2), (6, 16, 4, 2))
  table += ((6, 24, 3, 1), (6, 40, 3, 1), (6, 80, 1, 1))
  for number, (expansion, width, count, stride) in enumerate(table, 1):
    blocks = []
    for index in range(count):
      step = 1 if index else stride
      blocks.append(InvertedResidual(inner, width, expansion, step))
      inner = width
    stage = nn.Sequential(*blocks) if count > 1 else blocks[0]
    stages.append((f"stage{number}", stage))
  stem = nn.Conv2d(channels, 8, 1, padding=1)
  return named(
    ("pre", nn.Sequential(stem, nn.BatchNorm2d(8), nn.ReLU6())),
    *stages,
    ("conv1", nn.Sequential(*pointwise(80, 320, nn.ReLU6))),
    nn.AdaptiveAvgPool2d(1),
    ("conv2", nn.Conv2d(320, classes, 1)),
    nn.Flatten(),
  )


class ShuffleUnit(nn.Module):
  """ShuffleNetV2's block."""

  def __init__(self, channels, width, stride):
    super().__init__()
    self.stride = stride
    half = width // 2
    inner = channels if stride == 2 else channels // 2
    self.branch1 = nn.Sequential()
    if stride == 2:
      self.branch1 = nn.Sequential(
        *depthwise(channels, 2), *pointwise(channels, half, nn.ReLU)
      )
    self.branch2 = nn.Sequential(
      *pointwise(inner, inner, nn.ReLU),
      *depthwise(inner, stride),
      *pointwise(inner, half, nn.ReLU),
    )

  def forward(self, x):
    first, second = (x, x) if self.stride == 2 else x.chunk(2, 1)
    both = torch.cat((self.branch1(first), self.branch2(second)), 1)
    batch, channels, *sides = both.shape
    both = both.view(batch, 2, channels // 2, *sides)
    return both.transpose(1, 2).reshape(batch, channels, *sides)


def shufflenet_quarter(channels, classes):
  stages, inner = [], 6
  for number, (width, count) in enumerate(((28, 4), (58, 8), (116, 4)), 2):
    units = []
    for index in range(count):
      units.append(ShuffleUnit(inner, width, 1 if index else 2))
      inner = width
    stages.append((f"stage{number}", nn.Sequential(*units)))
  stem = nn.Conv2d(channels, 6, 3, padding=1)
  return named(
    ("conv1", nn.Sequential(stem, nn.BatchNorm2d(6))),
    *stages,
    ("conv5", nn.Sequential(*pointwise(116, 256, nn.ReLU))),
    Pooled(),
    ("fc", nn.Linear(256, classes)),
  )


class WideBlock(nn.Module):
  """A residual block with normalisation before the convolutions."""

  def __init__(self, channels, width, stride):
    super().__init__()
    self.bn1 = nn.BatchNorm2d(channels)
    self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
    self.bn2 = nn.BatchNorm2d(width)
    self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
    self.convShortcut = None
    if channels != width:
      self.convShortcut = nn.Conv2d(channels, width, 1, stride, bias=False)

  def forward(self, x):
    y = torch.relu(self.bn1(x))
    x = x if self.convShortcut is None else self.convShortcut(y)
    y = torch.relu(self.bn2(self.conv1(y)))
    return x + self.conv2(y)


def wide_resnet(depth, widening, channels, classes):
  stages, inner = [], 16
  for stage in range(3):
    blocks = []
    for index in range((depth - 4) // 6):
      width = 16 * 2**stage * widening
      blocks.append(WideBlock(inner, width, 2 if stage and not index else 1))
      inner = width
    block = named(("layer", nn.Sequential(*blocks)))
    stages.append((f"block{stage + 1}", block))
  return named(
    ("conv1", nn.Conv2d(channels, 16, 3, padding=1, bias=False)),
    *stages,
    ("bn1", nn.BatchNorm2d(inner)),
    nn.ReLU(),
    Pooled(),
    ("fc", nn.Linear(inner, classes)),
  )


# The vision transformer


class Attention(nn.Module):
  """Eight heads of 64; no token sees itself."""

  def __init__(self):
    super().__init__()
    self.qkv = nn.Linear(64, 3 * 512, bias=False)
    self.proj = nn.Linear(512, 64)
    self.temperature = nn.Parameter(torch.tensor(-2.0))

  def forward(self, x):
    batch, tokens, _ = x.shape
    qkv = self.qkv(x).reshape(batch, tokens, 3, 8, 64).permute(2, 0, 3, 1, 4)
    query, key, value = qkv
    scores = query @ key.transpose(2, 3) * self.temperature.exp()
    itself = torch.eye(tokens, dtype=torch.bool)
    weights = scores.masked_fill(itself, -torch.inf).softmax(-1)
    return self.proj(
      (weights @ value).transpose(1, 2).reshape(x.shape[:2] + (512,))
    )


class Layer(nn.Module):
  """Pre-norm attention and perceptron."""

  def __init__(self):
    super().__init__()
    self.norm1, self.norm2 = nn.LayerNorm(64), nn.LayerNorm(64)
    self.attn = Attention()
    fc1, fc2 = nn.Linear(64, 64), nn.Linear(64, 64)
    self.mlp = named(("fc1", fc1), nn.GELU(), ("fc2", fc2))

  def forward(self, x):
    x = x + self.attn(self.norm1(x))
    return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
  """Shifted patches of 4x4, as a convolution of five images, and layers.

  `norm` works on the patches in the order (row, column, channel).
  """

  def __init__(self, depth, channels, classes, side):
    super().__init__()
    wide = 5 * channels
    proj = nn.Conv2d(wide, 64, 4, 4)
    self.patch_embed = nn.ModuleDict(
      {"norm": nn.LayerNorm(16 * wide), "proj": proj}
    )
    self.cls_token = nn.Parameter(torch.randn(1, 1, 64))
    self.pos_embed = nn.Parameter(torch.randn(1, (side // 4) ** 2 + 1, 64))
    self.blocks = nn.ModuleList([Layer() for _ in range(depth)])
    self.norm = nn.LayerNorm(64)
    self.head = nn.Linear(64, classes)

  def forward(self, x):
    moved = [
      nn.functional.pad(x, shift)
      for shift in ((0, 0), (1, -1), (-1, 1), (0, 0, 1, -1), (0, 0, -1, 1))
    ]
    x = torch.cat(moved, 1)
    batch, wide, height, width = x.shape
    x = x.view(batch, wide, height // 4, 4, width // 4, 4)
    x = x.permute(0, 2, 4, 3, 5, 1).reshape(batch, -1, 16 * wide)
    x = self.patch_embed["norm"](x).view(batch, -1, 4, 4, wide)
    x = x.permute(0, 1, 4, 2, 3).reshape(-1, wide, 4, 4)
    x = self.patch_embed["proj"](x).view(batch, -1, 64)
    x = torch.cat((self.cls_token.expand(batch, -1, -1), x), 1) + self.pos_embed
    for block in self.blocks:
      x = block(x)
    return self.head(self.norm(x[:, 0]))
