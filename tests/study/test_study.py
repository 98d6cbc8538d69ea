"""A small study that is killed, resumed, and run again after it has finished."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixpro_mm.datasets.digit_scenes import write_digit_scenes
from mixpro_mm.utils.files import sha256_of

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / 'configs' / 'digits'

PRETRAIN = f"""
_base_ = '{DIGITS}/deit-micro_mixpro_digits.py'
train_dataloader = dict(batch_size=8, dataset=dict(indices=32))
val_dataloader = dict(dataset=dict(indices=16))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=4, val_interval=2)
param_scheduler = []
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1))
"""
SEGMENTER = """
_base_ = '{base}'
train_dataloader = dict(batch_size=2, dataset=dict(data_root='{data}'))
val_dataloader = dict(dataset=dict(data_root='{data}'))
test_dataloader = val_dataloader
train_cfg = dict(max_iters=2)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1))
"""
TTA = """
tta_model = dict(type='SegTTAModel')
scales = [dict(type='Resize', scale=(size, size), keep_ratio=True) for size in (48, 64)]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='TestTimeAug', transforms=[scales, [dict(type='LoadAnnotations')], [dict(type='PackSegInputs')]]),
]
"""
STUDY = """
title = 'Miniature'
seed = 5
jobs = 2
stages = [
    dict(name='pre', config='pre.py', task='classification', backbone='DeiT', pretraining='mixpro'),
    dict(name='scratch', config='scratch.py', task='segmentation', backbone='DeiT', pretraining='scratch'),
    dict(name='seg', config='seg.py', task='segmentation', backbone='DeiT', pretraining='mixpro', checkpoint='pre',
         tta=True, published={'mIoU (MS)': 51.6}),
]
"""


@pytest.mark.long
def test_a_killed_study_resumes_and_writes_results_and_a_report(tmp_path):
    data = write_digit_scenes(tmp_path / 'scenes', num_train=4, num_val=2) / 'VOCdevkit' / 'VOC2010'
    (tmp_path / 'pre.py').write_text(PRETRAIN)
    for name, start in (('seg', 'mixpro'), ('scratch', 'scratch')):
        base = DIGITS / f'segmenter_deit-micro_{start}_digit-scenes.py'
        (tmp_path / f'{name}.py').write_text(SEGMENTER.format(base=base, data=data) + TTA * (name == 'seg'))
    (tmp_path / 'study.py').write_text(STUDY)
    work, deadline = tmp_path / 'work', time.monotonic() + 300
    command = [sys.executable, str(ROOT / 'tools' / 'study.py'), str(tmp_path / 'study.py'), '--work-dir', str(work)]

    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=tmp_path, start_new_session=True)
    while not (work / 'pre' / 'epoch_1.pth').exists():
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    newest = max((work / 'pre').glob('*.pth'), key=os.path.getmtime)
    newest.write_bytes(newest.read_bytes()[:1000])  # as after a kill during writing

    def run():
        return subprocess.run(command, capture_output=True, text=True, timeout=400, cwd=tmp_path)

    second = run()
    assert second.returncode == 0, second.stdout + second.stderr
    records = json.loads((work / 'results.json').read_text())['records']
    assert [(r['task'], r['pretraining'], r['metric'], r['seed'], r.get('published')) for r in records] == [
        ('classification', 'mixpro', 'top1', 5, None),
        ('segmentation', 'scratch', 'mIoU', 5, None),
        ('segmentation', 'mixpro', 'mIoU', 5, None),
        ('segmentation', 'mixpro', 'mIoU (MS)', 5, 51.6),
    ]
    assert all(0 <= record['value'] <= 100 for record in records)
    assert records[0]['checkpoint_sha256'] == sha256_of(work / 'pre' / 'epoch_4.pth')
    transfer = json.loads((work / 'seg' / 'transfer.json').read_text())
    assert transfer['complete'] and transfer['sha256'] == records[0]['checkpoint_sha256']
    assert 'Miniature' in (work / 'report.html').read_text() and (work / 'report.md').exists()
    assert list((work / 'figures').glob('*.png'))

    third = run()
    assert '3 stages, 3 finished already' in third.stdout
    assert json.loads((work / 'results.json').read_text())['records'] == records
