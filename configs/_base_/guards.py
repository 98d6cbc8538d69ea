# Hooks of every run at paper scale, see docs/doctor.md. A config assigns default_hooks = _base_.guards, because
# mmengine does not allow two bases with the same key and the runtime of each toolkit defines default_hooks.
guards = dict(
    checkpoint=dict(type='mixpro_mm.AtomicCheckpointHook', max_keep_ckpts=2),
    iter_seed=dict(type='mixpro_mm.IterSeedHook'),  # exact resume
    checkpoint_check=dict(type='mixpro_mm.CheckpointCheckHook'),
    class_check=dict(type='mixpro_mm.ClassCheckHook'),
    nonfinite_loss=dict(type='mixpro_mm.NonFiniteLossHook'),
)
