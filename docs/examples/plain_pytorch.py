"""MixPro in plain PyTorch, with a timm model on a folder of images, DATA/CLASS/IMAGE. It needs no OpenMMLab package.

python docs/examples/plain_pytorch.py DATA [--model deit_small_patch16_224] [--epochs 300]
"""

import argparse

import timm
import torch
from torch.nn.functional import cross_entropy, one_hot
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from mixpro_mm.augments import MixPro
from mixpro_mm.labeling import ClassAttentionTap, ProgressiveAttentionLabeling

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('data')
parser.add_argument('--model', default='deit_small_patch16_224')
parser.add_argument('--img-size', type=int, default=224)
parser.add_argument('--mask-scale', type=int, default=4, help='patches per side of a mask cell')
parser.add_argument('--epochs', type=int, default=300)
parser.add_argument('--batch-size', type=int, default=128)
args = parser.parse_args()

normalize = v2.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
convert = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), normalize]
dataset = ImageFolder(args.data, v2.Compose([v2.RandomResizedCrop(args.img_size), v2.RandomHorizontalFlip(), *convert]))
loader = DataLoader(dataset, args.batch_size, shuffle=True, num_workers=4, drop_last=True)

device = 'cuda' if torch.cuda.is_available() else 'cpu'
classes = len(dataset.classes)
model = timm.create_model(args.model, num_classes=classes, img_size=args.img_size, drop_path_rate=0.1).to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3 * args.batch_size / 1024, weight_decay=0.05)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)

mix = MixPro(patch_size=model.patch_embed.patch_size[0], mask_scale=args.mask_scale)
labeling = ProgressiveAttentionLabeling()
tap = ClassAttentionTap(model).attach()  # reads the class attention of the last block in each forward pass

for epoch in range(args.epochs):
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        mixed, _ = mix(images, one_hot(labels, classes))  # eq. 6 and 7; the other result has labels by area
        logits = model(mixed)
        target, attention = mix.pop_target(), tap.read()
        grid = tap.block.grid(attention.shape[1], tuple(mixed.shape[2:]))
        weights = labeling(target, attention, grid, logits)  # eq. 4, 5, 8 and 9
        loss = cross_entropy(logits, target.blend(weights.lam), label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    schedule.step()
    print(f'epoch {epoch + 1}: loss {loss.item():.4f}, factor {weights.factor.mean().item():.3f}')
torch.save(model.state_dict(), 'mixpro.pth')
