"""The run on paper: by hand, against the study's own estimate, and the committed page against its command."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from mixpro_mm.benchmark import forecast as module
from mixpro_mm.benchmark.cluster import Cluster
from mixpro_mm.benchmark.constants import Constants, Known, Memory, find_constants
from mixpro_mm.benchmark.forecast import main, read_runs
from mixpro_mm.benchmark.forecast_page import Run, page
from mixpro_mm.study.estimate import gpu_hours
from mixpro_mm.study.plan import Stage

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / 'docs' / 'benchmarks'
PAGE = FOLDER / 'imagenet_on_paper.md'


def known(value, low=None, high=None, kind='measured'):
    return Known(value, kind, 'by hand', low, high)


BY_HAND = Constants(
    backbone='deit-small',
    images=known(1000, kind='published'),
    epochs=known(30, kind='published'),
    batch=known(10, kind='published'),
    rate=known(1e-3, kind='published'),
    rate_batch=known(40, kind='published'),
    warm_up=known(2, kind='published'),
    workers=known(5, kind='counted'),
    parameters=known(25_000_000, kind='counted'),
    macs=known(4_600_000_000, kind='counted'),
    pace=known(100.0, kind='published'),
    ratio=known(1.5, 1.0, 2.0),
    labelling=known(0.0005),
    by_parts=known(1.25),
    loading=known(25.0, 24.0, 26.0),
    reduced=(known(100_000_000), known(100_000_000)),
    memory=Memory(((4, 1400.0), (8, 1800.0)), 'by hand'),
)


def test_four_gpus_by_hand():
    run = Run(BY_HAND, Cluster(4, per_node=4, nvlink=1.0))
    assert (run.batch, run.steps) == (40, 25)
    assert run.compute(1.5) == pytest.approx(0.15)  # 10 images at 100 a second, half as long again
    assert run.gradients == 100_000_000
    assert run.waiting == pytest.approx(0.15)  # 2 x 3/4 x 0.1 GB at 1 GB/s
    assert run.hours(1.5) == pytest.approx(30 * 25 * 0.3 / 3600)
    assert run.loaded() == pytest.approx(10 / 0.3)
    assert run.cores() == 2  # 33.3 images a second, 25 from each
    # 1000 MiB whatever the batch, 100 an image, and DDP's copy
    assert run.memory() == pytest.approx(1000 + 10 * 100 + 1e8 / 2**20)
    assert run.memory(0.5) == pytest.approx(1000 + 5 * 100 + 1e8 / 2**20)


def rows_of(text):
    rows = [line.strip('| ').split(' | ') for line in text.splitlines() if line.startswith('| ')]
    return {row[0]: row[1:] for row in rows}


def test_the_page_says_each_figure_with_what_it_rests_on():
    clusters = [Cluster(4, per_node=4, nvlink=1.0), Cluster(8, per_node=4, nvlink=1.0, network=0.5)]
    rows = rows_of(page(BY_HAND, clusters, 'the command'))
    # with eight: 13 steps, waiting 2 x 7/8 x 0.1 / 0.5 = 0.35 s beside 0.15 s
    everything = 'measured, counted, published, assumed'
    assert rows['nodes'] == ['1', '2', 'assumed']
    assert rows['steps of an epoch'] == ['25', '13', 'published']
    assert rows['updates'] == ['750', '390', 'published']
    assert rows['of them in the warm-up'] == ['50', '26', 'published']
    assert rows['learning rate, in proportion to the batch'] == ['0.001', '0.002', 'published']
    assert rows['learning rate, with the root of the batch'] == ['0.001', '0.001414', 'published']
    assert rows['computing in a step'] == ['150.0 ms', '150.0 ms', 'measured, published']
    assert rows['waiting for gradients in a step'] == ['150.00 ms', '350.00 ms', 'counted, assumed']
    assert rows['waiting, share of a step'] == ['50.00%', '70.00%', everything]
    assert rows['hours'] == ['0.1 (0.1 to 0.1)', '0.1 (0.0 to 0.1)', everything]
    assert rows['times as fast as 4 GPUs'] == ['1.00', '1.15', everything]  # 750 x 0.3 / (390 x 0.5)
    assert rows['images per second to load, per GPU'] == ['33', '20', everything]
    assert rows['cores that load for a GPU, so that it never waits'] == ['2', '1', everything]
    assert rows['such cores in a node'] == ['8', '4', everything]
    assert rows['memory of a GPU, fp32'] == ['2.0 GiB', '2.0 GiB', 'measured, counted']
    assert rows['memory of a GPU, bf16'] == ['1.6 GiB', '1.6 GiB', 'measured, counted, assumed']
    assert rows['the same, MixPro - CutMix'] == ['0', 'measured', 'by hand']
    assert rows['time of a step, MixPro / CutMix'] == ['1.500 (1.000 to 2.000)', 'measured', 'by hand']
    kinds = set(everything.split(', '))
    for what, row in rows.items():
        assert what in ('Quantity', '---') or row[1] in kinds or set(row[-1].split(', ')) <= kinds


@given(st.integers(1, 200), st.floats(0.5, 2), st.floats(0.5, 2), st.floats(1, 1e4), st.floats(1, 1e4), st.floats(0, 1))
def test_what_costs_more_takes_longer(gpus, ratio, other, pace, faster, overlap):
    cluster = Cluster(gpus, overlap=overlap)
    run = Run(replace(BY_HAND, pace=known(pace)), cluster)
    assert run.hours(min(ratio, other)) <= run.hours(max(ratio, other))
    quick = Run(replace(BY_HAND, pace=known(pace + faster)), cluster)
    assert quick.hours(ratio) < run.hours(ratio)
    assert quick.cores() >= run.cores()
    assert Run(run.constants, replace(cluster, network=1.0, nvlink=1.0)).hours(ratio) >= run.hours(ratio)
    alone = Run(run.constants, Cluster(1))
    assert alone.hours(ratio) <= gpus * run.hours(ratio) * (1 + 1e-9)  # no more than as many times as fast


@pytest.fixture(scope='module')
def committed():
    """The command on the page, and the runs it names."""
    command = shlex.split(re.search(r'```bash\n(.*?)\n```', PAGE.read_text(), re.DOTALL)[1])
    assert command[:3] == ['python', '-m', 'mixpro_mm.benchmark.forecast']
    return command[3:], read_runs([ROOT / name for name in command[3:] if name.endswith('.json')])


@pytest.fixture(scope='module')
def small(committed):
    return find_constants(committed[1], 'deit-small')


def test_the_committed_page_is_what_its_command_writes(committed, monkeypatch):
    written = {}
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(module, 'write_text', lambda path, text: written.update({ROOT / path: text}))
    assert main(committed[0]) == 0
    assert written == {PAGE: PAGE.read_text()}


def test_it_agrees_with_the_estimate_of_the_study(small):
    """Both start from 322 images a second; on top of it come the last, short steps of epochs."""
    assert (small.images.value, small.epochs.value, small.batch.value) == (1_281_167, 300, 128)
    stage = Stage(name='a', config='a.py', gpus=8, gmacs=4.7, train_images=small.images.value)
    estimate = gpu_hours(stage, Config(dict(train_cfg=dict(max_epochs=300))))
    run = Run(small, Cluster(8, overlap=1.0))
    assert small.pace.kind == 'published'
    assert 8 * run.hours(1.0) == pytest.approx(estimate, rel=0.001)
    assert 8 * run.hours(1.0) >= estimate


def test_measured_constants_are_those_of_the_files(small):
    low, high = small.ratio.ends
    assert low <= small.ratio.value <= high
    base, ours = small.reduced
    assert base.value == ours.value == 4 * small.parameters.value  # labelling adds no byte to the gradients
    assert small.loading.value > 0
    assert len(small.memory.points) > 2


def gpu_run(pace=1000.0):
    steps = [
        dict(section='step', method=method, part=part, backbone='deit-small', batch_images=128, images_per_s=speed,
             ratio_to_cutmix=ratio, ratio_to_cutmix_low=ratio - 0.01, ratio_to_cutmix_high=ratio + 0.01)
        for part, speed, times in (('forward and backward', 2 * pace, 1.1), ('with optimizer', pace, 1.02))
        for method, ratio in (('CutMix', 1.0), ('MixPro', times))
    ]  # fmt: skip
    return dict(device='NVIDIA H100', settings=dict(amp='bf16'), records=steps)


def test_a_run_on_a_gpu_gives_the_pace_with_the_update_and_its_own_ratio(committed):
    constants = find_constants({**committed[1], 'gpu.json': gpu_run()}, 'deit-small')
    assert (constants.pace.value, constants.pace.kind) == (1000.0, 'measured')
    assert constants.pace.source == 'gpu.json, NVIDIA H100, deit-small, batch 128'
    assert (constants.ratio.value, constants.ratio.low) == (1.02, 1.01)
    other = find_constants({**committed[1], 'gpu.json': gpu_run()}, 'deit-tiny')
    assert other.pace.kind == 'published'  # of another model


def test_other_models_go_by_their_multiply_adds(committed, small):
    base = find_constants(committed[1], 'deit-base')
    assert small.pace.value == 322
    assert base.pace.value * base.macs.value == pytest.approx(small.pace.value * small.macs.value)
    assert (base.reduced, base.memory) == (None, None)
    text = page(base, [Cluster(8)], 'the command')
    assert 'deit-base' in text.splitlines()[0]
    assert 'memory of a GPU' not in text
    assert 'bytes a rank' not in text


def test_mistakes_are_told_in_one_line(tmp_path, capsys, committed, monkeypatch):
    monkeypatch.chdir(ROOT)
    files = [name for name in committed[0] if name.endswith('.json')]
    (broken := tmp_path / 'broken.json').write_text('{"records": 3}')
    (empty := tmp_path / 'empty.json').write_text('{"records": [], "device": "CPU", "settings": {"amp": "none"}}')
    (steps := tmp_path / 'steps.json').write_text(json.dumps(gpu_run()))
    others = dict(
        nowhere={key: value for key, value in gpu_run().items() if key != 'device'},
        unset={key: value for key, value in gpu_run().items() if key != 'settings'},
        numbered=dict(gpu_run(), device=3),
        bare=dict(gpu_run(), settings={}),
        listed=dict(gpu_run(), settings=None),
    )
    for name, content in others.items():
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    for arguments, sentence in (
        ([str(broken)], f'forecast: {broken} is not a JSON of tools/benchmark.py: TypeError: '),
        ([str(empty)], f'forecast: {empty} holds no record'),
        *(([str(tmp_path / f'{name}.json')], f'forecast: {tmp_path / name}.json is no') for name in others),
        ([str(steps)], 'forecast: no given file has the section labelling that is needed: tools/benchmark.py --sect'),
        ([str(tmp_path / 'none.json')], 'forecast: [Errno 2] No such file or directory: '),
        ([*files, '--gpus', '0'], 'forecast: GPUs must be at least 1, '),
        (
            [*files, '--backbone', 'vgg'],
            "forecast: backbone 'vgg' has no config vgg_mixpro_8xb128_in1k.py; known: ",
        ),
    ):
        assert main([*arguments, '--write', str(tmp_path / 'page.md')]) == 1
        error = capsys.readouterr().err
        assert error.startswith(sentence)
        assert error.count('\n') == 1
    assert not (tmp_path / 'page.md').exists()
