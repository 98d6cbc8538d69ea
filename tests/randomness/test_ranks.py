"""Two processes (gloo): ranks draw different masks, and a run is reproducible.

Run as a script, this file is one of the processes.
"""

import sys
from pathlib import Path

import torch
from mmengine.model import MMDistributedDataParallel
from mmpretrain.registry import MODELS
from torch import distributed

from mixpro_mm.augments import MixPro
from tests.micro import CLASSES
from tests.randomness import kit

SETTINGS = {  # run -> randomness, with the hook, run to resume
    'plain': (dict(seed=3), True, None),
    'resumed': (dict(seed=3), True, 'plain'),
    'diff': (dict(seed=3, diff_rank_seed=True), True, None),
    'diff resumed': (dict(seed=3, diff_rank_seed=True), True, 'diff'),
    'without': (dict(seed=3), False, None),
}


def one_rank(rank, folder):
    """Train micro models; save the masks of each iteration and the final weights."""
    masks, draw = [], MixPro.draw_mask

    def draw_and_keep(augment, images, index):
        masks.append((index, draw(augment, images, index)))
        return masks[-1][1]

    MixPro.draw_mask = draw_and_keep
    torch.set_num_threads(1)
    distributed.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    seen = {}
    for name, (randomness, hooked, start) in SETTINGS.items():
        masks.clear()
        torch.manual_seed(0)
        train_cfg, preprocessor = dict(augments=[kit.MIXPRO]), dict(num_classes=CLASSES)
        model = MODELS.build(kit.VIT | dict(train_cfg=train_cfg, data_preprocessor=preprocessor))
        resume = {} if start is None else dict(resume=True, load_from=str(kit.half(folder / start)))
        runner = kit.runner(
            folder / name,
            [kit.LABELS, *[kit.HOOK] * hooked],
            model=MMDistributedDataParallel(model),
            randomness=randomness,
            data=kit.loader(dataset=kit.Noisy(2 * kit.BATCH * kit.BATCHES)),
            **resume,
        )
        if start is not None:
            kit.disturb(rank)
        runner.train()
        seen[name] = dict(masks=[*masks], weights={key: value.clone() for key, value in model.state_dict().items()})
        distributed.barrier()
    torch.save(seen, folder / f'rank{rank}.pth')
    distributed.destroy_process_group()


def equal(one, other):
    """Return for each iteration whether partners and masks are equal."""
    pairs = zip(one, other, strict=True)
    return [torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in pairs]


def test_ranks_draw_different_masks_and_runs_repeat_bit_by_bit(two_ranks):
    first, second = two_ranks(__file__)
    for name in ('plain', 'diff'):
        assert equal(first[name]['masks'], second[name]['masks']) == [False] * 6
    assert equal(first['without']['masks'], second['without']['masks']) == [True] * 6

    for rank in (first, second):
        assert equal(rank['plain']['masks'], rank['diff']['masks']) == [True] * 6  # the key has the rank
        for whole, rest in (('plain', 'resumed'), ('diff', 'diff resumed')):
            assert equal(rank[whole]['masks'][3:], rank[rest]['masks']) == [True] * 3
        for one, other in (('plain', 'resumed'), ('diff', 'diff resumed')):
            assert kit.differences(rank[one]['weights'], rank[other]['weights']) == []
    assert kit.differences(first['plain']['weights'], second['plain']['weights']) == []


if __name__ == '__main__':
    one_rank(int(sys.argv[1]), Path(sys.argv[2]))
