"""The steps of the doctor. Each imports a package and tests it in a child process, which may abort or hang."""

import glob
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import asdict

from mixpro_mm.doctor.environment import OWN, PIP, Finding, ok, one_line, problem

__all__ = ['CONFIG_STEPS', 'OPTIONAL', 'STEPS', 'TOOLKITS', 'main', 'run_steps']

TOOLKITS = ('mmpretrain', 'mmseg', 'mmdet')
CONFIG_STEPS = ('toolkits', 'config', 'data')
STEPS = ('torch', 'torchvision', 'cv2', 'mmengine', 'mmcv', 'toolkits', 'mmcv.ops', *TOOLKITS, 'mim', 'registries')
STEPS += ('config', 'data')
# optional step -> toolkits that need it
OPTIONAL = {'mmcv.ops': ['mmdet'], 'mmseg': ['mmseg'], 'mmdet': ['mmdet'], 'mim': []}


def run_steps(steps: list[str], config: str | None = None, timeout_s: float = 600) -> Iterator[tuple[str, dict]]:
    """Yield each step with the dict that :func:`main` prints, or with ``error`` if its process ended or timed out."""
    steps = list(steps)
    while steps:
        command = [sys.executable, '-m', 'mixpro_mm.doctor.steps', config or '', *steps]
        with tempfile.TemporaryFile() as log:
            with subprocess.Popen(command, bufsize=0, stdout=subprocess.PIPE, stderr=log) as child:
                while ready := select.select([child.stdout], [], [], timeout_s)[0]:
                    if not (line := child.stdout.readline()).endswith(b'\n'):  # the process ended
                        break
                    yield steps.pop(0), json.loads(line)
                if not ready:
                    child.kill()
            log.seek(0)
            last = log.read().decode('utf-8', 'replace').strip().rpartition('\n')[2]
        if steps and not ready:
            yield steps.pop(0), dict(error=f'did not finish within {timeout_s:g} seconds')
        elif steps:
            how = signal.Signals(-child.returncode).name if child.returncode < 0 else f'code {child.returncode}'
            yield steps.pop(0), dict(error=f'its process ended with {how}: {one_line(last, 160)}')


def main(config: str, *steps: str) -> None:
    """Run steps and print a line of JSON for each, with ``findings``, ``toolkits`` or ``error``."""
    answers = os.fdopen(os.dup(1), 'w', encoding='utf-8')
    os.dup2(2, 1)  # output of libraries goes to stderr
    for step in steps:
        try:
            answer = _run(step, config)
        except BaseException as error:  # an import may even call sys.exit
            answer = dict(error=f'{type(error).__name__}: {error}')
        print(json.dumps(answer), file=answers, flush=True)
    os._exit(0)  # some libraries abort in their finalisers


def _run(step: str, path: str) -> dict:
    if step in CONFIG_STEPS:
        from mixpro_mm.doctor import config

        if step == 'toolkits':
            return dict(toolkits=sorted(config.toolkits_of(config.load(path))))
        findings = config.check_config(path) if step == 'config' else config.check_contents(path)
    elif step in TESTS:
        findings = TESTS[step]()
    else:
        imported = importlib.import_module(step)
        for part in ('models', 'datasets', 'engine', 'evaluation') if step in TOOLKITS else ():
            importlib.import_module(f'{step}.{part}')  # as its registries do
        findings = [ok(step, getattr(imported, '__version__', 'imports'))]
    return dict(findings=[asdict(finding) for finding in findings])


def _test_torch() -> list[Finding]:
    """Check that torch can use the GPUs, unless ``CUDA_VISIBLE_DEVICES`` hides them."""
    import torch

    torch.ones(2).numpy()  # raises for torch before 2.3 with NumPy 2
    error = None
    with warnings.catch_warnings(record=True) as caught:  # an old driver only causes a warning
        warnings.simplefilter('always')
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        try:
            for index in range(count):
                torch.ones(8, device=f'cuda:{index}').sum().item()
        except RuntimeError as raised:  # for example, no kernels for this architecture
            error = str(raised)
    found = [torch.cuda.get_device_name(index) for index in range(count)] or glob.glob('/dev/nvidia[0-9]*')
    cuda = torch.version.cuda
    build = f'torch {torch.__version__} built {f"for CUDA {cuda}" if cuda else "without CUDA"}'
    gpu = ok('GPU', f'{count} x {" and ".join(sorted(set(found)))}; {build}')
    if not found or os.environ.get('CUDA_VISIBLE_DEVICES') in ('', '-1'):
        gpu = ok('GPU', 'none: training runs on the CPU')
    elif error or not count:  # pip keeps an installed build of the same version
        why = one_line(error or (caught[-1].message if caught else 'CUDA is not available'), 160)
        fix = f'{PIP} uninstall -y torch torchvision  # then install the build for the CUDA of the driver: pytorch.org'
        gpu = problem('GPU', f'{build} cannot use {found[0]}: {why}', fix)
    return [ok('torch', torch.__version__), gpu]


def _test_mmengine() -> list[Finding]:
    """Read a checkpoint with a log, as Runner writes it. By default, ``torch.load`` raises (mmengine#1655)."""
    import mmengine
    import torch
    from mmengine.logging import HistoryBuffer
    from mmengine.runner import CheckpointLoader
    from mmengine.utils.dl_utils import collect_env

    with tempfile.NamedTemporaryFile(suffix='.pth') as file:
        torch.save(dict(message_hub=HistoryBuffer([1.0], [1])), file.name)
        try:
            CheckpointLoader.load_checkpoint(file.name, map_location='cpu')
        except Exception as error:
            raise RuntimeError(f'cannot read its own checkpoints with torch {torch.__version__}: {error}') from error
    tools = [f'{key} {value}' for key, value in collect_env().items() if key in ('GCC', 'CUDA_HOME', 'NVCC')]
    return [ok('mmengine', f'{mmengine.__version__}, reads its own checkpoints; {", ".join(tools)}')]


def _test_ops() -> list[Finding]:
    """Run ops on each kind of device. Those that were compiled without CUDA raise on a GPU."""
    import torch
    from mmcv import _ext
    from mmcv.ops import get_compiler_version, nms, roi_align

    compiler = get_compiler_version()
    kind = compiler.partition(', ')[2] if _ext.__file__.endswith('.py') else f'compiled by {compiler}'
    devices = ['cpu', *['cuda'] * torch.cuda.is_available()]
    for device in devices:
        boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4.1], [8, 8, 9, 9]], device=device)
        try:
            kept = nms(boxes, boxes.new_tensor([0.9, 0.8, 0.7]), 0.5)[1].tolist()
            mean = roi_align(boxes.new_ones(1, 1, 8, 8), boxes.new_tensor([[0.0, 0, 0, 4, 4]]), 1).item()
        except RuntimeError as error:
            raise RuntimeError(f'{kind}, do not run on {device}: {error}') from error
        assert (kept, mean) == ([0, 2], 1), f'on {device}, nms keeps boxes {kept}, not [0, 2], roi_align of 1 is {mean}'
    return [ok('mmcv.ops', f'{kind}, run on {" and ".join(devices)}')]


def _test_registries() -> list[Finding]:
    """Check that each ``mixpro_mm.NAME`` resolves from the scope of each toolkit."""
    from mixpro_mm import registry as own

    names, lost = set(), []
    toolkits = [each for each in TOOLKITS if each == 'mmpretrain' or f'{each}.models' in sys.modules]
    for child in (getattr(own, kind) for kind in own.__all__ if kind != 'register'):
        child.import_from_location()
        names |= set(child.module_dict)
        for toolkit in toolkits if child.root.scope == 'mmengine' else ['mmpretrain']:
            with child.root.switch_scope_and_registry(toolkit) as registry:
                found = {name: registry.get(f'mixpro_mm.{name}') for name in child.module_dict}
            lost += [f'mixpro_mm.{name} from {toolkit}' for name in found if found[name] is not child.module_dict[name]]
    if lost:
        return [problem('registries', f'{len(lost)} classes are not found, such as {lost[0]}', OWN)]
    return [ok('registries', f'{len(names)} classes mixpro_mm.* resolve from {", ".join(toolkits)}')]


TESTS = {'torch': _test_torch, 'mmengine': _test_mmengine, 'mmcv.ops': _test_ops, 'registries': _test_registries}

if __name__ == '__main__':
    main(*sys.argv[1:])
