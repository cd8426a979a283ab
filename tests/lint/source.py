"""What the checks look at: the files of a tree, their lines, and the mistakes found in them."""

import os
import subprocess


class Mistake:
    """One thing that is wrong, where, and what would be right."""

    def __init__(self, path, line, what, right):
        self.path, self.line, self.what, self.right = path, line, what, right

    def __str__(self):
        return f'{self.path}:{self.line}: {self.what}; {self.right}'


class Tree:
    """A source tree.  Paths are relative to its root and use '/'."""

    def __init__(self, root):
        self.root = root
        self.paths = sorted(self._find())
        self._text = {}

    def _find(self):
        if os.path.exists(os.path.join(self.root, '.git')):
            command = ['git', '-C', self.root, 'ls-files', '-z', '--cached', '--others',
                       '--exclude-standard']
            listed = subprocess.run(command, capture_output=True, check=False)
            if listed.returncode == 0:
                names = listed.stdout.decode().split('\0')
                return [n for n in names if n and os.path.isfile(self.full(n))]
        return self._walk()

    def _walk(self):
        """An unpacked tarball: all files but build directories."""
        found = []
        for folder, folders, files in os.walk(self.root):
            folders[:] = [f for f in folders
                          if f not in ('.git', 'node_modules', '__pycache__')
                          and not (folder == self.root and f.startswith('build'))]
            for name in files:
                full = os.path.join(folder, name)
                found.append(os.path.relpath(full, self.root).replace(os.sep, '/'))
        return found

    def full(self, path):
        return os.path.join(self.root, path)

    def text(self, path):
        """The file's text; '' for what is no text."""
        if path not in self._text:
            with open(self.full(path), 'rb') as f:
                data = f.read()
            self._text[path] = '' if b'\0' in data else data.decode('utf-8', 'replace')
        return self._text[path]

    def lines(self, path):
        """(number from 1, line) of the file."""
        return enumerate(self.text(path).splitlines(), 1)

    def below(self, *folders, ending=('.c', '.h')):
        """Paths below any of the folders that end so."""
        starts = tuple(f + '/' for f in folders)
        return [p for p in self.paths if p.startswith(starts) and p.endswith(ending)]
