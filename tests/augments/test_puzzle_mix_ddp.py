"""Two processes on one machine (gloo): the look at the input gradients does not get in the way of the reduced ones.

Run as a script, this file is one of the processes.
"""

import sys
from copy import deepcopy

import pytest
import torch
from torch import distributed

CLASSES, BATCH, ITERATIONS = 5, 4, 4


def one_rank(rank, folder):
    """Train a wrapped micro model; save masks, labels, gradients of every step and what one rank alone would get."""
    from mmengine.dataset import pseudo_collate
    from mmengine.model import MMDistributedDataParallel
    from mmengine.optim import OptimWrapper
    from mmengine.runner import Runner
    from mmpretrain.registry import MODELS
    from mmpretrain.structures import DataSample
    from torch.utils.data import DataLoader

    from mixpro_mm.augments.puzzle_mix import PuzzleMix
    from mixpro_mm.labeling.hook import LabelingHook

    distributed.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    torch.manual_seed(0)
    seen = dict(inputs=[], targets=[], areas=[], gradients=[], held=[])

    class Watched(PuzzleMix):
        def mix(self, images, scores, index):
            grads = [parameter.grad for parameter in model.parameters()]
            copies = [None if grad is None else grad.clone() for grad in grads]
            mixed, target = super().mix(images, scores, index)
            assert all(parameter.grad is grad for parameter, grad in zip(model.parameters(), grads, strict=True))
            assert all(map(torch.equal, filter(torch.is_tensor, grads), filter(torch.is_tensor, copies)))
            seen['held'].append(sum(map(torch.is_tensor, grads)))
            seen['areas'].append(target.lam_area)
            return mixed, target

    arch = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
    augment = Watched(partner='flip', ratio='sample', blocks=(4, 8), eta=0.05, beta=0.1, t_eps=0.05)
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='VisionTransformer', arch=arch, img_size=32, patch_size=8),
            head=dict(type='VisionTransformerClsHead', num_classes=CLASSES, in_channels=32),
            data_preprocessor=dict(num_classes=CLASSES),
            train_cfg=dict(augments=augment),
        )
    )
    model.init_weights()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    twin = deepcopy(model)

    class KeepGradients(OptimWrapper):
        def zero_grad(self, **kwargs):
            """Not now: the gradients of a step still lie in the parameters when the next batch is mixed."""

        def backward(self, loss, **kwargs):
            super().zero_grad()
            super().backward(loss, **kwargs)

        def step(self, **kwargs):
            seen['gradients'].append([p.grad.clone() for p in model.parameters()])
            super().step(**kwargs)

    def on_model(module, args, kwargs):
        if kwargs.get('mode') == 'loss':
            seen['inputs'].append(kwargs['inputs'].clone())

    def on_loss(module, args, output):
        seen['targets'].append(args[1].clone())

    model.register_forward_pre_hook(on_model, with_kwargs=True)
    model.head.loss_module.register_forward_hook(on_loss)
    wrapped = MMDistributedDataParallel(model)  # find_unused_parameters is off: an unused one would stop step two
    images = torch.rand(ITERATIONS * BATCH, 3, 32, 32, generator=torch.Generator().manual_seed(rank))
    labels = [DataSample().set_gt_label(i % CLASSES) for i in range(len(images))]
    samples = [dict(inputs=image, data_samples=label) for image, label in zip(images, labels, strict=True)]
    runner = Runner(
        model=wrapped,
        work_dir=f'{folder}/work',
        train_dataloader=DataLoader(samples, BATCH, collate_fn=pseudo_collate),
        optim_wrapper=KeepGradients(torch.optim.SGD(model.parameters(), lr=0.05)),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        custom_hooks=[LabelingHook('AttentionLabeling')],
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1), checkpoint=None),
        randomness=dict(seed=3, diff_rank_seed=True),
        default_scope='mmpretrain',
        experiment_name='puzzle_ddp',
    )
    runner.train()
    seen['let go'] = augment._bound is None
    # what this rank alone would have computed from its first mixed batch, the target a constant
    value = twin.head.loss_module(twin(seen['inputs'][0], mode='tensor'), seen['targets'][0])
    seen['alone'] = torch.autograd.grad(value, list(twin.parameters()))
    seen['parameters'] = [p.detach() for p in model.parameters()]
    torch.save(seen, f'{folder}/rank{rank}.pth')
    distributed.destroy_process_group()


@pytest.mark.long
def test_ranks_agree_and_no_gradient_is_touched(two_ranks):
    first, second = two_ranks(__file__)

    count = len(first['parameters'])
    for seen in (first, second):
        assert seen['held'] == [0] + [count] * (ITERATIONS - 1)  # gradients there were, and none where none had been
        assert len(seen['targets']) == len(seen['gradients']) == ITERATIONS
        for step, target in enumerate(seen['targets']):
            own = (step * BATCH + torch.arange(BATCH)) % CLASSES
            pairs = torch.eye(CLASSES)[own] + torch.eye(CLASSES)[own].flip(0)
            torch.testing.assert_close(target.sum(1), torch.ones(BATCH))
            assert not target[pairs == 0].any()
        assert torch.stack(seen['areas']).unique().numel() > 2
        assert seen['let go']
    assert not torch.equal(torch.stack(first['areas']), torch.stack(second['areas']))  # other images, other masks
    both = ([*seen['gradients'], seen['parameters']] for seen in (first, second))
    for a, b in zip(*both, strict=True):
        assert all(map(torch.equal, a, b))
    for reduced, a, b in zip(first['gradients'][0], first['alone'], second['alone'], strict=True):
        torch.testing.assert_close(reduced, (a + b) / 2, rtol=1e-4, atol=1e-6)


if __name__ == '__main__':
    one_rank(int(sys.argv[1]), sys.argv[2])
