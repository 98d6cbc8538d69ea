# The evidence study in half an hour on 2 cores: four methods on DeiT-micro, two on PVT-micro, two seeds, a
# third of the steps. It decides nothing, because mixing methods are under-trained after 2,000 steps.
# Run:      python tools/study.py configs/fashion/study_fashion_quick.py
_base_ = 'study_fashion_evidence.py'

title = 'Quick look: two seeds and a third of the training, without verdicts'
about = """DeiT-micro was pre-trained with four methods and PVT-micro with two on 1,280 images of Fashion-MNIST, for a third
of the steps of the evidence study and with two seeds. This decides nothing."""
kept = dict(deit=('none', 'cutmix', 'transmix', 'mixpro'))
shorter = dict(deit={'train_cfg.max_epochs': 100, 'train_cfg.val_interval': 90})
shorter['pvt'] = {'train_cfg.max_epochs': 50, 'train_cfg.val_interval': 45}
stages = []
for stage in _base_.stages:
    name = stage['name'].split('_')[0]
    if 'config' not in stage:
        stages.append(stage)
    elif stage['pretraining'] in kept.get(name, ('none', 'mixpro')):
        options = stage.get('cfg_options', {}) | shorter.get(name, {})
        stages.append(dict(stage, seeds=2, cells=[], cfg_options=options))
