"""A check that cannot fail is none: each is run over a tree with its own mistake first."""

import os
import tempfile

import source

GOOD = '/*\n * What it is for.\n * What it owns.\n */\n'
LONG = 'int f(void);\nint f(void)\n{\n' + '\treturn 1;\n' * 99 + '}\n'
EXACT = 'int f(void);\nint f(void)\n{\n' + '\treturn 1;\n' * 98 + '}\n'

# path, text, what one of the messages must contain ('': no check may object)
CASES = (
    ('src/wire/a.c', GOOD + '#include "continuo/view.h"\n#include <yyjson.h>\n', ''),
    ('src/app/a.c', GOOD + '#include "continuo/vault.h"\n#include <uv.h>\n', ''),
    ('src/base/hash.c', GOOD + '#include <sodium.h>\n', ''),
    ('src/wire/a.c', GOOD + '#include "continuo/plan.h"\n', 'plan.h of route/, which is above'),
    ('src/store/a.c', GOOD + '#include "continuo/vault.h"\n', 'vault/, which is a sibling'),
    ('include/continuo/json.h', '#include "continuo/http.h"\n', 'http/, which is above'),
    ('src/app/a.c', GOOD + '#include "../vault/vault_impl.h"\n', 'leads out of the folder'),
    ('src/app/a.c', GOOD + '#include <sodium.h>\n', 'app/ includes <sodium.h>'),
    ('src/base/log.c', GOOD + '#include <sodium.h>\n', 'base/ includes <sodium.h>'),
    ('src/base/log.c', GOOD + '#  include <yyjson.h>\n', 'base/ includes <yyjson.h>'),
    ('src/app/a.c', GOOD + '#include <curl/curl.h>\n', 'only upstream may'),
    ('src/app/a.c', GOOD + '#include <glib.h>\n', '<glib.h> is no header that we know'),
    ('src/app/a.c', GOOD + '#include "continuo/utils.h"\n', 'belongs to no folder'),
    ('src/utils/a.c', GOOD, 'belongs to no folder of the house'),
    ('include/continuo/utils.h', GOOD, 'belongs to no folder of the house'),
    ('src/app/turn.h', GOOD, 'looks public'),
    ('src/app/a.c', GOOD + '/* TO' 'DO later */\n', 'a.c:5: unfinished: TO' 'DO'),
    ('src/app/a.c', GOOD + '/* TO' 'DO #12 later */\n', ''),
    ('src/app/a.c', GOOD + '# if 0\n', 'unfinished'),
    ('src/app/a.c', GOOD + 'char t[] = "X' 'XXXXX";\n', ''),
    ('tests/e2e/run', '#!/bin/sh\n# FIX' 'ME\n', 'run:2: unfinished'),
    ('src/store/a.c', GOOD + 'int f = MDB_NO' 'SYNC;\n', 'MDB_NO' 'SYNC is banned'),
    ('src/store/a.c', GOOD + 'int f = MDB_NOTLS;\n', ''),
    ('src/app/a.c', GOOD + 'struct cn_' 'secret *s;\n', 'outside of the vault'),
    ('src/cli/a.c', GOOD + 'struct cn_' 'secret *s;\n', ''),
    ('src/cli/a.c', GOOD + 'struct cn_' 'secret {\n', 'inside is declared'),
    ('src/route/a.c', GOOD + 'int f = cn_clock_ms();\n', 'reads a clock'),
    ('src/store/a.c', GOOD + 'int f = cn_clock_ms();\n', ''),
    ('packaging/x', 'get https://pypi' '.org/x\n', 'pypi' '.org is named'),
    ('src/app/a.c', GOOD + 'char t[] = "kimi-k2";\n', 'provider kimi is named'),
    ('include/continuo/http.h', '/* As Z.ai does. */\n', 'provider Z.ai is named'),
    ('src/app/a.c', GOOD + 'int f = MINIMAX_DOOR;\n', 'provider MINIMAX is named'),
    ('src/app/a.c', GOOD + '/* OpenAI Chat Completions, "openai-chat" and xai-KEY */\n', ''),
    ('src/app/a.c', GOOD + '/* all together. A llamas herd */\n', ''),
    ('src/wire/toolmarkup_x.c', GOOD + 'char t[] = "kimi-k2";\n', ''),
    ('src/app/a.c', GOOD + LONG, 'a.c:7: a function of 101 lines'),
    ('src/app/a.c', GOOD + EXACT, ''),
    ('src/app/a.c', GOOD + '\n' * 897, 'a file of 901 lines'),
    ('src/cli/main.c', GOOD + '\n' * 97, 'a file of 101 lines'),
    ('src/app/a.c', 'int x;\n', 'does not open with a comment'),
    ('src/app/a.c', '/* Short. */\n', 'says too little'),
    ('tests/unit/a.c', '/* Short. */\n', ''),
    ('notes.txt', 'x\n', 'top of the tree'),
    ('src/app/a.c', GOOD + 'int   x;\n', '?not formatted'),
)


def messages(checks, path, text):
    with tempfile.TemporaryDirectory() as root:
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, 'w', encoding='utf-8') as f:
            f.write(text)
        tree = source.Tree(root)
        return [str(m) for check in checks for m in check(tree)]


def check_checks(checks, formatting):
    """The mistakes of the lint itself.  formatting: whether clang-format is there to ask."""
    plain = [c for c in checks if c.__name__ != 'check_format']
    for path, text, want in CASES:
        if want.startswith('?') and not formatting:
            continue
        said = messages(checks if want.startswith('?') else plain, path, text)
        want = want.removeprefix('?')
        if (not want and said) or (want and not any(want in m for m in said)):
            yield (f'tests/lint/selftest.py:1: for {path} with {text.splitlines()[-1]!r} the '
                   f'lint says {said}; it should say {want!r}')
