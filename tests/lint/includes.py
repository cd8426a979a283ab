"""The direction of includes (house style 1): who may know of whom.

The tables below are the diagram of the house.  A new folder or a new public header gets its
row here, or the check fails.
"""

import re

from source import Mistake

# Folder -> layer.  Includes point strictly down; folders on one layer are strangers.
LAYERS = {
    'base': 0,
    'wire': 1,
    'route': 2, 'splice': 2, 'history': 2, 'count': 2,
    'http': 3, 'upstream': 3, 'store': 3, 'vault': 3, 'config': 3,
    'app': 4, 'demo': 4, 'probe': 4,
    'cli': 5,
}

# Folder -> the headers of include/continuo/ that it implements.
HEADERS = {
    'base': 'arena buf charge clock counters error hash list log trace view',
    'wire': 'anthropic dialect event ids json message openai_chat outcome repair schema sse',
    'route': 'classify damage ending health plan policy spend',
    'splice': 'joint smooth splice',
    'history': 'canon export record',
    'count': 'estimate',
    'http': 'http',
    'upstream': 'upstream',
    'store': 'store',
    'vault': 'vault',
    'config': 'config',
    'app': 'server',
    'demo': 'demo',
    'probe': 'probe',
}
OWNERS = {name: folder for folder, names in HEADERS.items() for name in names.split()}

# Outside header -> the folders (or files) that may include it, and their public headers.
OUTSIDE = {
    r'llhttp\.h': {'http'},
    r'curl/.*': {'upstream'},
    r'lmdb\.h': {'store'},
    r'zstd\.h': {'store'},
    r'libfyaml\.h': {'config'},
    r'sodium(/.*)?\.h': {'vault', 'src/base/hash.c'},
    r'yyjson\.h': {f for f, layer in LAYERS.items() if layer >= 1},
    r'uv\.h': {'http', 'upstream', 'store', 'app', 'demo', 'probe'},
}

# What comes with every C compiler and Unix.
SYSTEM = re.compile(
    r'(arpa|linux|net|netinet|sys)/\w+\.h|'
    r'(assert|cpuid|ctype|dirent|emmintrin|errno|fcntl|fnmatch|float|ftw|getopt|glob|grp|inttypes|'
    r'limits|locale|math|netdb|poll|pthread|pwd|sched|setjmp|signal|spawn|stdalign|stdarg|'
    r'stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|syslog|termios|'
    r'time|unistd|wchar)\.h')

INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')


def folder_of(path):
    """The folder that a file belongs to; None for one that no table names."""
    parts = path.split('/')
    if path.startswith('src/') and len(parts) >= 3:
        return parts[1] if parts[1] in LAYERS else None
    return OWNERS.get(parts[-1].removesuffix('.h'))


def public_mistake(here, name):
    """What is wrong with including continuo/NAME.h from the folder; None: nothing."""
    owner = OWNERS.get(name)
    if owner is None:
        return (f'continuo/{name}.h belongs to no folder',
                'give it a row in HEADERS of tests/lint/includes.py')
    if owner == here or LAYERS[owner] < LAYERS[here]:
        return None
    where = 'is a sibling' if LAYERS[owner] == LAYERS[here] else 'is above'
    return (f'{here}/ includes continuo/{name}.h of {owner}/, which {where}',
            'includes point strictly down: let the layer above hand it over')


def outside_mistake(path, here, name):
    for pattern, allowed in OUTSIDE.items():
        if re.fullmatch(pattern, name):
            if here in allowed or path in allowed:
                return None
            return (f'{here}/ includes <{name}>',
                    'only ' + ', '.join(sorted(allowed)) + ' may know of it')
    if SYSTEM.fullmatch(name):
        return None
    return (f'<{name}> is no header that we know',
            'use what we have, or name its one folder in OUTSIDE of tests/lint/includes.py')


def quoted_mistake(path, here, name):
    if name.startswith('continuo/'):
        return public_mistake(here, name.removeprefix('continuo/').removesuffix('.h'))
    if path.startswith('src/') and '/' not in name:
        return None
    return (f'"{name}" leads out of the folder',
            'include "continuo/…" or a header of the same folder')


def check_direction(tree):
    """Includes point strictly down, an outside header appears in one folder only."""
    for path in tree.below('src', 'include/continuo'):
        here = folder_of(path)
        if here is None:
            yield Mistake(path, 1, 'the file belongs to no folder of the house',
                          'give it a row in LAYERS or HEADERS of tests/lint/includes.py')
            continue
        for number, line in tree.lines(path):
            found = INCLUDE.match(line)
            if not found:
                continue
            kind, name = found.groups()
            wrong = (quoted_mistake(path, here, name) if kind == '"' else
                     outside_mistake(path, here, name))
            if wrong:
                yield Mistake(path, number, *wrong)


def check_private_headers(tree):
    """What is private to a folder is called …_impl.h."""
    for path in tree.below('src', ending=('.h',)):
        if not path.endswith('_impl.h'):
            yield Mistake(path, 1, 'a header in src/ that looks public',
                          'call it …_impl.h, or move it to include/continuo/')


CHECKS = [check_direction, check_private_headers]
