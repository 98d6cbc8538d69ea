"""Two patches of the host: classifiers around models of timm and Hugging Face keep weights, and those of a loss."""

import functools

from mmpretrain.models import HuggingFaceClassifier, TimmClassifier

__all__ = ['patch_model_classifiers']


def patch_model_classifiers() -> None:
    """Let ``TimmClassifier`` and ``HuggingFaceClassifier`` find the parameters of their ``loss_module`` again.

    Both save ``model.*`` without its prefix, so that checkpoints fit timm, and put it before every key they load; that
    of a loss, ``loss_module.*``, never had it, and would be looked for in vain. Here it is spared. Only classifiers
    built later are patched.

    Their ``init_weights``, which Runner calls, calls that of the model inside, which draws all weights again: those of
    ``pretrained=True`` or ``checkpoint_path`` are lost without a message. The model is initialized where it is created.
    """
    for classifier in (TimmClassifier, HuggingFaceClassifier):
        add_prefix = classifier._add_state_dict_prefix
        if not hasattr(add_prefix, 'patched'):
            classifier._add_state_dict_prefix = staticmethod(_sparing_the_loss(add_prefix))
        if not hasattr(classifier.init_weights, 'patched'):
            classifier.init_weights = _keeping_the_weights(classifier.init_weights)


def _keeping_the_weights(init_weights):
    @functools.wraps(init_weights)
    def init_weights_but_the_models(self):
        self.model.is_init = True  # what mmengine asks before it calls init_weights of a child
        init_weights(self)

    init_weights_but_the_models.patched = True
    return init_weights_but_the_models


def _sparing_the_loss(add_prefix):
    def add_prefix_to_model(state_dict, prefix, *args):
        kept = {key: state_dict.pop(key) for key in list(state_dict) if key.startswith(f'{prefix}loss_module.')}
        add_prefix(state_dict, prefix, *args)
        state_dict.update(kept)

    add_prefix_to_model.patched = True
    return add_prefix_to_model
