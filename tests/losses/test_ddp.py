"""Two processes on one machine (gloo), one of which never sees a batch of ours: parameters of a loss still agree.

Run as a script, this file is one of the processes.
"""

import sys

import pytest
import torch
from torch import distributed

CLASSES, BATCH, ITERATIONS = 5, 4, 3


def one_rank(rank, folder):
    """Train a wrapped micro model; save the gradients of every step and where the parameters end."""
    from mmengine.dataset import pseudo_collate
    from mmengine.model import MMDistributedDataParallel
    from mmengine.optim import OptimWrapper
    from mmengine.runner import Runner
    from mmpretrain.models import Mixup
    from mmpretrain.registry import MODELS
    from mmpretrain.structures import DataSample
    from torch.utils.data import DataLoader

    from mixpro_mm.augments import MixPro
    from mixpro_mm.labeling.hook import LabelingHook

    class Bound(MixPro):
        def bind(self, model, ema=None):
            seen['bound'].append(type(model).__name__)

        def unbind(self):
            seen['bound'].append(None)

    distributed.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    torch.manual_seed(0)
    seen = dict(bound=[], gradients=[])
    loss = dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=CLASSES, mode='original')
    loss = dict(type='mixpro_mm.LearnableFactor', loss=loss, init=0.3)
    loss = dict(type='mixpro_mm.LocalContextLoss', loss=loss, in_channels=32, num_classes=CLASSES, grid=2)
    arch = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
    ours = Bound(alpha=20.0, partner='flip', patch_size=8, mask_scale=1)
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='VisionTransformer', arch=arch, img_size=32, patch_size=8),
            head=dict(type='VisionTransformerClsHead', num_classes=CLASSES, in_channels=32, loss=loss),
            data_preprocessor=dict(num_classes=CLASSES),
            train_cfg=dict(augments=[ours, Mixup(alpha=0.8)], probs=[1.0 - rank, float(rank)]),
        )
    )
    model.init_weights()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if 'raw_factor' not in name:
                parameter.add_(torch.randn_like(parameter), alpha=0.2)

    class KeepGradients(OptimWrapper):
        def step(self, **kwargs):
            seen['gradients'].append({name: p.grad.clone() for name, p in model.named_parameters()})
            super().step(**kwargs)

    wrapped = MMDistributedDataParallel(model)  # find_unused_parameters is off: an unused one would stop step two
    images = torch.rand(ITERATIONS * BATCH, 3, 32, 32, generator=torch.Generator().manual_seed(rank))
    labels = [DataSample().set_gt_label(i % CLASSES) for i in range(len(images))]
    samples = [dict(inputs=image, data_samples=label) for image, label in zip(images, labels, strict=True)]
    alone = []  # what this rank's own batch asks of the factor, before the ranks are averaged
    model.head.loss_module.loss.raw_factor.register_hook(lambda gradient: alone.append(gradient.clone()))
    runner = Runner(
        model=wrapped,
        work_dir=f'{folder}/work',
        train_dataloader=DataLoader(samples, BATCH, collate_fn=pseudo_collate),
        optim_wrapper=KeepGradients(torch.optim.AdamW(model.parameters(), lr=0.05)),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        custom_hooks=[LabelingHook(dict(type='ProgressiveAttentionLabeling', factor='learnable'))],
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1), checkpoint=None),
        randomness=dict(seed=3, diff_rank_seed=True),
        default_scope='mmpretrain',
        experiment_name='ddp',
    )
    runner.train()
    seen['alone'] = alone
    seen['parameters'] = {name: p.detach() for name, p in model.named_parameters()}
    torch.save(seen, f'{folder}/rank{rank}.pth')
    distributed.destroy_process_group()


@pytest.mark.slow
def test_a_rank_without_mixed_batches_holds_nobody_up(two_ranks):
    mixed, other = two_ranks(__file__)
    factor, classifier = 'head.loss_module.loss.raw_factor', 'head.loss_module.classifier.weight'

    assert len(mixed['gradients']) == len(other['gradients']) == ITERATIONS
    for step, (a, b) in enumerate(zip(mixed['gradients'], other['gradients'], strict=True)):
        assert all(torch.equal(a[name], b[name]) for name in a)
        assert other['alone'][step].item() == 0
        assert mixed['alone'][step].abs().item() > 1e-7
        torch.testing.assert_close(a[factor], mixed['alone'][step] / 2)
        assert a[classifier].abs().max() > 1e-5
    assert all(torch.equal(value, other['parameters'][name]) for name, value in mixed['parameters'].items())
    assert (mixed['parameters'][factor] - torch.logit(torch.tensor([0.3]))).abs().item() > 1e-2
    assert mixed['bound'] == other['bound'] == ['ImageClassifier', None]  # and not what is wrapped around it


if __name__ == '__main__':
    one_rank(int(sys.argv[1]), sys.argv[2])
