"""The steps of the doctor: each imports one package and tries what training needs of it, in a child process.

An import that aborts or hangs ends the child, not the doctor. A step returns findings and raises whatever an import
raises. Nothing heavy is imported before its step.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

from mixpro_mm.doctor.environment import OWN, PIP
from mixpro_mm.doctor.finding import Finding, ok, one_line, problem

__all__ = ['HOSTS', 'OF_CONFIG', 'OPTIONAL', 'STEPS', 'main', 'run_steps']

HOSTS = ('mmpretrain', 'mmseg', 'mmdet')
OF_CONFIG = ('hosts', 'config', 'data')
STEPS = (
    *('torch', 'torchvision', 'cv2', 'mmengine', 'mmcv', 'hosts', 'mmcv.ops', 'mmpretrain', 'mmseg', 'mmdet', 'mim'),
    *('registries', 'config', 'data'),
)
IMPORTED: list[str] = []  # packages, in the child process
# step without which others work -> toolkits that need it
OPTIONAL = {'mmcv.ops': ['mmdet'], 'mmseg': ['mmseg'], 'mmdet': ['mmdet'], 'mim': []}


def run_steps(steps: list[str], config: str | None = None, timeout_s: float = 600) -> Iterator[tuple[str, dict]]:
    """Yield each step with its answer, see ``main``; ``{'error': ...}`` where the process ended.

    A step may take ``timeout_s`` seconds: packages and data may be on a network disk.
    """
    steps = list(steps)
    while steps:
        with tempfile.TemporaryFile() as stderr:
            command = [sys.executable, '-m', 'mixpro_mm.doctor.steps', config or '', *steps]
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, encoding='utf-8')
            line = None
            try:
                while line != '' and steps:
                    timer, started = threading.Timer(timeout_s, child.kill), time.monotonic()
                    timer.start()
                    if line := child.stdout.readline():
                        timer.cancel()
                        yield steps.pop(0), json.loads(line)
                child.wait()
            finally:  # also if the caller stops, or is interrupted
                timer.cancel()
                child.kill()
                child.stdout.close()
            late = time.monotonic() - started >= timeout_s
            stderr.seek(0)
            last = stderr.read().decode('utf-8', 'replace').strip().rpartition('\n')[2]
        if steps:
            how = signal.Signals(-child.returncode).name if child.returncode < 0 else f'code {child.returncode}'
            error = f'its process ended with {how}: {one_line(last, 160)}'
            yield steps.pop(0), dict(error=f'did not finish within {timeout_s:g} seconds' if late else error)


def main(config: str, *steps: str) -> None:
    """Run steps and print one line of JSON each: ``findings``, ``hosts`` or ``error``. Libraries print to stderr."""
    answers = os.fdopen(os.dup(1), 'w', encoding='utf-8')
    os.dup2(2, 1)
    for step in steps:
        try:
            answer = _run(step, config)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever an import does, sys.exit included
            answer = dict(error=f'{type(error).__name__}: {error}')
        print(json.dumps(answer), file=answers, flush=True)
    os._exit(0)  # some libraries abort while they are torn down


def _run(step: str, path: str) -> dict:
    if step in OF_CONFIG:
        from mixpro_mm.doctor import config

        if step == 'hosts':
            return dict(hosts=sorted(config.hosts_of(config.load(path))))
        findings = config.check_config(path) if step == 'config' else config.check_contents(path)
    else:
        findings = TRIED[step]() if step in TRIED else [_imported(step)]
    return dict(findings=[asdict(finding) for finding in findings])


def _imported(module: str) -> Finding:
    """Import a package; of a toolkit also all models, data sets and transforms, as its registries do."""
    imported = importlib.import_module(module)
    for part in ('models', 'datasets', 'engine', 'evaluation') if module in HOSTS else ():
        importlib.import_module(f'{module}.{part}')
    IMPORTED.append(module)
    return ok(module, getattr(imported, '__version__', 'imports'))


def _try_torch() -> list[Finding]:
    import torch

    torch.ones(2).numpy()  # raises for torch before 2.3 with NumPy 2
    return [ok('torch', torch.__version__), _check_gpu()]


def _check_gpu() -> Finding:
    """A GPU that torch cannot use is a problem, unless ``CUDA_VISIBLE_DEVICES`` hides it."""
    import torch

    error = None
    with warnings.catch_warnings(record=True) as said:  # an old driver is only a warning
        warnings.simplefilter('always')
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        try:
            for index in range(count):
                torch.ones(8, device=f'cuda:{index}').sum().item()
        except RuntimeError as raised:  # such as no kernels for this architecture
            error = str(raised)
    found = [torch.cuda.get_device_name(index) for index in range(count)]
    build = f'torch {torch.__version__} built for CUDA {torch.version.cuda}'
    if found and not error:
        return ok('GPU', f'{", ".join(f"{number} x {name}" for name, number in Counter(found).items())}; {build}')
    found = found or _nvidia_smi()
    if not found or os.environ.get('CUDA_VISIBLE_DEVICES') in ('', '-1'):
        return ok('GPU', 'none: training runs on the CPU')
    # pip would keep the installed build of the same version
    fix, version = f'{PIP} uninstall -y torch torchvision', torch.__version__.partition('+')[0]
    if torch.version.cuda:
        fix += f'  # then install torch {version} for the CUDA of the driver, see pytorch.org/get-started'
    else:
        fix, build = f'{fix} && {PIP} install torch=={version} torchvision', f'torch {version} built without CUDA'
    why = one_line(error or (said[-1].message if said else 'CUDA is not available'), 160)
    return problem('GPU', f'{build} cannot use {found[0]}: {why}', fix)


def _nvidia_smi(timeout_s: float = 20) -> list[str]:
    """'NVIDIA H100, driver 580.1' for each GPU; empty if it does not answer, as when the driver hangs."""
    query = ['nvidia-smi', '--query-gpu=name,driver_version', '--format=csv,noheader']
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=timeout_s)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.replace(', ', ', driver ') for line in done.stdout.splitlines()]


def _try_mmengine() -> list[Finding]:
    """A checkpoint as Runner writes it contains the log, which ``torch.load`` refuses by default (mmengine#1655)."""
    import mmengine
    import torch
    from mmengine.logging import HistoryBuffer
    from mmengine.runner import CheckpointLoader
    from mmengine.utils.dl_utils import collect_env

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'checkpoint.pth')
        torch.save(dict(message_hub=HistoryBuffer([1.0], [1])), path)
        try:
            CheckpointLoader.load_checkpoint(path, map_location='cpu')
        except Exception as error:
            raise RuntimeError(f'cannot read its own checkpoints with torch {torch.__version__}: {error}') from error
    tools = [f'{key} {value}' for key, value in collect_env().items() if key in ('GCC', 'CUDA_HOME', 'NVCC')]
    return [ok('mmengine', f'{mmengine.__version__}, reads its own checkpoints; {", ".join(tools)}')]


def _try_ops() -> list[Finding]:
    import torch
    from mmcv.ops import get_compiling_cuda_version, nms

    for device in ('cpu', 'cuda') if torch.cuda.is_available() else ('cpu',):
        boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4.1], [8, 8, 9, 9]], device=device)
        kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7], device=device), 0.5)[1].tolist()
        assert kept == [0, 2], f'nms on {device} kept boxes {kept}, not [0, 2]'
    return [ok('mmcv.ops', f'run, built for CUDA: {get_compiling_cuda_version()}')]


def _try_registries() -> list[Finding]:
    """Every ``mixpro_mm.NAME`` resolves from the scope of every toolkit."""
    from mixpro_mm import registry as own

    hosts, names, lost = [host for host in HOSTS if host in ('mmpretrain', *IMPORTED)], set(), []
    for child in (getattr(own, kind) for kind in own.__all__ if kind != 'register'):
        child.import_from_location()
        names |= set(child.module_dict)
        for host in hosts if child.root.scope == 'mmengine' else ['mmpretrain']:
            with child.root.switch_scope_and_registry(host) as registry:
                found = {name: registry.get(f'mixpro_mm.{name}') for name in child.module_dict}
            lost += [f'mixpro_mm.{name} from {host}' for name in found if found[name] is not child.module_dict[name]]
    if lost:
        return [problem('registries', f'{len(lost)} classes are not found, such as {lost[0]}', OWN)]
    return [ok('registries', f'{len(names)} classes mixpro_mm.* resolve from {", ".join(hosts)}')]


TRIED = {'torch': _try_torch, 'mmengine': _try_mmengine, 'mmcv.ops': _try_ops, 'registries': _try_registries}

if __name__ == '__main__':
    main(*sys.argv[1:])
