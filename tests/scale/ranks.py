"""One rank that does several runs, one after the other, each by the host's own script: ``ranks.py JOBS.json``.

Starting Python and importing the toolkits is most of what a short run costs, so runs share their processes. A run that
ends in an error leaves its sentence and lets the next one begin.
"""

import importlib.util
import json
import os
import runpy
import sys
import traceback
from pathlib import Path

import on_cpu  # noqa: F401, before mmengine gives the rank its device
import torch
from mmengine.dist import barrier, is_distributed
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

MANAGERS = DefaultScope, MMLogger, MessageHub, Visualizer


def do(job):
    """Run the host's script; '' or the error that ended it."""
    saved = [dict(manager._instance_dict) for manager in MANAGERS]
    folder = Path(importlib.util.find_spec(job['host']).submodule_search_locations[0])
    sys.argv = [str(folder / '.mim' / 'tools' / f'{job["tool"]}.py'), *job['arguments']]
    try:
        runpy.run_path(sys.argv[0], run_name='__main__')
    except Exception as error:
        traceback.print_exc()
        return f'{type(error).__name__}: {error}'
    finally:
        for manager, instances in zip(MANAGERS, saved, strict=True):
            manager._instance_dict.clear()
            manager._instance_dict.update(instances)
    return ''


def main(path):
    """Do all jobs and leave ``NAME.rankN`` with the error, empty if there was none."""
    torch.set_num_threads(1)
    for job in json.loads(Path(path).read_text()):
        error = do(job)
        Path(path).with_name(f'{job["name"]}.rank{os.environ.get("RANK", "0")}').write_text(error)
        if is_distributed():
            barrier()  # whoever is late must not meet the next run's messages


if __name__ == '__main__':
    main(sys.argv[1])
