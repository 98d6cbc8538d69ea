import pytest
import timm
from mmengine.utils import get_object_from_string
from mmpretrain.models import ImageClassifier, LinearClsHead, ResNet, TimmClassifier, VisionTransformer, XCiT
from torch import nn

from mixpro_mm.models import PVT, CASwin, ClassTokenViT
from mixpro_mm.utils.backbone_spec import BACKBONE_SPECS, backbone_spec, find_backbone

XCIT = dict(patch_size=16, embed_dims=32, depth=1, num_heads=2)
SMALL = dict(embed_dim=32, depth=1, num_heads=2, num_classes=3)
FOUR = dict.fromkeys(('num_heads', 'mlp_ratios', 'depths', 'sr_ratios'), (1, 1, 1, 1))
PVT_MICRO = dict(embed_dims=(8, 8, 8, 16), **FOUR)
CA_SWIN = dict(embed_dims=8, depths=[1, 1, 1, 2], num_heads=[1, 1, 1, 2])
# spec -> (a backbone that has it, tokens before the patches)
MODELS = {
    'VisionTransformer of mmpretrain': (lambda: VisionTransformer('deit-tiny'), 1),
    'XCiT of mmpretrain': (lambda: XCiT(**XCIT), 1),
    'VisionTransformer of timm': (lambda: timm.create_model('deit_tiny_distilled_patch16_224', depth=1), 2),
    'Cait of timm': (lambda: timm.create_model('cait_xxs24_224', **SMALL), 1),
    'Xcit of timm': (lambda: timm.create_model('xcit_nano_12_p16_224', **SMALL), 1),
    'PVT of mixpro_mm': (lambda: PVT(PVT_MICRO), 1),
    'CASwin of mixpro_mm': (lambda: CASwin(CA_SWIN), 1),
    'ClassTokenViT of mixpro_mm': (lambda: ClassTokenViT(arch='deit-tiny'), 1),
}


@pytest.mark.parametrize('path', BACKBONE_SPECS)
def test_a_spec_leads_to_attention_and_counts_the_tokens(path):
    assert issubclass(get_object_from_string(path), nn.Module)
    build, prefix = MODELS[f'{path.rsplit(".", 1)[1]} of {path.split(".")[0]}']
    backbone = build()
    spec = backbone_spec(backbone)
    assert spec is BACKBONE_SPECS[path]
    attention = [module for module in backbone.modules() if hasattr(module, 'num_heads')]
    assert attention[-1] is spec.last_block(backbone).attn
    assert spec.prefix_tokens(backbone) == prefix
    assert spec.norm is None or isinstance(getattr(backbone, spec.norm), nn.LayerNorm)


def test_classes_that_extend_a_known_one_share_its_layout():
    class Mine(PVT):
        pass

    assert backbone_spec(Mine(PVT_MICRO)) is BACKBONE_SPECS['mixpro_mm.models.pvt.PVT']
    assert backbone_spec(ResNet(18)) is None


def test_a_backbone_is_found_through_classifiers_and_wrappers():
    classifier = ImageClassifier(backbone=PVT(PVT_MICRO), head=LinearClsHead(3, 16))
    for model in (classifier, nn.DataParallel(classifier), classifier.backbone):
        assert find_backbone(model) is classifier.backbone
    wrapped = TimmClassifier('cait_xxs24_224', **SMALL)
    assert find_backbone(wrapped) is wrapped.model
