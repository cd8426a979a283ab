"""The scene language as text: scenes of a file, statements of a scene, words of a statement.

A scene begins with `# f0003: what is broken if it fails`.  A line that begins with a blank
continues the one before; `#` elsewhere begins a comment line.  `upstream`, `script`, `policy`,
`backend`, `model` and `stream` take their line as it is; all else is statements parted by `;`.
Words are parted by blanks; "…" (with \\r \\n \\t \\0 \\xNN \\" \\\\) and {…} or […] hold together.
"""
import re

TITLE = re.compile(r'# ([a-z]\d{4}): (.+)')
WHOLE = ('upstream', 'script', 'policy', 'backend', 'model', 'stream')
ESCAPES = {'r': '\r', 'n': '\n', 't': '\t', '0': '\0', '"': '"', '\\': '\\'}


class SceneError(Exception):
    """The scene itself is wrong, or what it expects did not happen."""


class Statement:
    def __init__(self, line, text, whole):
        self.line, self.text, self.whole = line, text, whole


class Scene:
    def __init__(self, path, line, name, title):
        self.path, self.line, self.name, self.title = path, line, name, title
        self.statements = []


def scan(text):
    """Each character with whether it stands free: outside of quotes and brackets."""
    depth, quoted, skip = 0, False, False
    for c in text:
        free = not quoted and depth == 0
        if skip:
            skip = False
        elif quoted:
            skip = c == '\\'
            quoted = c != '"'
        elif c == '"':
            quoted = True
        elif c in '{[':
            depth += 1
        elif c in '}]':
            depth -= 1
        yield c, free


def split(text, separator):
    parts, part = [], ''
    for c, free in scan(text):
        if free and c == separator:
            parts.append(part)
            part = ''
        else:
            part += c
    return [p.strip() for p in parts + [part]]


def unquote(word):
    """Undoes "…" anywhere in a word that is no JSON; what is inside of {…} stays as it is."""
    out, i, depth, quoted = '', 0, 0, False
    while i < len(word):
        c = word[i]
        if depth == 0 and c == '"':
            quoted = not quoted
        elif quoted and c == '\\':
            i += 1
            if word[i] == 'x':
                out += chr(int(word[i + 1:i + 3], 16))
                i += 2
            else:
                out += ESCAPES[word[i]]
        else:
            if not quoted:
                depth += (c in '{[') - (c in '}]')
            out += c
        i += 1
    return out


def words(text):
    return [unquote(w) for w in split(text, ' ') if w]


def logical_lines(path):
    """(number, text) with continuation lines joined."""
    pending = None
    with open(path, encoding='utf-8') as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip('\n')
            if line[:1] in (' ', '\t') and line.strip() and pending:
                pending = (pending[0], pending[1] + ' ' + line.strip())
                continue
            if pending:
                yield pending
                pending = None
            if line.strip():
                pending = (number, line)
    if pending:
        yield pending


def parse_file(path):
    scenes = []
    for number, line in logical_lines(path):
        title = TITLE.match(line)
        if title:
            scenes.append(Scene(path, number, title[1], title[2]))
        elif line.startswith('#'):
            continue
        elif not scenes:
            raise SceneError(f'{path}:{number}: a statement before the first title')
        else:
            add_line(scenes[-1], number, line)
    return scenes


def add_line(scene, number, line):
    if line.split(None, 1)[0] in WHOLE:
        scene.statements.append(Statement(number, line.strip(), True))
        return
    client = re.match(r'client( \w+)?:', line)
    prefix = client[0][:-1] + ' ' if client else ''
    for text in split(line[client.end():] if client else line, ';'):
        if not text:
            continue
        # Behind `client:` an expectation is still one; every other verb is the client's.
        is_expect = text.split()[0] in ('expect', 'run', 'router')
        scene.statements.append(Statement(number, text if is_expect else prefix + text, False))
