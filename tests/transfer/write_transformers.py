"""Write transformers.json: tensors and logits of small models of transformers, from weights that depend on their names.

Run it where transformers is installed (mmpretrain cannot be imported beside transformers 5):
``python tests/transfer/write_transformers.py tests/transfer/transformers.json``
"""

import json
import sys
import tempfile
from pathlib import Path
from zlib import crc32

import torch

VIT = dict(
    hidden_size=64, num_hidden_layers=2, num_attention_heads=1, intermediate_size=128, image_size=32, patch_size=8
)
SWIN = dict(image_size=96, embed_dim=16, depths=[1, 2, 1, 2], num_heads=[1, 2, 4, 8], window_size=3)
PVT = dict(hidden_sizes=[8, 16, 24, 32], depths=[1, 2, 1, 2], num_attention_heads=[1, 2, 3, 4], mlp_ratios=[4, 3, 2, 2])
MODELS = dict(vit=('ViT', VIT), swin=('Swin', SWIN), pvt=('Pvt', dict(PVT, image_size=64)))


def draw(name: str, shape: list[int]) -> torch.Tensor:
    """Return values that depend on the name only: matrices keep the variance, norms scale by about 1."""
    generator = torch.Generator().manual_seed(crc32(name.encode()))
    values = torch.randn(shape, generator=generator)
    if len(shape) > 1 and 'weight' in name:
        return 1.5 * values / values[0].numel() ** 0.5
    return 0.3 * values + ('norm' in name and name.endswith('weight'))


def images(side: int) -> torch.Tensor:
    """Return two images (2, 3, side, side)."""
    return draw('images', [2, 3, side, side]) * 5


def main(path: str) -> None:
    """Write the file."""
    import transformers
    from safetensors import safe_open

    found = {}
    for name, (start, settings) in MODELS.items():
        kind = getattr(transformers, f'{start}ForImageClassification')
        config = getattr(transformers, f'{start}Config')(num_labels=5, **settings)
        with tempfile.TemporaryDirectory() as folder:
            kind(config).save_pretrained(folder)  # with the names of files
            with safe_open(f'{folder}/model.safetensors', 'pt') as file:
                shapes = {key: list(file.get_slice(key).get_shape()) for key in sorted(file.keys())}
        tensors = {key: draw(key, shape) for key, shape in shapes.items()}
        assert len({tuple(tensor.flatten().tolist()) for tensor in tensors.values()}) == len(tensors)
        model, report = kind.from_pretrained(None, config=config, state_dict=tensors, output_loading_info=True)
        assert not report['missing_keys'] and not report['unexpected_keys']
        with torch.no_grad():
            logits = model.eval()(pixel_values=images(settings['image_size'])).logits
        found[name] = dict(image_size=settings['image_size'], logits=logits.tolist(), shapes=shapes)
    lines = ',\n'.join(f'{json.dumps(name)}: {json.dumps(each)}' for name, each in found.items())
    version = json.dumps(transformers.__version__)
    Path(path).write_text(f'{{"transformers": {version}, "models": {{\n{lines}}}}}\n', encoding='utf-8')


if __name__ == '__main__':
    main(sys.argv[1])
