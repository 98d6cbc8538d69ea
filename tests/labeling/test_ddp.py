"""Two processes on one machine (gloo): every rank labels its own batches, and the gradients agree.

Run as a script, this file is one of the processes.
"""

import sys
from copy import deepcopy

import pytest
import torch
from torch import distributed

CLASSES, BATCH, ITERATIONS = 5, 4, 2


def count_hooks(model):
    kinds = [name for name in vars(model) if name.endswith('_hooks')]
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


def one_rank(rank, folder):
    """Train a wrapped micro model; save what the loss was given and the gradients of every step."""
    from mmengine.dataset import pseudo_collate
    from mmengine.model import MMDistributedDataParallel
    from mmengine.optim import OptimWrapper
    from mmengine.runner import Runner
    from mmpretrain.registry import MODELS
    from mmpretrain.structures import DataSample
    from torch.utils.data import DataLoader

    from mixpro_mm.augments import MixPro
    from mixpro_mm.labeling import ProgressiveAttentionLabeling
    from mixpro_mm.labeling.hook import LabelingHook

    distributed.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    torch.manual_seed(0)
    arch = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
    loss = dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=CLASSES, mode='original')
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='VisionTransformer', arch=arch, img_size=32, patch_size=8),
            head=dict(type='VisionTransformerClsHead', num_classes=CLASSES, in_channels=32, loss=loss),
            data_preprocessor=dict(num_classes=CLASSES),
            train_cfg=dict(augments=MixPro(alpha=20.0, partner='flip', patch_size=8, mask_scale=1)),
        )
    )
    model.init_weights()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    twin = deepcopy(model)
    seen = dict(inputs=[], targets=[], by_area=[], weights=[], gradients=[])

    class Keep(ProgressiveAttentionLabeling):
        def __call__(self, target, class_attention, grid, logits):
            weights = super().__call__(target, class_attention, grid, logits)
            seen['by_area'].append(target.blend())
            seen['weights'].append(torch.stack(weights))
            return weights

    class KeepGradients(OptimWrapper):
        def step(self, **kwargs):
            seen['gradients'].append([p.grad.clone() for p in model.parameters()])
            super().step(**kwargs)

    def on_model(module, args, kwargs):
        if kwargs['mode'] == 'loss':  # not the look at the class token before the first step
            seen['inputs'].append(kwargs['inputs'].clone())

    def on_loss(module, args, output):
        seen['targets'].append(args[1].clone())

    model.register_forward_pre_hook(on_model, with_kwargs=True)
    model.head.loss_module.register_forward_hook(on_loss)
    wrapped = MMDistributedDataParallel(model)  # find_unused_parameters is off: an unused one would stop step two
    before = count_hooks(model)
    images = torch.rand(ITERATIONS * BATCH, 3, 32, 32, generator=torch.Generator().manual_seed(rank))
    labels = [DataSample().set_gt_label(i % CLASSES) for i in range(len(images))]
    samples = [dict(inputs=image, data_samples=label) for image, label in zip(images, labels, strict=True)]
    runner = Runner(
        model=wrapped,
        work_dir=f'{folder}/work',
        train_dataloader=DataLoader(samples, BATCH, collate_fn=pseudo_collate),
        optim_wrapper=KeepGradients(torch.optim.SGD(model.parameters(), lr=0.05)),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        custom_hooks=[LabelingHook(Keep())],
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1), checkpoint=None),
        randomness=dict(seed=3, diff_rank_seed=True),
        default_scope='mmpretrain',
        experiment_name='ddp',
    )
    runner.train()
    seen['hooks left'] = count_hooks(model) - before
    # what this rank alone would have computed from its first batch, the target a constant
    value = twin.head.loss_module(twin(seen['inputs'][0], mode='tensor'), seen['targets'][0])
    seen['alone'] = torch.autograd.grad(value, list(twin.parameters()))
    seen['parameters'] = [p.detach() for p in model.parameters()]
    torch.save(seen, f'{folder}/rank{rank}.pth')
    distributed.destroy_process_group()


@pytest.mark.slow
def test_every_rank_labels_its_own_batches_and_gradients_agree(two_ranks):
    first, second = two_ranks(__file__)

    for seen in (first, second):
        assert len(seen['targets']) == len(seen['gradients']) == ITERATIONS
        for step, (target, by_area) in enumerate(zip(seen['targets'], seen['by_area'], strict=True)):
            own = (step * BATCH + torch.arange(BATCH)) % CLASSES
            lam = seen['weights'][step][0][:, None]
            y = torch.eye(CLASSES)[own]
            torch.testing.assert_close(target, lam * y + (1 - lam) * y.flip(0))
            assert (target - by_area).abs().amax(1).min() > 1e-4  # every sample was labelled anew
        assert seen['hooks left'] == 0
    assert not torch.equal(first['weights'][0], second['weights'][0])  # other images, other masks
    both = ([*seen['gradients'], seen['parameters']] for seen in (first, second))
    for a, b in zip(*both, strict=True):
        assert all(map(torch.equal, a, b))
    for reduced, a, b in zip(first['gradients'][0], first['alone'], second['alone'], strict=True):
        torch.testing.assert_close(reduced, (a + b) / 2, rtol=1e-4, atol=1e-6)


if __name__ == '__main__':
    one_rank(int(sys.argv[1]), sys.argv[2])
