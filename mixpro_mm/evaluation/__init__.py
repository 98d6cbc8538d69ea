"""Metrics and test loops: calibration, out-of-distribution detection, occlusion, and test records."""

from mixpro_mm.evaluation.metrics import CalibrationMetric, OODMetric
from mixpro_mm.evaluation.occlusion import OcclusionTestLoop
from mixpro_mm.evaluation.record import RecordedTestLoop

__all__ = ['CalibrationMetric', 'OODMetric', 'OcclusionTestLoop', 'RecordedTestLoop']
