"""Tasks that take turns, so that whatever slows the machine down for a while slows all of them down."""

import math
import time
from collections.abc import Callable
from typing import TypeVar

import torch

__all__ = ['LEAST_ROUNDS', 'interleave']

LEAST_ROUNDS = 3
Figure = TypeVar('Figure')


def interleave(
    tasks: dict[str, Callable[[], Figure]],
    rounds: int,
    seed: int = 0,
    budget_s: float = math.inf,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, list[Figure]]:
    """Do every task once per round, each round in an order of its own; what the first round gives is thrown away.

    Args:
        tasks: name -> what gives one figure.
        rounds: to keep; fewer, but at least three, if the budget is used up before.
        seed: of the orders.
        budget_s: seconds after which no further round begins.
        report: told after every round how many are done and how many there will be at most, warm-up included.

    Returns:
        name -> a figure per kept round; the n-th figures of all tasks belong to the same round.
    """
    generator = torch.Generator().manual_seed(seed)
    names, figures, begin = list(tasks), {name: [] for name in tasks}, time.perf_counter()
    for number in range(rounds + 1):
        if number > min(LEAST_ROUNDS, rounds) and time.perf_counter() - begin > budget_s:
            break
        for place in torch.randperm(len(names), generator=generator).tolist():
            figure = tasks[names[place]]()
            if number:
                figures[names[place]].append(figure)
        report(number + 1, rounds + 1)
    return figures
