from mixpro_mm.report.robustness import robustness_card


def result(suite, label='A', images=10, **metrics):
    return dict(suite=suite, label=label, checkpoint=f'{label}.pth', sha256='0' * 64, images=images, metrics=metrics)


def test_unknown_metrics_have_their_own_names_and_counts_are_of_scored_images():
    results = [
        result('plain', **{'accuracy/top1': 50.04, 'new_metric': 1.0}),
        result('real', images=50_000, **{'real/top1': 80.0, 'real/images': 46_837}),
        result('dark', **{'occlusion/random_0': 90.0, 'accuracy/top1': 90.0}),
    ]
    page = robustness_card('Card', [*results, result('real', 'B', **{'real/top1': 70.0, 'real/images': 9})], {})
    lines = page.splitlines()
    assert '| plain | 10 | accuracy/top1 | 50.0 | - |' in lines and '| plain | 10 | new_metric | 1.0 | - |' in lines
    assert '| real | 46837 / 9 | top-1 | 80.0 | 70.0 |' in lines
    assert not any('occlusion' in line for line in lines)  # one point at 0 is no curve
    assert '| A | A.pth | 0000000000 |' in lines and 'Not tested' not in page


def test_corruptions_have_a_table_for_each_checkpoint():
    metrics = {f'corruption/fog/{level}/top1': 10.0 * level for level in (5, 1)} | {'corruption/fog/top1': 30.0}
    metrics |= {f'corruption/fog/{level}/ece': 2.0 * level for level in (5, 1)} | {'corruption/fog/ce': 99.0}
    page = robustness_card('Card', [result('c', **metrics, **{'corruption/mce': 98.0})], {'gone': 'skipped, because x'})
    assert '| corruption | severity 1 | severity 5 | top-1 | ECE | CE |' in page
    assert '| fog | 10.0 | 50.0 | 30.0 | 6.0 | 99.0 |' in page and '| c | 10 | mCE (lower is better) | 98.0 |' in page
    assert page.endswith('## Not tested\n\n- gone: skipped, because x\n')
