"""Changelog, citation and pre-commit configuration agree with the package."""

import datetime
import re

import yaml

from mixpro_mm import __version__
from tests.docs.pages import ROOT, pages


def read(name):
    return (ROOT / name).read_text(encoding='utf-8')


def test_pre_commit_uses_the_ruff_of_the_constraints():
    ruff = re.search(r'^ruff==(\S+)$', read('requirements/constraints.txt'), re.MULTILINE)[1]
    revisions = {
        repo['repo'].rsplit('/', 1)[1]: repo['rev'] for repo in yaml.safe_load(read('.pre-commit-config.yaml'))['repos']
    }
    assert revisions['ruff-pre-commit'] == f'v{ruff}'


def test_pages_pass_the_whitespace_checks_of_pre_commit():
    for path in pages():
        text = path.read_text(encoding='utf-8')
        assert text.endswith('\n') and not text.endswith('\n\n'), path
        assert not re.search(r'[ \t]+$', text, re.MULTILINE), path


def test_the_changelog_is_in_the_format_of_keep_a_changelog():
    text = read('CHANGELOG.md')
    versions = re.findall(r'^## \[(\S+)\](?: - (\S+))?$', text, re.MULTILINE)
    assert versions[0] == ('Unreleased', '') and versions[1][0] == __version__
    dates = [datetime.date.fromisoformat(date) for _, date in versions[1:]]
    assert dates == sorted(dates, reverse=True)
    kinds = set(re.findall(r'^### (.+)$', text, re.MULTILINE))
    assert kinds <= {'Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security'}


def test_the_citation_names_this_version_and_the_paper():
    citation = yaml.safe_load(read('CITATION.cff'))
    known = 'cff-version message title type authors version date-released license abstract keywords preferred-citation'
    assert {'message', 'title', 'authors'} <= set(citation) <= set(known.split())  # of format 1.2.0
    assert citation['cff-version'] == '1.2.0' and citation['version'] == __version__
    assert f'## [{__version__}] - {citation["date-released"]}\n' in read('CHANGELOG.md')
    paper = citation['preferred-citation']
    names = [f'{author["given-names"]} {author["family-names"]}' for author in paper['authors']]
    assert names == ['Qihao Zhao', 'Yangyu Huang', 'Wei Hu', 'Fan Zhang', 'Jun Liu']
    assert paper['title'].startswith('MixPro: Data Augmentation with MaskMix and Progressive Attention Labeling')
    assert paper['year'] == 2023 and paper['url'] in read('README.md')
