"""torch.compile of the training step: does it work, does it stay compiled, what does it save?"""

from collections.abc import Callable, Sequence

import torch
from torch._dynamo.utils import counters

from mixpro_mm.benchmark.statistics import spread
from mixpro_mm.benchmark.workbench import Session, Workbench

__all__ = ['COMPILED', 'compilations', 'measure_compiled']

COMPILED = ('Baseline', 'CutMix', 'MaskMix', 'MixPro')  # the host's own, ours without the hook, ours with it
WARM_UP = 4  # steps within which everything there is to compile may come up
ENDLESS = dict(recompile_limit=10**6, accumulated_recompile_limit=10**6)


def compilations() -> int:
    """How many frames torch has compiled so far in this process."""
    return counters['frames']['total']


def measure_compiled(
    bench: Workbench, backend: str, steps: int, report: Callable[[int, int], None], names: Sequence[str] = COMPILED
) -> list[dict]:
    """A record a method: seconds a step, eager and compiled as mmengine does it, and what was compiled when.

    A failure is a result too: its first line stands in the record, and the figures are missing.

    Args:
        bench: where to train.
        backend: of torch.compile.
        steps: to time, and to watch for compilations after the warm-up.
        report: told how many methods are done.
        names: of methods.
    """
    records = []
    for done, name in enumerate(names):
        record = dict(section='compile', method=name, backend=backend, batch_images=bench.settings.batch, steps=steps)
        session = Session(bench, name)
        with session.attached():
            eager = [session.step()[1] for _ in range(steps + 1)][1:]
            record.update(eager_median_s=spread(eager)['median_s'])
            record.update(_compiled(session, backend, steps))
        records.append(record)
        report(done + 1, len(names))
    return records


def _compiled(session: Session, backend: str, steps: int) -> dict:
    model, optim = session.bench.model, session.bench.optim
    watch, optim.watch = optim.watch, None  # a mark inside would break the graph
    torch._dynamo.reset()
    first = compilations()
    try:
        model.train_step = torch.compile(model.train_step, backend=backend)
        # at its limit torch gives up and stays eager, which would look like nothing left to compile
        with torch._dynamo.config.patch(ENDLESS):
            warm_up = [session.step()[1] for _ in range(WARM_UP)]
            warm = compilations()
            seconds = [session.step()[1] for _ in range(steps)]
            after = compilations()
    except Exception as error:
        return dict(works=False, error=f'{type(error).__name__}: {str(error).strip().splitlines()[0]}')
    finally:
        vars(model).pop('train_step', None)
        optim.watch = watch
        torch._dynamo.reset()
    return dict(
        works=True,
        warm_up_s=sum(warm_up),
        compiled_median_s=spread(seconds)['median_s'],
        compilations_in_warm_up=warm - first,
        compilations_after=after - warm,
    )
