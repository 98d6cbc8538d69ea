"""Changelog, citation and pre-commit configuration agree with the package."""

import re

import yaml

from mixpro_mm import __version__
from tests.docs.pages import ROOT


def read(name):
    return (ROOT / name).read_text(encoding='utf-8')


def test_pre_commit_uses_the_ruff_of_the_constraints():
    ruff = re.search(r'^ruff==(\S+)$', read('requirements/constraints.txt'), re.MULTILINE)[1]
    revisions = {repo['repo']: repo['rev'] for repo in yaml.safe_load(read('.pre-commit-config.yaml'))['repos']}
    assert revisions['https://github.com/astral-sh/ruff-pre-commit'] == f'v{ruff}'


def test_the_citation_names_this_version_and_the_paper():
    citation = yaml.safe_load(read('CITATION.cff'))
    assert citation['cff-version'] == '1.2.0' and citation['version'] == __version__
    assert f'## [{__version__}] - {citation["date-released"]}\n' in read('CHANGELOG.md')
    paper = citation['preferred-citation']
    names = [f'{author["given-names"]} {author["family-names"]}' for author in paper['authors']]
    assert names == ['Qihao Zhao', 'Yangyu Huang', 'Wei Hu', 'Fan Zhang', 'Jun Liu']
    assert paper['title'].startswith('MixPro: Data Augmentation with MaskMix and Progressive Attention Labeling')
    assert paper['year'] == 2023 and paper['url'] in read('README.md')
