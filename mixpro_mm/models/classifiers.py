"""Patches of mmpretrain for classifiers around timm and Hugging Face models."""

import functools

from mmpretrain.models import HuggingFaceClassifier, TimmClassifier

__all__ = ['patch_model_classifiers']


def patch_model_classifiers() -> None:
    """Patch ``TimmClassifier`` and ``HuggingFaceClassifier``; only classifiers built later are affected.

    Both add the prefix ``model.`` to all keys they load, also to ``loss_module.*``, which is saved without it; the
    patch excludes these keys. Their ``init_weights`` reinitialises the inner model and discards weights of
    ``pretrained=True`` or ``checkpoint_path``; the patch keeps them.
    """
    for classifier in (TimmClassifier, HuggingFaceClassifier):
        classifier._add_state_dict_prefix = staticmethod(_exclude_loss(classifier._add_state_dict_prefix))
        classifier.init_weights = _keep_weights(classifier.init_weights)


def _keep_weights(init_weights):
    @functools.wraps(init_weights)
    def patched_init_weights(self):
        self.model.is_init = True  # mmengine skips initialised children
        init_weights(self)

    return patched_init_weights


def _exclude_loss(add_prefix):
    def patched_add_prefix(state_dict, prefix, *args):
        kept = {key: state_dict.pop(key) for key in list(state_dict) if key.startswith(f'{prefix}loss_module.')}
        add_prefix(state_dict, prefix, *args)
        state_dict.update(kept)

    return patched_add_prefix
