"""Classifiers on frozen features: weighted nearest neighbors and logistic regression.

Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", CVPR 2018 (votes of neighbors);
Oquab et al., "DINOv2", TMLR 2024 (logistic regression by L-BFGS).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear, normalize

from mixpro_mm.utils.arguments import positive_int

__all__ = ['fit_logistic', 'knn_classify']

CHUNK = 2**26  # similarities or logits computed at a time, 256 MiB


def knn_classify(
    queries: Tensor, features: Tensor, labels: Tensor, ks: Sequence[int] = (10, 20, 100, 200), temperature: float = 0.07
) -> dict[int, Tensor]:
    """Classify by the votes of the k most similar features; return the classes (Q,) for each k.

    The similarity s is the cosine; a neighbor votes for its class with the weight ``exp(s / temperature)``.

    Args:
        queries: (Q, D), in floating point.
        features: (N, D), of the same type and device.
        labels: (N,) int64, the classes of ``features``.
        ks: Numbers of neighbors, at most N.
        temperature: Positive number.

    Raises:
        ValueError: A ``k`` is not in 1 to N.
    """
    ks = [positive_int('k', k) for k in ks]
    if max(ks) > len(features):
        raise ValueError(f'k = {max(ks)} neighbors are more than the {len(features)} features')
    features, queries, classes = normalize(features, dim=1), normalize(queries, dim=1), int(labels.max()) + 1
    found = {k: [] for k in ks}
    for chunk in queries.split(max(CHUNK // len(features), 1)):
        similarity, nearest = (chunk @ features.T).topk(max(ks))
        # relative to the most similar, because exp(1 / temperature) may overflow; the order of the votes is the same
        votes, voted = ((similarity - similarity[:, :1]) / temperature).exp(), labels[nearest]
        for k, predicted in found.items():
            scores = votes.new_zeros(len(chunk), classes).scatter_add_(1, voted[:, :k], votes[:, :k])
            predicted.append(scores.argmax(dim=1))
    return {k: torch.cat(predicted) for k, predicted in found.items()}


def fit_logistic(
    features: Tensor, labels: Tensor, c: float, start: tuple[Tensor, Tensor] | None = None, max_iter: int = 1000
) -> tuple[Tensor, Tensor, bool]:
    """Fit multinomial logistic regression by L-BFGS; return weight (C, D), bias (C,) and whether it converged.

    Minimizes ``mean(cross entropy) + |weight|^2 / (2 c N)``, the objective of scikit-learn's ``LogisticRegression``. It
    has converged if no gradient exceeds 1e-4 and L-BFGS stopped by itself.

    Args:
        features: (N, D) in floating point, of similar scale in all dimensions.
        labels: (N,) int64; every class from 0 to C - 1 occurs.
        c: Inverse strength of the penalty, positive.
        start: Weight and bias to start from. Default: zeros.
        max_iter: Maximum number of iterations.
    """
    classes = int(labels.max()) + 1
    zeros = features.new_zeros(classes, features.shape[1]), features.new_zeros(classes)
    weight, bias = (value.clone().requires_grad_() for value in start or zeros)
    settings = dict(max_iter=max_iter, max_eval=2 * max_iter, tolerance_grad=1e-5, tolerance_change=1e-9)
    optimizer = torch.optim.LBFGS([weight, bias], line_search_fn='strong_wolfe', **settings)
    chunk = max(CHUNK // classes, 1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = weight.square().sum() / (2 * c * len(features))
        loss.backward()
        for part, truth in zip(features.split(chunk), labels.split(chunk), strict=True):
            error = cross_entropy(linear(part, weight, bias), truth, reduction='sum') / len(features)
            error.backward()
            loss = loss + error
        return loss.detach()

    optimizer.step(closure)
    stopped = optimizer.state[weight]['n_iter'] < max_iter
    closure()  # the gradients of the result
    converged = stopped and max(value.grad.abs().max().item() for value in (weight, bias)) <= 1e-4
    return weight.detach(), bias.detach(), converged
