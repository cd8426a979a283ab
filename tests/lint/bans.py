"""Words that may not stand in the tree, each with the promise that it would break."""

import re

from source import Mistake

# Joined from halves, so that this file does not contain what it looks for.
UNFINISHED = re.compile(r'\b(TO' r'DO|FIX' r'ME|X' r'XX)\b(?!\s*\(?#\d+)|^\s*#\s*if\s+0\b')
LMDB_FLAGS = re.compile(r'\bMDB_(NO' r'SYNC|MAP' r'ASYNC|WRITE' r'MAP|NOMEM' r'INIT|NO' r'LOCK)\b')
SECRET = re.compile(r'\bcn_' r'secret\b|\bcn_' r'secret_\w+')
SECRET_BODY = re.compile(r'^struct cn_' r'secret\s*\{')
CLOCK = re.compile(r'\bcn_clock_(ms|us|wall_ms)\s*\(|\b(clock_gettime|gettimeofday|time)\s*\(')
REGISTRIES = re.compile('|'.join(
    re.escape(name) + '[.]' + domain for name, domain in (
        ('deb.debian', 'org'), ('security.debian', 'org'), ('ftp.debian', 'org'),
        ('snapshot.debian', 'org'), ('archive.ubuntu', 'com'), ('security.ubuntu', 'com'),
        ('registry.npmjs', 'org'), ('registry.yarnpkg', 'com'), ('pypi', 'org'),
        ('pythonhosted', 'org'), ('crates', 'io'), ('proxy.golang', 'org'),
        ('rubygems', 'org'), ('ghcr', 'io'), ('docker', 'io'), ('quay', 'io'),
        ('archlinux', 'org'), ('fedoraproject', 'org'))))

# Anthropic is the client's own house and the name of a format; of the others only the format
# that is called after one may be named.
PROVIDERS = re.compile(
    r'(?<![a-z0-9])(deepseek|moonshot|kimi|minimax|glm|zhipu|z\.ai|bigmodel|qwen|alibaba|dashscope'
    r'|openrouter|fireworks|together\.(xyz|ai)|groq|cerebras|mistral|xai(?!-)|grok|gemini|azure'
    r'|foundry|copilot|ollama|llama(\.?cpp)?|vllm|sglang|lm ?studio|openai(?!(\'s)?[-_ ]chat))'
    r'(?![a-z])', re.IGNORECASE)
# The dialects themselves, and examples that people read in help texts.
MAY_NAME_PROVIDERS = ('src/wire/openai_chat', 'src/wire/toolmarkup',
                      'src/wire/anthropic', 'include/continuo/dialect.h',
                      'src/cli/vault.c', 'src/cli/status.c')

CODE = ('.c', '.h', '.py', '.sh', '.js', '.mjs', '.ts', 'meson.build', 'meson_options.txt')


def grep(tree, paths, pattern, what, right):
    """A mistake for each line that holds the pattern; {} in `what` is what was found."""
    for path in paths:
        for number, line in tree.lines(path):
            found = pattern.search(line)
            if found:
                yield Mistake(path, number, what.format(found.group(0).strip()), right)


def is_script(tree, path):
    return '.' not in path.rsplit('/', 1)[-1] and tree.text(path).startswith('#!')


def check_unfinished(tree):
    """Finished code has no marks of unfinished work."""
    paths = [p for p in tree.paths if p.endswith(CODE) or is_script(tree, p)]
    return grep(tree, paths, UNFINISHED, 'unfinished: {}',
                'finish it, or name the issue: "#12" behind the word')


def check_lmdb_flags(tree):
    """Flags that trade the store's durability away are banned (design, security 9)."""
    return grep(tree, tree.below('src', 'include', 'tests'), LMDB_FLAGS,
                '{} is banned', 'the store syncs, locks and writes as LMDB does by default')


def check_secrets(tree):
    """Secrets stay in the vault: only cli may hand them through, unseen."""
    may = ('src/vault/', 'src/cli/', 'include/continuo/vault.h')
    paths = [p for p in tree.below('src', 'include') if not p.startswith(may)]
    yield from grep(tree, paths, SECRET, '{} outside of the vault',
                    'take a function of the vault instead (seal, open, hash, borrow)')
    paths = [p for p in tree.below('src', 'include', 'tests') if not p.startswith('src/vault/')]
    yield from grep(tree, paths, SECRET_BODY, 'a secret\'s inside is declared',
                    'it is opaque everywhere but in src/vault/')


def check_pure_layers_read_no_clock(tree):
    """Layers 1 and 2 are pure: the time is an argument."""
    paths = tree.below('src/wire', 'src/route', 'src/splice', 'src/history', 'src/count')
    return grep(tree, paths, CLOCK, '{}…) reads a clock in a pure layer',
                'take now_ms as an argument')


def check_registries(tree):
    """The tree names no package registry: packages come from the system's own configuration."""
    return grep(tree, tree.paths, REGISTRIES, '{} is named',
                'use the package manager as the machine has it configured')


def check_providers(tree):
    """Providers are data: what is known of one stands in the catalogue."""
    paths = [p for p in tree.below('src', 'include')
             if p.endswith(('.c', '.h')) and not p.startswith(MAY_NAME_PROVIDERS)]
    return grep(tree, paths, PROVIDERS, 'provider {} is named in code',
                'make what it needs a quirk or a key of the catalogue')


CHECKS = [check_unfinished, check_lmdb_flags, check_secrets, check_pure_layers_read_no_clock,
          check_registries, check_providers]
