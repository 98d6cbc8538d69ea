"""docs/evidence.md is rendered from the JSON files in docs/evidence."""

import re
import shutil

from mixpro_mm.report.paper_report import main
from tests.docs.pages import DOCS


def test_the_evidence_page_is_what_the_command_renders(tmp_path, monkeypatch):
    (tmp_path / 'docs' / 'evidence').mkdir(parents=True)
    files = [f'docs/evidence/{name}.json' for name in ('results', 'ablation')]
    for file in files:
        shutil.copy(DOCS.parent / file, tmp_path / file)
    monkeypatch.chdir(tmp_path)
    assert main(['--evidence', *files]) == 0
    text = (DOCS / 'evidence.md').read_text('utf-8')
    assert text == (tmp_path / 'docs' / 'evidence.md').read_text('utf-8')
    drawn = {path.name for path in (tmp_path / 'docs' / 'evidence').glob('*.png')}
    assert drawn == {path.name for path in (DOCS / 'evidence').glob('*.png')}
    assert drawn == set(re.findall(r'\]\(evidence/(.+\.png)\)', text))
