"""The evidence study: its plan, and that each method trains and is handed over."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mixpro_mm.datasets.digit_scenes import write_digit_scenes
from mixpro_mm.study.evaluate import evaluation_mark
from mixpro_mm.study.plan import read_plan
from tests.config_rows import CONFIGS, fresh, read

EVIDENCE = CONFIGS / 'digits' / 'evidence'
SIX, FOUR = ('none', 'cutmix', 'transmix', 'tokenmix', 'maskmix', 'mixpro'), ('none', 'cutmix', 'transmix', 'mixpro')
PLAN = read_plan(CONFIGS / 'digits' / 'study_evidence.py')


def path_of(model, method):
    return EVIDENCE / f'{model}_{method}_digits-8.py'


@pytest.mark.parametrize(('model', 'method'), [*(('deit-micro', method) for method in SIX), ('pvt-micro', 'mixpro')])
def test_every_method_trains_on_eight_digits_and_is_tested(model, method, tmp_path):
    config = fresh(path_of(model, method))
    config.work_dir, config.randomness, config.param_scheduler = str(tmp_path), dict(seed=0), []
    config.train_dataloader.batch_size = 4
    for part in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        part.dataset.indices = 12
    config.train_cfg.update(max_epochs=1, val_interval=1)
    runner = Runner.from_cfg(config)
    before = {name: value.clone() for name, value in runner.model.backbone.state_dict().items()}
    runner.train()
    after = runner.model.backbone.state_dict()
    assert all(torch.isfinite(value).all() for value in after.values())
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert runner.train_dataloader.dataset.metainfo['classes'] == tuple('01234567')
    assert 0 <= runner.test()['accuracy/top1'] <= 100


@pytest.mark.parametrize(
    ('name', 'toolkit_root'),
    [('segmenter_deit-micro', 'VOCdevkit/VOC2010'), ('mask-rcnn_pvt-micro', 'coco/')],
)
def test_a_checkpoint_without_a_backbone_stops_a_downstream_run(name, toolkit_root, tmp_path):
    config = fresh(EVIDENCE / f'{name}_digit-scenes.py')
    data = write_digit_scenes(tmp_path / 'scenes', num_train=2, num_val=1) / toolkit_root
    config.train_dataloader.dataset.data_root = str(data)
    torch.save(dict(state_dict={'head.weight': torch.zeros(1)}), tmp_path / 'empty.pth')
    config.model.backbone.init_cfg.checkpoint = str(tmp_path / 'empty.pth')
    config.work_dir = str(tmp_path / 'work')
    for part in ('val', 'test'):
        config.update({f'{part}_{what}': None for what in ('dataloader', 'cfg', 'evaluator')})
    with pytest.raises((RuntimeError, ValueError), match=r'backbone'):
        Runner.from_cfg(config).train()


def test_the_plan_has_the_seeds_and_methods_that_were_asked_for():
    runs = {}
    for stage in PLAN.stages:
        if stage.config:
            runs.setdefault((stage.task, stage.backbone), {}).setdefault(stage.pretraining, []).append(stage.seed)
    assert runs == {
        ('classification', 'DeiT-micro'): {key: [0, 1, 2, 3, 4] for key in SIX},
        ('classification', 'PVT-micro'): {key: [0, 1, 2] for key in FOUR},
        ('segmentation', 'DeiT-micro'): {key: [0, 1, 2] for key in FOUR},
        ('detection', 'PVT-micro'): {key: [0, 1, 2] for key in FOUR},
    }
    for stage in PLAN.stages:
        if stage.task in ('segmentation', 'detection'):  # from the same method, seed and family
            start = PLAN.stage(stage.checkpoint)
            assert (start.pretraining, start.seed, start.backbone) == (stage.pretraining, stage.seed, stage.backbone)
            assert stage.tta == (stage.task == 'segmentation')
        elif stage.config:
            assert Path(stage.config) == path_of(stage.backbone.lower(), stage.pretraining)
            assert stage.needs == (('saliency',) if stage.evaluations else ())
            assert set(stage.evaluations) == ({'occlusion', 'A', 'O'} if stage.backbone == 'DeiT-micro' else set())


def test_further_tests_have_the_model_of_every_row():
    for path in next(stage for stage in PLAN.stages if stage.evaluations).evaluations.values():
        tested = Config.fromfile(path)
        saliency = tested.test_cfg.get('saliency')
        if saliency:  # the model of the same study, of no method's
            config = read(EVIDENCE / f'{Path(saliency.checkpoint).parent.name}.py')
            assert Path(saliency.checkpoint).name == f'epoch_{config.train_cfg.max_epochs}.pth'
            assert saliency.arch == config.model.backbone.arch
            assert not config.model.get('train_cfg') and config.randomness.seed not in range(5)
        for method in SIX:
            row = read(path_of('deit-micro', method))
            assert (tested.model.backbone, tested.data_preprocessor) == (row.model.backbone, row.data_preprocessor)
        assert len(evaluation_mark(path)) == 64
