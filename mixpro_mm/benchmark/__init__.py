"""What mixing and labelling cost: timed training steps of several methods, with the promises they are held to."""

from mixpro_mm.benchmark.cli import main, run_benchmark
from mixpro_mm.benchmark.methods import METHODS
from mixpro_mm.benchmark.models import BACKBONES
from mixpro_mm.benchmark.workbench import Settings

__all__ = ['BACKBONES', 'METHODS', 'Settings', 'main', 'run_benchmark']
