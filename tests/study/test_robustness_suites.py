"""All suites of ImageNet-1k by the command, on small images in the layouts of the data sets."""

import json
import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from sklearn.metrics import roc_auc_score
from torchvision import transforms

from mixpro_mm.datasets.imagenet_variants import imagenet_wnids
from mixpro_mm.study.robustness import main
from mixpro_mm.utils.configs import find_configs, read_config
from tests.test_robustness_configs import INDICES, MEAN, STD, config_of, draw, drawn

WNIDS, PART = imagenet_wnids(), [imagenet_wnids()[index] for index in INDICES]
NUMBER, COPIES = 6, 20  # distinct images, and further copies of each in the folder of its predicted class
SETS = {  # suite -> (folder, names of the class folders, resized bilinearly, resized at all)
    'imagenet-v2': ('imagenet-v2', [str(label) for label in range(1000)], False, True),
    'imagenet-sketch': ('imagenet-sketch', WNIDS, False, True),
    'imagenet-r': ('imagenet-r', PART, True, True),
    'imagenet-a': ('imagenet-a', PART, True, True),
    'imagenet-c': ('imagenet-c/fog/2', WNIDS, False, False),
}


def inputs_of(paths, bilinear, resized):
    kind = transforms.InterpolationMode.BILINEAR if bilinear else transforms.InterpolationMode.BICUBIC
    steps = [transforms.Resize(256, interpolation=kind)] * resized + [transforms.CenterCrop(224), transforms.ToTensor()]
    through = transforms.Compose([*steps, transforms.Normalize(MEAN, STD)])
    return torch.stack([through(Image.open(path).convert('RGB')) for path in paths])


@torch.no_grad()
def logits_of(model, paths, bilinear=False, resized=True):
    return model.head(model.extract_feat(inputs_of(paths, bilinear, resized))).double().numpy()


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Write checkpoint, config and data; return the folder, and the expected top-1 by suite."""
    root = tmp_path_factory.mktemp('robustness')
    model, expected = drawn('deit-small_imagenet-a'), {}
    torch.save(dict(state_dict=model.state_dict()), root / 'small.pth')
    paths = [draw(root / 'images' / f'{n}.png', n, (224, 224)) for n in range(NUMBER)]
    for suite, (folder, names, *how) in SETS.items():
        logits = logits_of(model, paths, *how)
        predicted = (logits[:, INDICES] if len(names) == 200 else logits).argmax(1)
        right = NUMBER * COPIES
        for label, name in enumerate(names):
            (root / 'data' / folder / name).mkdir(parents=True)
            (root / 'data' / folder / name / 'first.png').symlink_to(paths[label % NUMBER])
            right += int(predicted[label % NUMBER] == label)
        for number, label in enumerate(predicted):
            for copy in range(COPIES):
                (root / 'data' / folder / names[label] / f'{number}-{copy}.png').symlink_to(paths[number])
        expected[suite] = 100 * right / (len(names) + NUMBER * COPIES)

    # validation images in a list: of the 200 classes, and of the classes predicted for them
    predicted, labels = logits_of(model, paths).argmax(1), [*INDICES, *[0] * NUMBER]
    labels[-NUMBER:] = predicted
    lines = [f'ILSVRC2012_val_{number + 1:08d}.JPEG {label}' for number, label in enumerate(labels)]
    val = root / 'data' / 'imagenet' / 'val'
    val.mkdir(parents=True)
    (root / 'data' / 'imagenet' / 'meta').mkdir()
    (root / 'data' / 'imagenet' / 'meta' / 'val.txt').write_text('\n'.join(lines))
    for number, line in enumerate(lines):
        (val / line.split()[0]).symlink_to(paths[number % NUMBER])
    numbers = np.arange(len(lines)) % NUMBER
    expected['imagenet'] = 100 * (predicted[numbers] == labels).mean()
    # labels of images 1, 3 and 5; the predictions for the second are not among its labels
    real = [
        [999 - int(predicted[number]) if number == 3 else int(predicted[number])] * (number % 2) for number in numbers
    ]
    (root / 'data' / 'imagenet' / 'real.json').write_text(json.dumps(real + [[]] * (50_000 - len(real))))
    with_labels = numbers[numbers % 2 == 1]
    expected['imagenet-real'] = 100 * (with_labels != 3).mean()
    for number, wnid in enumerate(PART):
        (root / 'data' / 'imagenet-o' / wnid).mkdir(parents=True)
        (root / 'data' / 'imagenet-o' / wnid / 'o.png').symlink_to(paths[number % 2])
    known = [number % NUMBER for number, label in enumerate(labels) if label in INDICES]
    confidence = torch.tensor(logits_of(model, paths, bilinear=True)[:, INDICES]).softmax(1).amax(1).numpy()
    unknown = [number % 2 for number in range(200)]
    flags = np.repeat([0, 1], [len(known), 200])
    expected['imagenet-o'] = 100 * roc_auc_score(flags, -confidence[known + unknown])

    config = config_of('deit-small_imagenet-a')
    config.merge_from_dict(dict(test_dataloader=dict(num_workers=0, persistent_workers=False)))
    base = read_config(find_configs() / 'pretrain' / 'deit-small_mixpro_8xb128_in1k.py')
    config.test_dataloader.dataset = base.test_dataloader.dataset
    suites = read_config(find_configs() / '_base_' / 'robustness_suites.py').suites
    for name, suite in suites.items():
        data = suite.test_dataloader.dataset
        data.update({} if data.type.endswith(('ImageNet1k', 'CorruptedDataset')) else dict(num_images=None))
        data.update(dict(num_val_images=None) if name == 'imagenet-o' else {})
        data.update(dict(corruptions=['fog'], severities=[2]) if name == 'imagenet-c' else {})
        data.update(dict(corruptions=['contrast'], severities=[1], every=50) if name == 'corruptions' else {})
        suite.test_evaluator.update(dict(bin_size=50) if 'Calibration' in suite.test_evaluator.type else {})
    suites.occlusion.test_cfg.ratios = [0.0, 1.0]
    config.suites = suites
    Config(dict(config)).dump(root / 'small.py')
    yield root, expected
    shutil.rmtree(root)


@pytest.mark.long
def test_every_suite_of_imagenet_runs(place, monkeypatch):
    root, expected = place
    monkeypatch.chdir(root)
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    assert main(['small.py', '--checkpoint', 'DeiT=small.pth', '--work-dir', 'out']) == 0
    results = {each['suite']: each['metrics'] for each in json.loads((root / 'out' / 'robustness.json').read_text())}
    assert set(results) == set(read_config(root / 'small.py').suites)
    tops = ('calibration/top1', 'real/top1', 'corruption/top1', 'ood/auroc')
    found = {
        name: next(metrics[top] for top in tops if top in metrics)
        for name, metrics in results.items()
        if name in expected
    }
    assert found == pytest.approx(expected, abs=0.3)
    assert results['corruptions'].keys() >= {'corruption/contrast/1/top1', 'corruption/contrast/1/ece'}
    assert results['occlusion']['occlusion/random_0'] == pytest.approx(expected['imagenet'], abs=0.3)
    page = (root / 'out' / 'robustness.md').read_text()
    assert all(f'| {name} |' in page for name in results) and 'Not tested' not in page
