"""k-NN and logistic regression against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from mixpro_mm.functional import probe


def clusters(count, seed, dims=8, classes=4):
    """Return overlapping clusters: features (count, dims) float32 and labels (count,)."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    centers = torch.randn(classes, dims, generator=torch.Generator().manual_seed(0))
    return centers[labels] + torch.randn(count, dims, generator=draw), labels


@pytest.mark.parametrize('chunk', [1, 7 * 300, 2**26], ids=['one query', '7 queries', 'all'])
def test_neighbors_vote_as_in_scikit_learn(chunk, monkeypatch):
    monkeypatch.setattr(probe, 'CHUNK', chunk)
    (features, labels), (queries, _) = clusters(300, 1), clusters(90, 2)
    found = probe.knn_classify(queries, features, labels, ks=(1, 10, 50), temperature=0.2)
    for k, predicted in found.items():
        reference = KNeighborsClassifier(k, metric='cosine', weights=lambda distance: np.exp((1 - distance) / 0.2))
        assert predicted.tolist() == reference.fit(features, labels).predict(queries).tolist()
    assert list(found) == [1, 10, 50]


def test_a_close_neighbor_outvotes_two_distant_ones():
    features = torch.tensor([[1.0, 0.1], [0.2, 1.0], [0.2, 1.0]])
    query, labels = torch.tensor([[1.0, 0.0]]), torch.tensor([1, 0, 0])
    assert probe.knn_classify(query, features, labels, ks=[3])[3].tolist() == [1]
    assert probe.knn_classify(query, features, labels, ks=[3], temperature=10.0)[3].tolist() == [0]


def test_a_low_temperature_leaves_the_nearest():
    features, labels = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.8, 0.6]]), torch.tensor([1, 0, 0])
    for temperature in (1e-4, 0.01, 0.02):
        assert probe.knn_classify(features[:1], features, labels, [3], temperature)[3].tolist() == [1]


def test_more_neighbors_than_features_raise():
    features, labels = clusters(30, 1)
    with pytest.raises(ValueError, match=r'200 neighbors .* 30 features'):
        probe.knn_classify(features, features, labels)


@pytest.mark.parametrize('c', [1e-3, 0.1, 10.0])
@pytest.mark.parametrize('start', [False, True], ids=['from zero', 'from another solution'])
def test_logistic_regression_has_the_solution_of_scikit_learn(c, start, monkeypatch):
    monkeypatch.setattr(probe, 'CHUNK', 4 * 150)  # 400 examples in three parts
    features, labels = clusters(400, 3)
    features = features.double()
    earlier = probe.fit_logistic(features, labels, 1.0)[:2] if start else None
    before = [value.clone() for value in earlier or ()]
    weight, bias, converged = probe.fit_logistic(features, labels, c, earlier)
    reference = LogisticRegression(C=c, tol=1e-10, max_iter=10000).fit(features, labels)
    assert converged
    np.testing.assert_allclose(weight, reference.coef_, atol=2e-3)
    shift = bias - torch.from_numpy(reference.intercept_)  # adding a constant to all scores changes nothing
    np.testing.assert_allclose(shift - shift.mean(), 0, atol=2e-3)
    assert all(torch.equal(value, same) for value, same in zip(before, earlier or (), strict=True))


def test_an_unfinished_fit_says_so():
    features, labels = clusters(400, 3)
    assert not probe.fit_logistic(features, labels, 10.0, max_iter=2)[2]
