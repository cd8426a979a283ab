"""Keys that change while the router serves: taken over without a restart, or refused without harm."""
import os
import re
import shutil
import signal
import subprocess
import sys

import harness
from harness import BIN, Provider, Router, post, same, scene, until

KEYS = ('sk-first-abcdefghijkl', 'sk-second-abcdefghijkl', 'sk-third-abcdefghijkl')


def cli(home, *args, stdin=None):
    done = subprocess.run([BIN, *args, '--home', home], input=stdin, capture_output=True, text=True, timeout=60)
    same(done.returncode, 0, f'{args}: {done.stderr}')


class KeyRouter(Router):
    """A router whose only backend wants a key of the vault."""

    def __init__(self, home, p):
        self.home, self.origin = home, f'http://127.0.0.1:{p.ports["a"]}'
        self.set_key('k', KEYS[0])
        self.name_key('k')
        self.start()

    def set_key(self, name, value):
        cli(self.home, 'vault', 'set', name, '--origin', self.origin, stdin=value + '\n')

    def name_key(self, name):
        path = os.path.join(self.home, 'policy.yaml')
        with open(path + '.new', 'w', encoding='utf-8') as f:
            f.write(f'listen: 127.0.0.1:0\nbackends: {{a: {{wire: anthropic, url: "{self.origin}", key: vault:{name}}}}}\n'
                    'models: {m-a: {backend: a, id: id-a}}\nchains: {main: [m-a]}\nroutes: [{use: main}]\n'
                    'fallback: {max_wait: 250ms}\n')
        os.chmod(path + '.new', 0o600)
        os.rename(path + '.new', path)

    def counter(self, name):
        return self.status()['counters'][name]


def start(home, script='always ok'):
    p = Provider(home, a=script)
    r = KeyRouter(home, p)
    return p, r, r.token()


def key_seen(p):
    head = p.seen()[-1]['head']
    return re.search(r'(?i)^x-api-key: (.*?)\r?$', head, re.M).group(1)


@scene
def v0101_a_new_key_is_used_from_the_next_turn_on(home):
    """`vault set` while serving: the next turn carries the new key, and one that was refused no longer rests."""
    p, r, t = start(home, 'ok; status 401; always ok')
    same(post(r.port, t).status, 200, 'with the first key')
    same(key_seen(p), KEYS[0], 'the first key')
    assert post(r.port, t).status != 200, 'a key that is refused'
    same([c['because'] for c in r.status()['cooldowns']], ['auth'], 'it rests')
    r.set_key('k', KEYS[1])
    until('the new key', lambda: r.counter('vault_reloads') == 1)
    same(r.status()['cooldowns'], [], 'what waited for a key')
    same(post(r.port, t).status, 200, 'with the second key')
    same(key_seen(p), KEYS[1], 'the second key')
    r.stop()
    p.stop()


@scene
def v0102_a_policy_may_name_a_key_that_came_with_it(home):
    """SIGHUP reads the vault before the policy, which is checked against it."""
    p, r, t = start(home)
    r.set_key('late', KEYS[2])
    r.name_key('late')
    r.child.send_signal(signal.SIGHUP)
    until('the reload', lambda: r.counter('reloads') >= 1 and r.counter('vault_reloads') == 1)
    until('the new key in use', lambda: post(r.port, t).status == 200 and key_seen(p) == KEYS[2])
    cli(home, 'vault', 'rotate')
    until('the rotated vault', lambda: r.counter('vault_reloads') == 2)
    same(post(r.port, t).status, 200, 'after a rotation')
    same(key_seen(p), KEYS[2], 'the key')
    r.stop()
    p.stop()


@scene
def v0103_what_cannot_be_opened_changes_nothing(home):
    """A damaged vault or an older copy of it is refused and named; the keys that were opened stay in use."""
    p, r, t = start(home)
    same(post(r.port, t).status, 200, 'the first turn')
    vault = os.path.join(home, 'vault')
    shutil.copy(vault, home + '/first')
    r.set_key('k', KEYS[1])
    until('the new key', lambda: r.counter('vault_reloads') == 1)
    for bad, words in ((home + '/first', 'older'), ('/dev/null', 'damaged vault')):
        failed = r.counter('reloads_failed')
        with open(bad, 'rb') as f, open(vault + '.new', 'wb') as to:
            to.write(f.read())
        os.chmod(vault + '.new', 0o600)
        os.replace(vault + '.new', vault)
        until('the refusal', lambda before=failed: r.counter('reloads_failed') > before)
        until('its reason', lambda said=words: 'vault refused' in r.text() and said in r.text())
        same(post(r.port, t).status, 200, bad)
        same(key_seen(p), KEYS[1], 'the key that was opened')
    assert not any(k in r.text() for k in KEYS), 'a key in the log'
    shutil.copy(home + '/first', vault)
    r.stop()
    again = subprocess.run([BIN, 'serve', '--home', home], capture_output=True, text=True, timeout=60)
    same(again.returncode, 1, again.stderr)
    assert 'older' in again.stderr, again.stderr
    p.stop()


sys.exit(harness.main())
