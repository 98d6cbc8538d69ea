"""Files for people and tools beside the code: versions agree, the citation is whole, the licence is."""

import datetime
import hashlib
import re

import pytest
import yaml

from mixpro_mm import __version__
from tests.docs.pages import ROOT

APACHE = '0ffddef9e48f8a09aed5caf2d44f7ba1c1be2d9b8e0a6f693b1635b2d5566645'  # of the words of the licence as published


def read(name):
    return (ROOT / name).read_text(encoding='utf-8')


def pinned(package):
    return re.search(rf'^{re.escape(package)}==(\S+)$', read('requirements/constraints.txt'), re.MULTILINE)[1]


def test_pre_commit_has_the_ruff_of_the_constraints():
    repos = {repo['repo'].rsplit('/', 1)[1]: repo for repo in yaml.safe_load(read('.pre-commit-config.yaml'))['repos']}
    assert repos['ruff-pre-commit']['rev'] == f'v{pinned("ruff")}'
    hooks = {hook['id'] for repo in repos.values() for hook in repo['hooks']}
    assert hooks >= {'ruff-check', 'ruff-format', 'end-of-file-fixer', 'check-yaml', 'check-added-large-files'}


def test_files_pass_what_pre_commit_looks_at():
    """The simple checks of its configuration on the pages, so that a first commit changes nothing."""
    for path in [*ROOT.glob('*.md'), *(ROOT / 'docs').rglob('*.md'), *(ROOT / 'docs').rglob('*.py')]:
        text = path.read_text(encoding='utf-8')
        assert text.endswith('\n') and not text.endswith('\n\n'), path
        assert not re.search(r'[ \t]+$', text, re.MULTILINE), path


def test_the_changelog_leads_to_this_version():
    text = read('CHANGELOG.md')
    versions = re.findall(r'^## \[(\S+)\](?: - (\S+))?$', text, re.MULTILINE)
    assert versions[0] == ('Unreleased', '')
    numbers = [tuple(map(int, number.split('.'))) for number, _ in versions[1:]]
    assert numbers == sorted(numbers, reverse=True) and len(set(numbers)) == len(numbers)
    assert versions[1][0] == __version__
    dates = [datetime.date.fromisoformat(date) for _, date in versions[1:]]
    assert dates == sorted(dates, reverse=True)
    kinds = set(re.findall(r'^### (.+)$', text, re.MULTILINE))
    assert kinds <= {'Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security'}


@pytest.fixture
def citation():
    return yaml.safe_load(read('CITATION.cff'))


def test_the_citation_is_whole(citation):
    """What version 1.2.0 of the format asks for, and the keys it knows of those used here."""
    assert citation['cff-version'] == '1.2.0'
    assert {'message', 'title', 'authors'} <= set(citation)
    known = 'cff-version message title type authors version date-released license abstract keywords preferred-citation'
    assert set(citation) <= set(known.split())
    assert citation['type'] == 'software' and citation['license'] == 'Apache-2.0'
    assert citation['authors'] == [dict(name='The mixpro_mm authors')]
    assert citation['version'] == __version__
    assert re.search(rf'^## \[{re.escape(__version__)}\] - {citation["date-released"]}$', read('CHANGELOG.md'), re.M)
    datetime.date.fromisoformat(citation['date-released'])  # a string: the format has no date


def test_the_paper_is_what_to_cite(citation):
    paper = citation['preferred-citation']
    assert {'type', 'title', 'authors'} <= set(paper) and paper['type'] == 'conference-paper'
    names = [f'{author["given-names"]} {author["family-names"]}' for author in paper['authors']]
    assert names == ['Qihao Zhao', 'Yangyu Huang', 'Wei Hu', 'Fan Zhang', 'Jun Liu']
    assert paper['title'].startswith('MixPro: Data Augmentation with MaskMix and Progressive Attention Labeling')
    assert paper['year'] == 2023 and paper['url'] in read('README.md')
    assert paper['conference']['name'] == paper['collection-title']


def test_the_licence_is_the_text_of_apache():
    """Its own text, from the first line to the end of the appendix, without the blanks that copies differ in."""
    words = ' '.join(read('LICENSE').split())
    assert words.startswith('Apache License Version 2.0, January 2004 http://www.apache.org/licenses/')
    assert words.endswith(
        'See the License for the specific language governing permissions and limitations under the License.'
    )
    assert hashlib.sha256(words.encode()).hexdigest() == APACHE
