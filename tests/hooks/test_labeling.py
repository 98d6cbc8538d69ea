"""LabelingHook in mmengine's Runner."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from mmengine.hooks import EMAHook, Hook
from mmpretrain.engine.hooks import SwitchRecipeHook
from mmpretrain.models import GlobalAveragePooling, LabelSmoothLoss, Mixup
from torch.nn.utils import parameters_to_vector

from mixpro_mm.augments import MaskMix, MixAugment, MixPro, RegionMix
from mixpro_mm.hooks.labeling import LabelingHook
from mixpro_mm.labeling import ClassAttentionTap, LabelWeights, ProgressiveAttentionLabeling, find_attention_block
from tests.micro import CLASSES, STOCK, count_hooks, lively, make_runner, mixpro, scalars, train, vit

VIT = vit()['backbone']
RESNET = dict(type='ResNet', depth=18, base_channels=4, stem_channels=4)
SAVER = dict(type='CheckpointHook', interval=1)


class Bound(MixPro):
    """Record the calls of ``bind`` and ``unbind``, and the last call before each batch."""

    def __init__(self, **kwargs):
        super().__init__(alpha=20.0, partner='flip', patch_size=8, mask_scale=1, **kwargs)
        self.shown, self.seen = [], []

    def bind(self, model, ema=None):
        self.shown.append((model, ema))

    def unbind(self):
        self.shown.append(None)

    def draw_mask(self, images, index):
        self.seen.append(self.shown[-1])
        return super().draw_mask(images, index)


class Token(torch.nn.Module):
    """A custom neck that selects from all tokens."""

    def __init__(self, mean):
        super().__init__()
        self.mean = mean

    def forward(self, outputs):
        return tuple(tokens[:, 1:].mean(1) if self.mean else tokens[:, 0] for tokens in outputs)


def classifier(train_cfg, backbone=VIT, head='VisionTransformerClsHead', neck=None):
    """Return a deterministic micro classifier with non-uniform attention and logits."""
    head = dict(type=head, num_classes=CLASSES, in_channels=32, loss=STOCK)
    return lively(dict(type='ImageClassifier', backbone=dict(backbone), neck=neck, head=head), train_cfg)


class Watch(Hook):
    """Record for each iteration the augment, the mixed labels and the labels of the loss."""

    priority = 'VERY_LOW'  # after LabelingHook

    def __init__(self, monkeypatch):
        self.mixed_by, self.returned, self.given, self.losses = [], [], [], []
        for cls in (MixAugment, Mixup):
            monkeypatch.setattr(cls, '__call__', self.named(cls.__call__))
        forward = LabelSmoothLoss.forward

        def on_loss(loss, logits, target, **kwargs):
            self.given.append(target.detach().clone())
            self.losses.append(loss)
            return forward(loss, logits, target, **kwargs)

        monkeypatch.setattr(LabelSmoothLoss, 'forward', on_loss)

    def named(self, call):
        def mix(augment, *args):
            self.mixed_by.append(type(augment).__name__)
            return call(augment, *args)

        return mix

    def before_train(self, runner):
        self.handle = runner.model.register_forward_pre_hook(self.on_model, with_kwargs=True)

    def after_train(self, runner):
        self.handle.remove()

    def on_model(self, module, args, kwargs):
        if kwargs['mode'] == 'loss':
            self.returned.append(torch.stack([sample.gt_score for sample in kwargs['data_samples']]))
            self.mixed_by += ['none'] * (len(self.returned) - len(self.mixed_by))

    @property
    def relabelled(self):
        return [not torch.equal(a, b) for a, b in zip(self.returned, self.given, strict=True)]


def test_batches_mixed_by_other_augments_or_unmixed_pass_through(tmp_path, monkeypatch):
    watch = Watch(monkeypatch)
    model = classifier(dict(augments=[Mixup(alpha=0.8), mixpro()], probs=[0.4, 0.4]))
    train(model, tmp_path, LabelingHook(), watch, batches=20)
    assert set(watch.mixed_by) == {'Mixup', 'MixPro', 'none'}
    assert watch.relabelled == [name == 'MixPro' for name in watch.mixed_by]
    for target in watch.given:
        torch.testing.assert_close(target.sum(1), torch.ones(4))


def test_training_without_the_hook_stops_at_the_second_batch(tmp_path):
    runner = make_runner(classifier(dict(augments=mixpro())), tmp_path, batches=3)
    with pytest.raises(RuntimeError, match=r"MixPro's last batch were not read: add .*mixpro_mm.LabelingHook"):
        runner.train()
    assert runner.iter == 1


POOLED = [
    ('avg_featmap', None),
    ('featmap', dict(type='GlobalAveragePooling')),
    ('raw', dict(type=Token, mean=True)),
]
STOCK_MIX = dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)])
LAST = 'backbone.layers.1.attn'
NOTHING = r"^LabelingHook has nothing to label: no batch augment .*type='mixpro_mm\.MixPro'.* or remove the hook$"
UNTRAINED = r"out_type='{}'\), so its class attention is not trained: use attention=.*query_mean"
NO_TOKEN = dict(VIT, with_cls_token=False, out_type='avg_featmap')


@pytest.mark.parametrize(
    ('model', 'attention', 'sentence'),
    [
        (dict(train_cfg=None), None, NOTHING),
        (dict(train_cfg=STOCK_MIX), None, NOTHING),
        (dict(backbone=RESNET, head='LinearClsHead'), None, '^ResNet has no known class attention'),
        (dict(backbone=NO_TOKEN), None, '^VisionTransformer has no class token at'),
        *(
            (dict(backbone=dict(VIT, out_type=kind), head='LinearClsHead', neck=neck), path, UNTRAINED.format(kind))
            for path in (None, LAST)
            for kind, neck in POOLED
        ),
        ({}, 'backbone.layers.5.attn', "^attention path 'backbone.layers.5.attn' does not exist in Image"),
        (dict(loss=False), None, r'^LabelingHook found no loss to hook in ImageClassifier'),
        *(  # nothing trains the queries and keys of the last block
            (dict(out_indices=[0]), attention, r'backbone\.layers\.1\.attn does not reach the output of')
            for attention in (None, 'query_mean', dict(reading='query_mean', path=LAST))
        ),
    ],
)
def test_what_cannot_be_labelled_stops_before_the_first_iteration(model, attention, sentence, tmp_path):
    model, augment = dict(model), Bound()
    loss, out_indices = model.pop('loss', True), model.pop('out_indices', None)
    model = classifier(**{'train_cfg': dict(augments=augment), **model})
    model.backbone.out_indices = out_indices or model.backbone.out_indices
    runner = make_runner(model, tmp_path, LabelingHook(attention=attention))
    if not loss:
        del model.head.loss_module
    before, hooks = parameters_to_vector(model.parameters()), count_hooks(model)
    with pytest.raises(ValueError, match=sentence) as error:
        runner.train()
    assert '\n' not in str(error.value) and runner.iter == 0
    assert torch.equal(parameters_to_vector(model.parameters()), before) and count_hooks(model) == hooks
    assert augment.shown in ([], [(model, None), None])


class Stop(Hook):
    priority = 'VERY_LOW'

    def __init__(self, at):
        self.at = at

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize('first', ['same hook', 'new hook', 'interrupted'])
def test_nothing_is_left_after_training_and_the_model_trains_again(first, tmp_path, monkeypatch):
    """An interrupted run does not call ``after_train``; its batch does not count in the log."""
    model, hook = classifier(dict(augments=mixpro())), LabelingHook()
    hooks = count_hooks(model)
    with pytest.raises(KeyboardInterrupt) if first == 'interrupted' else nullcontext():
        train(model, tmp_path / 'first', hook, *[Stop(1)] * (first == 'interrupted'), interval=10)
    assert (count_hooks(model) == hooks) == (first != 'interrupted')
    before, watch = parameters_to_vector(model.parameters()), Watch(monkeypatch)
    runner = train(model, tmp_path / 'second', LabelingHook() if first == 'new hook' else hook, watch)
    assert watch.relabelled == [True, True] and not torch.equal(parameters_to_vector(model.parameters()), before)
    assert scalars(runner)[0]['lam_area'] == pytest.approx(lam_of(watch.returned[0], 0), abs=1e-6)
    model(torch.rand(2, 3, 32, 32))  # and works on its own
    assert count_hooks(model) == hooks


def lam_of(labels, batch):
    """Return the mean label weight of the own class over a batch (4, C)."""
    own = (4 * batch + torch.arange(4)) % CLASSES
    return labels[torch.arange(4), own].mean().item()


def test_a_batch_mixed_outside_training_does_not_leak(tmp_path, monkeypatch):
    augment = mixpro()

    class Look(Hook):
        priority = 'VERY_LOW'

        def before_train(self, runner):
            augment(torch.rand(4, 3, 32, 32), torch.eye(CLASSES)[:4])

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            self.before_train(runner)

    watch = Watch(monkeypatch)
    train(classifier(dict(augments=augment, probs=0.0)), tmp_path, LabelingHook(), Look(), watch)
    assert watch.relabelled == [False, False]


def test_checkpoints_have_the_keys_of_a_stock_run(tmp_path):
    keys = []
    for augment, hooks in ((dict(type='Mixup', alpha=0.8), []), (mixpro(), [LabelingHook()])):
        model = classifier(dict(augments=augment))
        folder = tmp_path / str(len(keys))
        train(model, folder, *hooks, default_hooks=dict(checkpoint=SAVER))
        file = torch.load(folder / 'epoch_1.pth', weights_only=False)
        keys.append((list(file['state_dict']), set(file), list(file['optimizer']['state'])))
        assert all(torch.equal(p, file['state_dict'][name]) for name, p in model.named_parameters())
    assert keys[0] == keys[1]


class Scripted:
    """A labeling whose factor is the number of the batch in hundredths, or None if the batch is not in ``known``."""

    progress = None

    def __init__(self, known=range(99)):
        self.known, self.times = known, []

    def __call__(self, target, class_attention, grid, logits):
        assert class_attention.shape == (4, 16) and grid == (4, 4)
        self.times.append(self.progress)
        number = len(self.times)
        value = torch.full_like(target.lam_area, number / 100)
        return LabelWeights(target.lam_area, target.lam_area, 1 - value, value if number in self.known else None)


def logs(interval, ignore_last=True):
    logger = dict(type='LoggerHook', interval=interval, ignore_last=ignore_last)
    return dict(default_hooks=dict(logger=logger, checkpoint=None))


ITERATIONS = dict(train_cfg=dict(by_epoch=False, max_iters=6), log_processor=dict(by_epoch=False))
LONG = {2: 0.015, 4: 0.035, 7: 0.06, 9: 0.085}  # batches 1 and 2; 3 and 4; 5, 6 and 7; 8 and 9


@pytest.mark.parametrize(
    ('settings', 'known', 'means', 'factors'),
    [
        (dict(batches=5, epochs=2, **logs(2)), range(99), LONG, LONG),
        (dict(batches=2, **logs(5)), range(99), {2: 0.015}, {2: 0.015}),
        (dict(batches=3, **logs(2)), range(99), {2: 0.015}, {2: 0.015}),
        (dict(batches=3, **logs(2, False)), range(99), {2: 0.015, 3: 0.03}, {2: 0.015, 3: 0.03}),
        (dict(batches=6, **logs(2), **ITERATIONS), range(99), *[{2: 0.015, 4: 0.035, 6: 0.055}] * 2),
        (dict(batches=6, **logs(2)), (1, 4), {2: 0.015, 4: 0.035, 6: 0.055}, {2: 0.01, 4: 0.04}),
    ],
)
def test_log_shows_the_mean_since_the_last_line(settings, known, means, factors, tmp_path):
    runner = train(classifier(dict(augments=mixpro())), tmp_path, LabelingHook(Scripted(known)), **settings)
    records = scalars(runner)
    logged = {record['step']: record['factor'] for record in records if 'factor' in record}
    assert logged == pytest.approx(factors, abs=1e-6)
    assert {record['step']: 1 - record['lam_attn'] for record in records} == pytest.approx(means, abs=1e-6)
    history = runner.message_hub.get_scalar('train/lam_attn').data[0]
    assert 1 - history == pytest.approx([*means.values()], abs=1e-6)  # one value per line


def test_masks_that_miss_the_tokens_are_named_once_in_the_log_and_counted(tmp_path):
    """The box covers parts of two of the sixteen tokens."""

    class Box(RegionMix):
        def draw_mask(self, images, index):
            mask = images.new_ones(len(images), 1, 32, 32, dtype=torch.bool)
            mask[:, :, 4:20, 8:16] = False  # rows of tokens 0 and 2 half covered, row 1 wholly, in one column
            return mask

    def logged(name, augment, labeling='ProgressiveAttentionLabeling'):
        runner = train(classifier(dict(augments=augment)), tmp_path / name, LabelingHook(labeling), epochs=2)
        (log,) = Path(runner.log_dir).rglob('*.log')
        warnings = [line for line in log.read_text().splitlines() if 'LabelingHook: ' in line and 'px' in line]
        return warnings, {record.get('pure_tokens') for record in scalars(runner)}

    assert logged('box', Box(partner='flip')) == ([], {14 / 16})
    assert logged('fit', mixpro(mask_scale=2)) == ([], {1.0})
    assert logged('area', mixpro(), 'AreaLabeling') == ([], {None})
    (warning,), _ = logged('misfit', mixpro(patch_size=4, mask_scale=3))
    assert 'WARNING' in warning and 'MixPro has mask edges at multiples of 12 px' in warning and '8 px wide' in warning


def recipes(*schedule):
    return SwitchRecipeHook([dict(action_epoch=epoch, **recipe) for epoch, recipe in schedule])


def test_augments_and_loss_replaced_on_the_way_are_found(tmp_path, monkeypatch):
    watch = Watch(monkeypatch)
    other_loss = dict(type='LabelSmoothLoss', label_smooth_val=0.3, mode='original')
    switch = recipes(  # mixing may start late, behind a probability of zero
        (2, dict(batch_augments=dict(augments=mixpro(mask_scale=2)), loss=other_loss)),
        (3, dict(batch_augments=None)),
        (4, dict(batch_augments=dict(augments=RegionMix(alpha=20.0, partner='flip')))),
    )
    model = classifier(dict(augments=mixpro(MaskMix)))
    first_loss, hooks = model.head.loss_module, count_hooks(model)
    runner = train(model, tmp_path, switch, LabelingHook(), watch, epochs=4)
    assert ['factor' in record for record in scalars(runner)] == watch.relabelled
    assert watch.relabelled == [True, True, True, True, False, False, True, True]
    assert watch.losses == [first_loss] * 2 + [model.head.loss_module] * 6
    assert model.head.loss_module.label_smooth_val == 0.3
    assert not first_loss._forward_pre_hooks and count_hooks(model) == hooks


def test_a_run_resumes_after_mixing_was_switched_off(tmp_path, monkeypatch):
    def hooks():
        return recipes((2, dict(batch_augments=None))), LabelingHook()

    train(classifier(dict(augments=mixpro())), tmp_path, *hooks(), epochs=2, default_hooks=dict(checkpoint=SAVER))
    watch = Watch(monkeypatch)
    model = classifier(dict(augments=mixpro()))
    before = count_hooks(model)
    runner = train(model, tmp_path, *hooks(), watch, epochs=4, resume=True, default_hooks=dict(checkpoint=None))
    assert runner.epoch == 4 and watch.mixed_by == ['none'] * 4
    assert count_hooks(model) == before


def test_an_attention_module_that_takes_no_part_is_one_sentence(tmp_path):
    model = classifier(dict(augments=mixpro()))
    model.spare = type(model.backbone.layers[1].attn)(32, 2)
    with pytest.raises(RuntimeError, match=r'^the attention module MultiheadAttention gave 0 rows for the '):
        train(model, tmp_path, LabelingHook(attention='spare'))


def test_a_loss_called_by_keyword_is_labelled_too(tmp_path, monkeypatch):
    class ByKeyword(torch.nn.Module):
        given = []

        def forward(self, cls_score, label, avg_factor=None):
            self.given.append(label.clone())
            return torch.nn.functional.cross_entropy(cls_score, label)

        def __call__(self, score, target, **kwargs):
            return super().__call__(label=target, cls_score=score)

    model, watch = classifier(dict(augments=mixpro())), Watch(monkeypatch)
    model.head.loss_module = ByKeyword()
    train(model, tmp_path, LabelingHook(), watch)
    assert [torch.equal(a, b) for a, b in zip(watch.returned, ByKeyword.given, strict=True)] == [False, False]


def test_mixed_batches_that_never_meet_the_loss_stop_training(tmp_path):
    model = classifier(dict(augments=mixpro(MaskMix)))
    model.head.loss = lambda feats, data_samples: dict(loss=model.head(feats).square().mean())
    runner = make_runner(model, tmp_path, LabelingHook())
    with pytest.raises(RuntimeError, match=r'labels of a mixed batch were not re-weighted: LabelSmoothLoss'):
        runner.train()
    assert runner.iter == 0


@pytest.mark.parametrize('averaged', [True, False])
def test_an_augment_is_shown_the_model_and_its_average_once_per_training(averaged, tmp_path):
    augment, ema = Bound(), EMAHook(momentum=0.5)
    model = classifier(dict(augments=augment))
    for run in (1, 2):
        train(model, tmp_path / str(run), LabelingHook(), *[ema] * averaged, epochs=3)
        assert len(augment.shown) == 2 * run
        (shown, average), end = augment.shown[-2:]
        assert shown is model and end is None
        assert average is (ema.ema_model.module if averaged else None)
    assert len(augment.seen) == 12 and None not in augment.seen


def test_augments_that_come_and_go_are_bound_and_unbound(tmp_path):
    early, late = Bound(), Bound()
    model = classifier(dict(augments=early))
    switch = recipes((2, dict(batch_augments=dict(augments=late))))
    switch.schedule[2]['batch_augments'].augments = [late]  # SwitchRecipeHook copies it
    train(model, tmp_path, switch, LabelingHook(), epochs=3)
    assert early.shown == late.shown == [(model, None), None]
    assert early.seen == [(model, None)] * 2 and late.seen == [(model, None)] * 4


def test_area_labels_need_no_attention(tmp_path, monkeypatch):
    watch = Watch(monkeypatch)
    model = classifier(dict(augments=mixpro()), RESNET, 'LinearClsHead')
    model.neck = GlobalAveragePooling()
    hooks = count_hooks(model)
    runner = train(model, tmp_path, LabelingHook('mixpro_mm.AreaLabeling'), watch)
    assert watch.relabelled == [False, False]
    assert all(((target > 0).sum(1) == 2).all() for target in watch.given)
    for batch, record in enumerate(scalars(runner)):
        assert record['lam_area'] == pytest.approx(lam_of(watch.returned[batch], batch), abs=1e-6)
        assert not {'factor', 'lam_attn'} & set(record)
    assert count_hooks(model) == hooks


IN_ITERATIONS = dict(train_cfg=dict(by_epoch=False, max_iters=8), log_processor=dict(by_epoch=False))
IN_ITERATIONS |= dict(default_hooks=dict(checkpoint=dict(SAVER, by_epoch=False, interval=5)))


@pytest.mark.parametrize(
    ('settings', 'stop', 'times'),
    [
        (dict(epochs=4, default_hooks=dict(checkpoint=SAVER)), 4, [0.0, 0.0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75]),
        (dict(batches=8, **IN_ITERATIONS), 5, [i / 8 for i in range(8)]),
    ],
)
def test_a_labeling_gets_the_progress_of_the_training_also_after_a_resume(settings, stop, times, tmp_path):
    first, second = Scripted(), Scripted()
    with pytest.raises(KeyboardInterrupt):
        train(classifier(dict(augments=mixpro())), tmp_path, LabelingHook(first), Stop(stop), **settings)
    train(classifier(dict(augments=mixpro())), tmp_path, LabelingHook(second), resume=True, **settings)
    assert first.times == times[:stop] and second.times == times[stop:]


@pytest.mark.parametrize(
    ('out_type', 'neck', 'attention'),
    [
        *((*pooled, 'query_mean') for pooled in POOLED),
        ('raw', dict(type=Token, mean=False), None),
        ('raw', dict(type=Token, mean=False), 'backbone.layers.1.attn'),
        ('avg_featmap', None, 'backbone.layers.0.attn'),  # the last block's patches look at the class token
    ],
)
def test_attention_that_is_trained_is_read(out_type, neck, attention, tmp_path):
    rows = []

    class Keep(ProgressiveAttentionLabeling):
        def __call__(self, *args):
            rows.append(args[1:3])
            return super().__call__(*args)

    model = classifier(dict(augments=mixpro()), dict(VIT, out_type=out_type), 'LinearClsHead', neck)
    attn = find_attention_block(model, attention).attn
    before = attn.qkv.weight.detach().clone()
    train(model, tmp_path, LabelingHook(Keep(), attention))
    assert [grid for _, grid in rows] == [(4, 4)] * 2
    assert all(row.std() > 1e-3 for row, _ in rows)
    query, key, _ = (attn.qkv.weight - before).detach().abs().amax(1).split(32)
    assert query.max() > 0 and key.max() > 0


def test_the_look_at_the_class_token_leaves_training_as_it_was(tmp_path, monkeypatch):
    """The weights after the first steps do not depend on the verification."""
    after = []
    for verified in (False, True):
        if verified:
            monkeypatch.setattr(ClassAttentionTap, 'verify', lambda tap, forward: None)
        model = classifier(dict(augments=mixpro()), dict(VIT, drop_rate=0.1, drop_path_rate=0.1))
        train(model, tmp_path / str(verified), LabelingHook())
        after.append(parameters_to_vector(model.parameters()))
    assert torch.equal(*after)
