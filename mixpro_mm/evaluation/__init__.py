"""Metrics and test loops: calibration, corruptions, out-of-distribution detection, occlusion, probes of frozen
features, and test records."""

from mixpro_mm.evaluation.corruption_metric import CorruptionMetric
from mixpro_mm.evaluation.metrics import CalibrationMetric, OODMetric
from mixpro_mm.evaluation.occlusion import OcclusionTestLoop
from mixpro_mm.evaluation.probe import ProbeTestLoop
from mixpro_mm.evaluation.real_labels import RealLabelAccuracy
from mixpro_mm.evaluation.record import RecordedTestLoop

__all__ = ['CalibrationMetric', 'CorruptionMetric', 'OODMetric', 'OcclusionTestLoop', 'ProbeTestLoop']
__all__ += ['RealLabelAccuracy', 'RecordedTestLoop']
