"""clang-format's opinion.  Other versions than ours format differently, so only ours is asked."""

import re
import shutil
import subprocess

from source import Mistake

VERSION = '14'
REPORT = re.compile(r'^(.*?):(\d+):\d+: error: code should be clang-formatted', re.M)


def program():
    """clang-format of our version; None when the machine has none."""
    for name in (f'clang-format-{VERSION}', 'clang-format'):
        if not shutil.which(name):
            continue
        said = subprocess.run([name, '--version'], capture_output=True, text=True, check=False)
        if re.search(rf'version {VERSION}\.', said.stdout):
            return name
    return None


def check_format(tree):
    """All C is as clang-format leaves it."""
    paths = tree.below('src', 'include', 'tests')
    if not paths:
        return
    run = subprocess.run([program(), '--dry-run', '-Werror', '--ferror-limit=1', *paths],
                         capture_output=True, text=True, check=False, cwd=tree.root)
    for path, line in REPORT.findall(run.stderr):
        yield Mistake(path, line, 'not formatted', f'clang-format -i {path}')


CHECKS = [check_format] if program() else []
SKIPPED = [] if program() else [f'format (clang-format {VERSION} is not installed)']
