#!/usr/bin/env python3
"""v: the vault commands end to end, with the program that CONTINUO_BIN names.

When this fails, a user cannot look after keys, or one of them shows: on a terminal, in
an output, in a file, on a command line.  Each test has a home of its own.  Prints
"N passed, N failed".
"""

import json
import os
import pty
import re
import select
import shutil
import stat
import subprocess
import sys
import tempfile
import termios
import time

BIN = os.environ.get('CONTINUO_BIN', '')
KEY = 'sk-canary-5fQe83ZpXw71LmNv'
PASS = 'a passphrase of the test'


class Home:
    """A home directory, and every byte that commands in it have printed."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='continuo-scene-')
        self.said = b''

    def path(self, name):
        return os.path.join(self.dir, name)

    def env(self, extra=None):
        env = {k: v for k, v in os.environ.items()
               if k not in ('CREDENTIALS_DIRECTORY', 'CONTINUO_HOME')}
        env.update(CONTINUO_HOME=self.dir, **(extra or {}))
        return env

    def run(self, *args, stdin='', want=0, fds=(), env=None):
        """Runs `continuo vault ARGS`; gives standard output and error."""
        done = subprocess.run([BIN, 'vault', *args], input=stdin.encode(), env=self.env(env),
                              capture_output=True, pass_fds=fds, timeout=60,
                              start_new_session=True)  # without a terminal
        self.said += done.stdout + done.stderr
        out, err = done.stdout.decode(), done.stderr.decode()
        if done.returncode != want:
            raise AssertionError(f'vault {" ".join(args)}: exit {done.returncode}, not {want}: '
                                 f'{out}{err}')
        return out, err

    def keys(self):
        return {k['name']: k for k in json.loads(self.run('list', '--json')[0])}


def pipe_with(text):
    r, w = os.pipe()
    os.write(w, text.encode())
    os.close(w)
    return r


def on_terminal(home, args, answers):
    """Answers prompts, each as it appears; gives all that the terminal showed."""
    pid, tty = pty.fork()
    if pid == 0:
        os.execve(BIN, [BIN, 'vault', *args], home.env())
    shown, at = b'', 0
    while True:
        if not select.select([tty], [], [], 60)[0]:
            raise AssertionError(f'nothing more after {shown!r}')
        try:
            piece = os.read(tty, 4096)
        except OSError:
            piece = b''
        if not piece:
            break
        shown += piece
        if answers and answers[0][0].encode() in shown[at:]:
            prompt, answer = answers.pop(0)
            at = shown.index(prompt.encode(), at) + len(prompt)
            wait_for_quiet(tty, prompt)
            text = answer(shown) if callable(answer) else answer
            os.write(tty, text.encode() + b'\r')
    os.close(tty)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    home.said += shown
    return status, shown.decode()


def wait_for_quiet(tty, prompt):
    """Until echo is off: a prompt that shows what is typed never gets an answer here."""
    until = time.monotonic() + 60
    while termios.tcgetattr(tty)[3] & termios.ECHO:
        if 'y/N' in prompt:
            return
        if time.monotonic() > until:
            raise AssertionError(f'echo is on at {prompt!r}')


def same(got, want, what):
    if got != want:
        raise AssertionError(f'{what}: {got!r}, not {want!r}')


def has(text, part):
    if part not in text:
        raise AssertionError(f'{part!r} is not in {text!r}')


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


# ---- tests ----

def init_makes_a_vault_that_a_key_file_opens(h):
    _, err = h.run('init')
    has(err, 'made the vault')
    has(err, h.path('vault.key'))
    same(mode(h.path('vault')), 0o600, 'mode of the vault')
    same(mode(h.path('vault.key')), 0o400, 'mode of the key file')
    same(os.path.getsize(h.path('vault.key')), 32, 'size of the key file')
    same(h.keys(), {}, 'keys')
    has(h.run('list')[0], 'no keys')
    has(h.run('init', want=1)[1], 'already')


def set_without_a_vault_makes_one_and_says_so(h):
    has(h.run('list', want=1)[1], 'vault init')
    _, err = h.run('set', 'kimi', '--origin', 'https://API.example.com/', stdin=KEY + '\n')
    has(err, 'made the vault')
    has(err, 'https://api.example.com:443')
    key = h.keys()['kimi']
    same(key['origins'], ['https://api.example.com:443'], 'origins')
    same(key['not_after'], None, 'not after')
    if not re.fullmatch('[0-9a-f]{8}', key['fingerprint']):
        raise AssertionError(f'fingerprint {key["fingerprint"]!r}')
    out, _ = h.run('list')
    has(out, 'kimi')
    has(out, key['fingerprint'])


def keys_come_from_descriptors_and_lines_stay_apart(h):
    h.run('init', '--no-key-file', stdin=PASS + '\n')
    if os.path.exists(h.path('vault.key')):
        raise AssertionError('there is a key file')
    fd = pipe_with(KEY)
    h.run('set', 'a', '--origin', 'https://a.example', '--passphrase-fd', '0', '--fd', str(fd),
          stdin=PASS + '\n', fds=(fd,))
    os.close(fd)
    # Both on standard input, one line each.
    h.run('set', 'b', '--origin', 'https://b.example', '--passphrase-fd', '0', '--fd', '0',
          stdin=f'{PASS}\n{KEY}-b\n')
    out, _ = h.run('list', '--json', '--passphrase-fd', '0', stdin=PASS)
    same([k['name'] for k in json.loads(out)], ['a', 'b'], 'names')
    _, err = h.run('list', '--passphrase-fd', '0', stdin='not the passphrase', want=4)
    has(err, 'wrong passphrase or damaged vault')
    h.run('list', want=4)  # nobody to ask


def presets_give_their_origins(h):
    h.run('set', 'k', '--preset', 'anthropic', stdin=KEY)
    same(h.keys()['k']['origins'], ['https://api.anthropic.com:443'], 'origins')
    has(h.run('set', 'k', '--preset', 'nobody', stdin=KEY, want=2)[1], 'catalogue')


def wrong_usage_is_told_and_changes_nothing(h):
    future = '2999-01-31'
    for args, stdin, want, says in [
            (('set', 'k'), KEY, 2, '--origin'),
            (('set', 'k', '--origin', 'http://example.com'), KEY, 1, 'not an origin'),
            (('set', 'k', '--origin', 'example.com'), KEY, 2, 'https://'),
            (('set', 'k', '--origin', 'https://u:p@example.com'), KEY, 2, 'https://'),
            (('set', 'a b', '--origin', 'https://a.example'), KEY, 1, 'no name'),
            (('set', 'k', '--origin', 'https://a.example'), '', 1, 'empty'),
            (('set', 'k', '--origin', 'https://a.example'), 'short', 1, 'characters'),
            (('set', 'k', '--origin', 'https://a.example'), 'with a space', 1, 'visible'),
            (('set', 'k', '--origin', 'https://a.example', '--not-after', 'soon'), KEY, 2, 'date'),
            (('set', 'k', '--origin', 'https://a.example', '--not-after', '2020-01-01'), KEY, 2,
             'over already'),
            (('set', 'k', '--origin', 'https://a.example', '--fd', '99'), KEY, 1, 'descriptor'),
            (('set',), KEY, 2, ''),
            (('rm', 'k'), '', 1, "no key named 'k'"),
            (('passwd',), 'too short\n', 1, '12 characters'),
            (('passwd', '--remove'), '', 1, 'no passphrase'),
            (('passwd', '--remove', '--fd', '0'), '', 2, 'exclude'),
            (('import', h.path('nowhere')), PASS, 1, 'no file')]:
        if not os.path.exists(h.path('vault')):
            h.run('init')
        has(h.run(*args, stdin=stdin, want=want)[1], says)
        same(h.keys(), {}, f'keys after {args}')
    h.run('set', 'k', '--origin', 'https://a.example', '--not-after', future, stdin=KEY)
    same(h.keys()['k']['not_after'], '2999-01-31T23:59:59.000Z', 'not after')


def a_renewed_key_keeps_its_origins(h):
    h.run('set', 'k', '--origin', 'https://a.example', '--origin', 'https://b.example:8443',
          stdin=KEY)
    before = h.keys()['k']
    h.run('set', 'k', stdin=KEY + '-renewed')
    after = h.keys()['k']
    same(after['origins'], ['https://a.example:443', 'https://b.example:8443'], 'origins')
    if before['fingerprint'] == after['fingerprint']:
        raise AssertionError('the key is the old one')
    h.run('rm', 'k')
    same(h.keys(), {}, 'keys')


def passwd_sets_changes_and_removes(h):
    h.run('set', 'k', '--origin', 'https://a.example', stdin=KEY)
    h.run('passwd', stdin=PASS + '\n')
    os.rename(h.path('vault.key'), h.path('away'))
    h.run('list', '--passphrase-fd', '0', stdin=PASS)
    h.run('passwd', '--passphrase-fd', '0', '--fd', '0', stdin=f'{PASS}\nanother passphrase\n')
    h.run('list', '--passphrase-fd', '0', stdin=PASS, want=4)
    h.run('list', '--passphrase-fd', '0', stdin='another passphrase')
    os.rename(h.path('away'), h.path('vault.key'))
    h.run('passwd', '--remove')
    h.run('list', '--passphrase-fd', '0', stdin='another passphrase', want=4)
    same(list(h.keys()), ['k'], 'keys')


def rotate_keeps_keys_and_names_them(h):
    h.run('set', 'k', '--origin', 'https://a.example', stdin=KEY)
    before = h.keys()
    same(os.path.exists(h.path('vault.prev')), True, 'vault.prev before')
    out, err = h.run('rotate')
    has(err, 'renewed')
    has(out, 'k')
    has(out, 'https://a.example:443')
    same(os.path.exists(h.path('vault.prev')), False, 'vault.prev after')
    same(h.keys(), before, 'keys')
    # What would no longer open it is named and not dropped unasked.
    h.run('passwd', stdin=PASS + '\n')
    _, err = h.run('rotate', want=1)
    has(err, 'passphrase')
    has(err, '--drop-others')
    h.run('list', '--passphrase-fd', '0', stdin=PASS)
    out, _ = h.run('rotate', '--json', '--drop-others')
    same(json.loads(out)[0]['name'], 'k', 'name')
    h.run('list', '--passphrase-fd', '0', stdin=PASS, want=4)


def export_and_import_carry_keys_elsewhere(h):
    other = Home()
    try:
        h.run('set', 'k', '--origin', 'https://a.example', stdin=KEY)
        h.run('set', 'l', '--origin', 'https://l.example', stdin=KEY + '-l')
        copy = h.path('copy')
        h.run('export', copy, stdin=PASS)
        same(mode(copy), 0o600, 'mode of the copy')
        has(h.run('export', copy, stdin=PASS, want=1)[1], 'already')
        has(other.run('import', copy, stdin='not the passphrase', want=4)[1], 'wrong passphrase')
        has(other.run('import', copy, stdin=PASS)[1], '2 keys')
        same(sorted(other.keys()), ['k', 'l'], 'keys')
        has(other.run('import', copy, stdin=PASS)[1], '0 keys')
        has(other.run('import', copy, '--replace', stdin=PASS)[1], '2 keys')
        h.said += other.said
        no_canary(other)
    finally:
        shutil.rmtree(other.dir)


def wrong_modes_are_refused_with_the_chmod(h):
    h.run('init')
    for name, bad, good in [('vault', 0o644, 0o600), ('vault.key', 0o440, 0o400),
                            ('', 0o755, 0o700)]:
        path = h.path(name).rstrip('/')
        os.chmod(path, bad)
        has(h.run('list', want=1)[1], f'chmod {good:04o} {path}')
        os.chmod(path, good)
    h.run('list')


def a_unit_credential_opens_the_vault(h):
    h.run('init', '--no-key-file', stdin=PASS)
    directory = h.path('credentials')
    os.mkdir(directory)
    with open(os.path.join(directory, 'continuo.passphrase'), 'w') as f:
        f.write(PASS + '\n')
    out, _ = h.run('list', '--json', env={'CREDENTIALS_DIRECTORY': directory})
    same(json.loads(out), [], 'keys')


POLICY = """listen: 127.0.0.1:0
backends:
  local: {wire: anthropic, url: "http://127.0.0.1:1", key: none}
models:
  m: {backend: local, id: m}
chains:
  main: [m]
routes:
  - use: main
"""


def serve_once(h):
    """Starts the router and stops it, so that there is a history that knows the vault."""
    ready = h.path('ready')
    with open(h.path('policy.yaml'), 'w') as f:
        f.write(POLICY)
    router = subprocess.Popen([BIN, 'serve', '--ready-file', ready], env=h.env(),
                              stderr=subprocess.PIPE, start_new_session=True)
    said, until = b'', time.monotonic() + 60
    while not os.path.exists(ready):
        if time.monotonic() > until or router.poll() is not None:
            raise AssertionError(f'the router does not start: {said!r}')
        if select.select([router.stderr], [], [], 0.02)[0]:
            said += os.read(router.stderr.fileno(), 4096)
    router.terminate()
    h.said += said + router.communicate(timeout=60)[1]
    same(router.returncode, 0, 'exit of the router')
    os.unlink(ready)


def an_old_copy_put_back_is_refused(h):
    h.run('set', 'old', '--origin', 'https://a.example', stdin=KEY)
    serve_once(h)
    shutil.copy2(h.path('vault'), h.path('copy'))
    h.run('set', 'new', '--origin', 'https://a.example', stdin=KEY)
    h.run('rm', 'old')
    os.replace(h.path('copy'), h.path('vault'))
    _, err = h.run('list', want=1)
    has(err, '--accept-older-vault')
    out, err = h.run('list', '--json', '--accept-older-vault')
    has(err, 'WARNING')
    same([k['name'] for k in json.loads(out)], ['old'], 'names')


def a_person_is_asked_and_nothing_shows(h):
    status, shown = on_terminal(h, ['init', '--no-key-file'], [
        ('characters): ', PASS), ('again: ', PASS)])
    same(status, 0, shown)
    status, shown = on_terminal(h, ['set', 'k', '--origin', 'https://a.example'], [
        ('of the vault: ', 'mistyped'), ('of the vault: ', PASS), ('not shown): ', KEY)])
    same(status, 0, shown)
    status, shown = on_terminal(h, ['list'], [('of the vault: ', PASS)])
    same(status, 0, shown)
    has(shown, 'https://a.example:443')
    status, shown = on_terminal(h, ['list'], [('of the vault: ', '\x03')])
    same(status, 4, shown)
    status, shown = on_terminal(h, ['passwd'], [
        ('of the vault: ', PASS), ('characters): ', PASS + '2'), ('again: ', 'another one')])
    same(status, 1, shown)
    has(shown, 'differ')


def the_passphrase_that_is_offered_works(h):
    offered = []

    def accept(shown):
        offered.append(re.search(rb'([0-9a-f]{4}-){7}[0-9a-f]{4}', shown).group().decode())
        return ''

    status, shown = on_terminal(h, ['init', '--passphrase'], [('characters): ', accept)])
    same(status, 0, shown)
    h.run('list', '--passphrase-fd', '0', stdin=offered[0])


def rotating_asks_at_the_terminal(h):
    h.run('init', '--passphrase', stdin=PASS)
    status, shown = on_terminal(h, ['rotate'], [
        ('to keep it): ', 'mistyped'), ('[y/N] ', 'n')])
    same(status, 1, shown)
    h.run('list', '--passphrase-fd', '0', stdin=PASS)
    status, shown = on_terminal(h, ['rotate'], [('to keep it): ', PASS)])
    same(status, 0, shown)
    h.run('list', '--passphrase-fd', '0', stdin=PASS)
    status, shown = on_terminal(h, ['rotate'], [('to keep it): ', ''), ('[y/N] ', 'y')])
    same(status, 0, shown)
    h.run('list', '--passphrase-fd', '0', stdin=PASS, want=4)


def no_canary(h):
    """No secret in anything that was printed or lies about."""
    seen = [('the output', h.said)]
    for directory, _, files in os.walk(h.dir):
        for name in files:
            path = os.path.join(directory, name)
            if 'credentials' not in directory:
                with open(path, 'rb') as f:
                    seen.append((path, f.read()))
    for where, text in seen:
        for canary in (KEY, PASS):
            if canary.encode() in text:
                raise AssertionError(f'{canary!r} is in {where}')


TESTS = [
    init_makes_a_vault_that_a_key_file_opens,
    set_without_a_vault_makes_one_and_says_so,
    keys_come_from_descriptors_and_lines_stay_apart,
    presets_give_their_origins,
    wrong_usage_is_told_and_changes_nothing,
    a_renewed_key_keeps_its_origins,
    passwd_sets_changes_and_removes,
    rotate_keeps_keys_and_names_them,
    export_and_import_carry_keys_elsewhere,
    wrong_modes_are_refused_with_the_chmod,
    a_unit_credential_opens_the_vault,
    an_old_copy_put_back_is_refused,
    a_person_is_asked_and_nothing_shows,
    the_passphrase_that_is_offered_works,
    rotating_asks_at_the_terminal,
]


def main():
    if not os.access(BIN, os.X_OK):
        print('CONTINUO_BIN names no program')
        return 1
    failed = 0
    for test in TESTS:
        home = Home()
        try:
            test(home)
            no_canary(home)
            print(f'ok   {test.__name__}')
        except Exception as e:  # whatever it is, the others still run
            failed += 1
            print(f'FAIL {test.__name__}: {type(e).__name__}: {e}')
        finally:
            os.chmod(home.dir, 0o700)
            shutil.rmtree(home.dir)
    print(f'{len(TESTS) - failed} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
