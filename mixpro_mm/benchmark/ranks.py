"""Several processes that train together, as one per GPU does: each keeps its bench and takes orders from the caller."""

import contextlib
import multiprocessing
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait

import torch
from mmengine.model import MMDistributedDataParallel
from torch import distributed
from torch.profiler import ProfilerActivity, profile

from mixpro_mm.benchmark.memory import peak_bytes
from mixpro_mm.benchmark.models import BACKBONES
from mixpro_mm.benchmark.workbench import Session, Settings, Workbench

__all__ = ['Ranks', 'reduced_bytes']

BYTES = 4  # of a number that is summed up between ranks: gradients are fp32, under autocast too


class Ranks:
    """As many processes as ranks, joined by gloo on a CPU and by nccl on GPUs; DDP as mmengine's runner sets it up.

    Use as a context; the processes end with it.

    Args:
        count: of ranks, at least 2. On CUDA each needs a GPU of its own.
        settings: of every rank, each with its own batch; masks are drawn with a seed of their own, too.
        names: of methods, as of ``METHODS``.

    Raises:
        RuntimeError: on entering and in every call, with the sentence of the first rank that failed or ended.
    """

    def __init__(self, count: int, settings: Settings, names: Sequence[str]):
        self.count, self.settings, self.names = count, settings, list(names)

    def __enter__(self):
        context = multiprocessing.get_context('spawn')
        self._folder = tempfile.TemporaryDirectory()
        self._ends, self._processes = [], []
        backbone = BACKBONES.get(self.settings.backbone)
        for rank in range(self.count):
            end, other = context.Pipe()
            given = other, rank, self.count, self.settings, self.names, backbone, f'file://{self._folder.name}/store'
            self._processes.append(context.Process(target=_serve, args=given, daemon=True))
            self._processes[-1].start()
            other.close()
            self._ends.append(end)
        try:
            self._answers()
        except BaseException as error:
            self.__exit__(type(error))
            raise
        return self

    def __exit__(self, *error):
        for process, end in zip(self._processes, self._ends, strict=True):
            end.close()  # whoever waits for an order goes home
            process.join(0 if error and error[0] else 5)
            process.kill()
            process.join()
        self._folder.cleanup()

    def seconds(self, name: str) -> float:
        """One training step with this method on all ranks at once, with update and hooks; the slowest rank counts."""
        return max(self._ask('seconds', name))

    def peak_bytes(self, name: str) -> int:
        """Most memory of a rank in a step; on a CPU without what DDP keeps, the copy of the gradients it sums up."""
        return max(self._ask('peak', name))

    def reduced_bytes(self, name: str) -> int:
        """What a rank hands over to be summed up with the others' in a step; the most of any rank."""
        return max(self._ask('reduced', name))

    def _ask(self, *order: str) -> list:
        for end in self._ends:
            with contextlib.suppress(OSError):  # of a rank that has ended: its answer says so
                end.send(order)
        return self._answers()

    def _answers(self) -> list:
        """One from each rank; all are heard at once, for a rank may wait in vain for another that has failed."""
        answers = {}
        while len(answers) < self.count:
            for end in wait([end for end in self._ends if end not in answers]):
                rank = self._ends.index(end)
                try:
                    works, answers[end] = end.recv()
                except (EOFError, OSError):  # the latter if it ended without reading its order
                    works, answers[end] = False, 'its process ended'
                if not works:
                    raise RuntimeError(f'rank {rank} of {self.count}: {answers[end]}')
        return [answers[end] for end in self._ends]


def reduced_bytes(session: Session) -> int:
    """Bytes of gradients, and of whatever else this process gives to collectives (barriers give none), in one step."""
    with session.attached(), profile(activities=[ProfilerActivity.CPU], record_shapes=True, acc_events=True) as seen:
        session.step()
        distributed.barrier()  # gloo records a collective a moment after its result is there
    shapes = [shape for event in seen.events() for shape in _summed(event)]
    return BYTES * sum(torch.Size(shape).numel() for shape in shapes)


def _summed(event) -> list[list[int]]:
    """Shapes of the tensors in a collective; barriers have none."""
    return [shape for shape in event.input_shapes if shape] if event.name.startswith(('gloo:', 'nccl:')) else []


def _serve(end: Connection, rank: int, count: int, settings: Settings, names: list, backbone: dict, store: str) -> None:
    """Be one rank: build, then answer orders ``(what, method)`` with ``(works, figure or sentence)``."""
    os.environ.setdefault('KINETO_LOG_LEVEL', '5')
    BACKBONES.setdefault(settings.backbone, backbone)  # one that the caller has entered
    on_gpu = settings.device == 'cuda'
    try:
        if on_gpu:
            torch.cuda.set_device(rank)
        distributed.init_process_group('nccl' if on_gpu else 'gloo', init_method=store, rank=rank, world_size=count)
        bench = Workbench(replace(settings, seed=settings.seed + rank))
        wrap = dict(device_ids=[rank]) if on_gpu else {}
        bench.trained = MMDistributedDataParallel(bench.model, broadcast_buffers=False, **wrap)
        sessions = {name: Session(bench, name) for name in names}
        for _ in range(2):  # after the first backward pass DDP sorts its gradients anew, and the ranks agree on how
            sessions[names[0]].turn()
        end.send((True, None))
        while True:
            what, name = end.recv()
            distributed.barrier()
            end.send((True, FIGURES[what](sessions[name])))
    except (EOFError, KeyboardInterrupt):
        pass  # no more orders
    except Exception as error:
        end.send((False, f'{type(error).__name__}: {" ".join(str(error).split())}'))
    # no farewell to the group: it would wait for ranks that have failed


FIGURES = dict(seconds=lambda session: session.turn()[1], peak=peak_bytes, reduced=reduced_bytes)
