# The hooks of every run at paper scale; a config assigns default_hooks = _base_.guards. (mmengine lets no two bases
# define the same key, and default_hooks is also in the runtime of each toolkit.) What they check: docs/doctor.md
guards = dict(
    checkpoint=dict(type='mixpro_mm.AtomicCheckpointHook', max_keep_ckpts=2),
    iter_seed=dict(type='mixpro_mm.IterSeedHook'),  # resumes bit by bit
    checkpoint_check=dict(type='mixpro_mm.CheckpointCheckHook'),
    class_check=dict(type='mixpro_mm.ClassCheckHook'),
    nonfinite_loss=dict(type='mixpro_mm.NonFiniteLossHook'),
)
