"""Until the figure modules move: what they import from here is in mixpro_mm.report."""

import sys

from mixpro_mm.report import labels, paper, statistics, tables

statistics.UNDECIDED = None
for module in (labels, paper, statistics, tables):
    sys.modules[f'{__name__}.{module.__name__.rpartition(".")[2]}'] = module
