import itertools
import math

import pytest
import torch

from mixpro_mm.augments.grid_mix import GridMix
from tests.augments.kit import unique_batch


@pytest.mark.parametrize(('rounding', 'operation'), [('floor', math.floor), ('ceil', math.ceil)])
@pytest.mark.parametrize('size', [(32, 32), (22, 33), (7, 4)])
def test_number_of_cells_follows_tau(rounding, operation, size, monkeypatch):
    torch.manual_seed(0)
    augment = GridMix(rounding=rounding)
    borders = [[math.ceil(i * length / 4) for i in range(5)] for length in size]
    for tau in (0.0, 0.01, 0.5, 0.72, 1.0):
        monkeypatch.setattr(augment, 'draw_ratio', lambda batch, tau=tau: torch.full((batch,), tau))
        augment(*unique_batch(5, size))
        mask, own = augment.pop_target().mask[:, 0], torch.zeros(5)
        for (top, bottom), (left, right) in itertools.product(*map(itertools.pairwise, borders)):
            assert abs((bottom - top) - size[0] / 4) < 1
            shows = mask[:, top:bottom, left:right].flatten(1).float().mean(1)
            assert set(shows.tolist()) <= {0.0, 1.0}
            own += shows
        assert own.tolist() == [operation(16 * tau)] * 5
