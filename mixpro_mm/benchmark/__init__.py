"""Speed and memory of a training step and of loading, all methods paired in one run."""

from mixpro_mm.benchmark.cli import main, run_benchmark
from mixpro_mm.benchmark.methods import BACKBONES, METHODS
from mixpro_mm.benchmark.workbench import Settings

__all__ = ['BACKBONES', 'METHODS', 'Settings', 'main', 'run_benchmark']
