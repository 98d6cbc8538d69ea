"""One mend in the host, without which the parameters of a loss are lost behind a model of timm or Hugging Face."""

from mmpretrain.models import HuggingFaceClassifier, TimmClassifier

__all__ = ['mend_model_classifiers']


def mend_model_classifiers() -> None:
    """Let ``TimmClassifier`` and ``HuggingFaceClassifier`` find the parameters of their ``loss_module`` again.

    Both save ``model.*`` without its prefix, so that checkpoints fit timm, and put it before every key they load; that
    of a loss, ``loss_module.*``, never had it, and would be looked for in vain. Here it is spared. Only classifiers
    built later are mended.
    """
    for classifier in (TimmClassifier, HuggingFaceClassifier):
        add_prefix = classifier._add_state_dict_prefix
        if not hasattr(add_prefix, 'mended'):
            classifier._add_state_dict_prefix = staticmethod(_sparing_the_loss(add_prefix))


def _sparing_the_loss(add_prefix):
    def add_prefix_to_model(state_dict, prefix, *args):
        kept = {key: state_dict.pop(key) for key in list(state_dict) if key.startswith(f'{prefix}loss_module.')}
        add_prefix(state_dict, prefix, *args)
        state_dict.update(kept)

    add_prefix_to_model.mended = True
    return add_prefix_to_model
