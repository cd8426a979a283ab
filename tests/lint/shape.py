"""The shape of files: sizes, opening comments, the top of the tree (house style 6 and 9)."""

from source import Mistake

FUNCTION_LINES = 100
FILE_LINES = 900
MAIN_LINES = 100

# What the top level may hold.
TOP = set('''.ci .clang-format .clang-tidy .editorconfig .gitignore CHANGELOG.md LICENSE
             README.md include meson.build meson_options.txt packaging policies src tests'''
          .split())


def functions(tree, path):
    """(line of the opening brace, lines) of each function.

    clang-format puts the braces of functions, and of nothing else that holds statements, in
    the first column; tables and structs open theirs at a line's end.
    """
    start = None
    for number, line in tree.lines(path):
        if line == '{':
            start = number
        elif line == '}' and start is not None:
            yield start, number - start + 1
            start = None


def check_function_length(tree):
    """A function has at most 100 lines."""
    for path in tree.below('src', 'tests', ending=('.c',)):
        for line, length in functions(tree, path):
            if length > FUNCTION_LINES:
                yield Mistake(path, line, f'a function of {length} lines',
                              f'split it: {FUNCTION_LINES} is the wall, 60 the time to look')


def check_file_length(tree):
    """A .c file has at most 900 lines, a main.c 100."""
    for path in tree.below('src', 'tests', ending=('.c',)):
        most = MAIN_LINES if path.endswith('/main.c') else FILE_LINES
        length = len(tree.text(path).splitlines())
        if length > most:
            yield Mistake(path, most, f'a file of {length} lines',
                          f'split it by noun: {most} is the most')


def opening_comment(text):
    """The comment that a file opens with; '' without one."""
    text = text.lstrip('\n')
    return text[:text.find('*/') + 2] if text.startswith('/*') else ''


def check_opening_comment(tree):
    """Every .c opens with what it is for: three lines or more in src/, one in tests/."""
    for path in tree.below('src', 'tests', ending=('.c',)):
        words = opening_comment(tree.text(path))
        if not words:
            yield Mistake(path, 1, 'the file does not open with a comment',
                          'say what it is for, what it owns, which thread runs it')
        elif path.startswith('src/') and len(words.splitlines()) < 3:
            yield Mistake(path, 1, 'the opening comment says too little',
                          'say what it is for, what it owns, which thread, what it is not')


def check_top_level(tree):
    """The top level holds the agreed names only."""
    for name in sorted({p.split('/')[0] for p in tree.paths} - TOP):
        yield Mistake(name, 1, 'stands at the top of the tree',
                      'put it below one of ' + ' '.join(sorted(TOP)))


CHECKS = [check_function_length, check_file_length, check_opening_comment, check_top_level]
