#!/usr/bin/env python3
"""`continuo run` and the commands around it, as a user meets them: the real program in
temporary homes, on loopback alone.  Reads CONTINUO_BIN; prints `N passed, N failed`."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

BIN = os.environ['CONTINUO_BIN']
LIMIT = 30  # seconds that anything may take before it counts as broken

POLICY = '''
listen: %s
workers: 1
client:
  model: house-model
  env: {HOUSE_RULE: "it's \\\\ here", HOUSE_SET: policy}
backends:
  only: {wire: anthropic, url: "http://127.0.0.1:9", key: none}
models:
  one: {backend: only, id: one-1}
chains:
  main: [one]
  other: [one]
routes:
  - use: main
'''

# A client that tells what it got and then waits for a line.
CLIENT = r'''
import json, os, sys
print(json.dumps({k: v for k, v in os.environ.items()}), flush=True)
sys.stdin.readline()
'''


def clean_env(**more):
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(('ANTHROPIC_', 'CLAUDE_', 'CONTINUO_', 'XDG_'))
           and k.lower() not in ('http_proxy', 'https_proxy', 'all_proxy', 'no_proxy')}
    env.update(more)
    return env


class Home:
    """A temporary home; nothing that was started in it outlives it."""

    def __init__(self, listen='127.0.0.1:0', policy=True):
        self.dir = tempfile.mkdtemp(prefix='cn-run-')
        self.children = []
        self.listen = listen
        self.policy = policy

    def __enter__(self):
        if self.policy:
            self.write('policy.yaml', POLICY % self.listen)
        return self

    def __exit__(self, *_):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
        pid = self.router()
        if pid:
            os.kill(pid, signal.SIGKILL)
            until(lambda: not alive(pid), 'the router to be gone')
        until(self.removed, 'the home to be empty: a router may still be leaving it')

    def removed(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        return not os.path.exists(self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(os.open(self.path(name), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), 'w') as f:
            f.write(text)
        return self.path(name)

    def call(self, *words, env=None, input=None):
        return subprocess.run([BIN, '--home', self.dir, *words], env=env or clean_env(),
                              stdin=subprocess.DEVNULL if input is None else None, input=input,
                              capture_output=True, text=True, timeout=LIMIT)

    def start(self, *words, env=None):
        child = subprocess.Popen([BIN, '--home', self.dir, *words], env=env or clean_env(),
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
        self.children.append(child)
        return child

    def client(self, *options):
        """A `run` whose client tells its environment and stays until finish()."""
        child = self.start('run', *options, '--', sys.executable, '-c', CLIENT)
        line = child.stdout.readline()
        if not line:
            raise AssertionError('no client: ' + child.stderr.read())
        return child, json.loads(line)

    def serve(self):
        ready = self.path('ready')
        child = self.start('serve', '--ready-file', ready)
        until(lambda: os.path.exists(ready) or child.poll() is not None, 'serve to be ready')
        equal(child.poll(), None, 'serve is running')
        return child

    def status(self):
        answer = self.call('status', '--json')
        return json.loads(answer.stdout) if answer.returncode == 0 else None

    def router(self):
        status = self.status()
        return status['pid'] if status else None


def finish(child):
    out, err = child.communicate('\n', timeout=LIMIT)
    return child.returncode, out, err


def alive(pid):
    try:
        with open('/proc/%d/stat' % pid) as f:
            return f.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(true, what):
    end = time.monotonic() + LIMIT
    while not true():
        if time.monotonic() > end:
            raise AssertionError('waited in vain for ' + what)
        time.sleep(0.01)  # between two looks; nothing relies on its length


def equal(got, wanted, what):
    if got != wanted:
        raise AssertionError('%s\n  wanted %r\n  got    %r' % (what, wanted, got))


def holds(text, part, what):
    if part not in text:
        raise AssertionError('%s\n  wanted %r in\n  got    %r' % (what, part, text))


def token_of(env):
    lines = env['ANTHROPIC_CUSTOM_HEADERS'].split('\n')
    found = [line.split(': ')[1] for line in lines if line.startswith('x-continuo-token: ')]
    equal(len(found), 1, 'one token header in %r' % lines)
    return found[0]


def models_status(env, token):
    """The status of GET /v1/models with that token; None when nobody answers."""
    host = env['ANTHROPIC_BASE_URL'].removeprefix('http://')
    c = http.client.HTTPConnection(host, timeout=5)
    try:
        c.request('GET', '/v1/models', headers={'x-continuo-token': token})
        return c.getresponse().status
    except OSError:
        return None
    finally:
        c.close()


# ---- run ----

def run_gives_the_client_its_environment():
    with Home() as h:
        child, env = h.client()
        token = token_of(env)
        equal(env['ANTHROPIC_AUTH_TOKEN'], token, 'the token stands for a login')
        equal(env['CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK'], '1', 'no fall-back without stream')
        equal(env['ANTHROPIC_MODEL'], 'house-model', 'client.model')
        equal(env['HOUSE_RULE'], "it's \\ here", 'client.env')
        equal('NO_PROXY' in env, False, 'NO_PROXY without a proxy')
        equal(models_status(env, token), 200, 'the token is known')
        equal(models_status(env, 'ct_wrong'), 401, 'another is not')
        equal(finish(child)[0], 0, 'exit status')


def run_keeps_what_the_user_set():
    with Home() as h:
        env = clean_env(ANTHROPIC_CUSTOM_HEADERS='X-Mine: 1\nx-Continuo-Token: ct_outer',
                        ANTHROPIC_MODEL='mine', HOUSE_SET='mine', ANTHROPIC_API_KEY='sk-mine',
                        HTTPS_PROXY='http://proxy.example:3128', no_proxy='example.org')
        answer = h.call('run', '--', sys.executable, '-c', CLIENT, env=env, input='\n')
        got = json.loads(answer.stdout)
        equal(got['ANTHROPIC_CUSTOM_HEADERS'].split('\n')[0], 'X-Mine: 1', 'own header first')
        equal('ct_outer' in got['ANTHROPIC_CUSTOM_HEADERS'], False, 'the outer token is replaced')
        token_of(got)
        equal((got['ANTHROPIC_MODEL'], got['HOUSE_SET']), ('mine', 'mine'), 'set ones stay')
        equal('ANTHROPIC_API_KEY' in got, False, 'two credentials would be sent')
        equal(got['no_proxy'], 'example.org,127.0.0.1', 'no_proxy')


def run_keeps_the_login_of_a_client_whose_key_goes_on():
    with Home() as h:
        h.write('policy.yaml', (POLICY % h.listen).replace(
            'url: "http://127.0.0.1:9", key: none', 'preset: anthropic, key: client'))
        env = clean_env(ANTHROPIC_API_KEY='sk-mine')
        answer = h.call('run', '--', sys.executable, '-c', CLIENT, env=env, input='\n')
        equal(answer.returncode, 0, 'run: ' + answer.stderr)
        got = json.loads(answer.stdout)
        equal('ANTHROPIC_AUTH_TOKEN' in got, False, 'the credential stays the client\'s own')
        equal(got['ANTHROPIC_API_KEY'], 'sk-mine', 'its key')


def run_passes_the_exit_status_on():
    with Home() as h:
        for script, wanted in (('exit 0', 0), ('exit 42', 42), ('kill -9 $$', 137),
                               ('kill -TERM $$', 143)):
            equal(h.call('run', '--', 'sh', '-c', script).returncode, wanted, script)
        equal(h.call('run', '--', h.path('none')).returncode, 127, 'no such program')
        equal(h.call('run', '--', h.dir).returncode, 126, 'no program')


def run_passes_signals_on():
    with Home() as h:
        script = 'trap "exit 7" TERM; echo up; while :; do sleep 0.02; done'
        child = h.start('run', '--', 'sh', '-c', script)
        equal(child.stdout.readline(), 'up\n', 'the client runs')
        child.send_signal(signal.SIGINT)   # is for the client, which gets it from the terminal
        child.send_signal(signal.SIGTERM)
        equal(child.wait(LIMIT), 7, 'SIGTERM reached the client')


def ctrl_c_ends_the_client_and_not_the_router():
    with Home() as h:
        other, env = h.client()
        child = subprocess.Popen(
            [BIN, '--home', h.dir, 'run', '--', 'sh', '-c', 'echo up; exec sleep 60'],
            env=clean_env(), stdout=subprocess.PIPE, text=True, start_new_session=True)
        h.children.append(child)
        equal(child.stdout.readline(), 'up\n', 'the client runs')
        os.killpg(child.pid, signal.SIGINT)  # what the terminal does to its foreground group
        equal(child.wait(LIMIT), 130, 'the client ended by it')
        finish(other)
        first = h.start('run', '--', 'sh', '-c', 'echo up; trap "" INT; read line')
        equal(first.stdout.readline(), 'up\n', 'a client that ignores it')
        first.send_signal(signal.SIGINT)
        # Which router it was, the first or one that this run started, is the runs' business.
        equal(finish(first)[0], 0, 'goes on')


def run_leaves_options_behind_the_command_alone():
    with Home() as h:
        equal(h.call('run', 'echo', '--policy', '-x').stdout, '--policy -x\n', 'arguments')


def the_router_ends_after_the_last_run():
    with Home() as h:
        first, env1 = h.client()
        second, env2 = h.client()
        pid = h.router()
        equal(env1['ANTHROPIC_BASE_URL'], env2['ANTHROPIC_BASE_URL'], 'both use one router')
        equal(h.status()['runs'], 2, 'runs')
        finish(first)
        until(lambda: h.status()['runs'] == 1, 'the first lease to end')
        until(lambda: models_status(env2, token_of(env1)) == 401, 'its token to be revoked')
        equal(models_status(env2, token_of(env2)), 200, 'the other token')
        finish(second)
        until(lambda: not alive(pid), 'the router to end')
        equal(h.status(), None, 'status without a router')


def a_router_of_serve_outlives_the_runs():
    with Home() as h:
        serve = h.serve()
        equal(h.call('run', '--', 'true').returncode, 0, 'run')
        until(lambda: h.status()['runs'] == 0, 'the lease to end')
        equal(serve.poll(), None, 'serve runs on')
        serve.send_signal(signal.SIGTERM)
        equal(serve.wait(LIMIT), 0, 'serve ends at SIGTERM')


def runs_that_start_at_once_share_one_router():
    with Home() as h:
        children = [h.start('run', '--', sys.executable, '-c', CLIENT) for _ in range(6)]
        lines = [c.stdout.readline() for c in children]
        urls = {json.loads(line)['ANTHROPIC_BASE_URL'] for line in lines if line}
        equal((len(urls), all(lines)), (1, True), 'one router for all')
        equal([finish(c)[0] for c in children], [0] * 6, 'exit statuses')


def runs_one_after_the_other_never_fail():
    with Home() as h:
        for i in range(15):
            # Each meets the router of the one before in another stage of its end.
            time.sleep(0.02 * i)
            answer = h.call('run', '--', 'true')
            equal((answer.returncode, answer.stderr), (0, ''), 'run %d' % i)


def a_killed_router_comes_back():
    with Home() as h:
        first, env = h.client()
        second, env2 = h.client()
        for round in range(3):
            pid = h.router()
            os.kill(pid, signal.SIGKILL)
            until(lambda: not alive(pid), 'the router to die')
            until(lambda: models_status(env, token_of(env)) == 200,
                  'the same token on the same port, round %d' % round)
            until(lambda: (h.status() or {}).get('runs') == 2, 'both leases again')
        equal(models_status(env, token_of(env2)), 200, 'the other client\'s token')
        equal(finish(first)[0], 0, 'first client')
        equal(finish(second)[0], 0, 'second client')
        until(lambda: h.status() is None, 'the new router to end with the last run')


def another_policy_is_an_error():
    with Home() as h:
        child, _ = h.client()
        other = h.write('other.yaml', POLICY % h.listen)
        answer = h.call('run', '--policy', other, '--', 'true')
        equal(answer.returncode, 3, 'exit status')
        holds(answer.stderr, h.path('policy.yaml'), 'the message names the policy in force')
        os.symlink('policy.yaml', h.path('same.yaml'))
        equal(h.call('run', '--policy', h.path('same.yaml'), '--', 'true').returncode, 0,
              'the same file by another name')
        finish(child)


def chains_are_checked():
    with Home() as h:
        equal(h.call('run', '--chain', 'other', '--', 'true').returncode, 0, 'a chain')
        answer = h.call('run', '--chain', 'nope', '--', 'true')
        equal(answer.returncode, 1, 'no such chain')
        holds(answer.stderr, 'chain', 'why')


def the_routers_environment_has_no_credential():
    with Home() as h:
        env = clean_env(ANTHROPIC_API_KEY='sk-secret', ANTHROPIC_AUTH_TOKEN='secret-too')
        child = h.start('run', '--', sys.executable, '-c', CLIENT, env=env)
        child.stdout.readline()
        try:
            with open('/proc/%d/environ' % h.router(), 'rb') as f:
                seen = f.read()
        except PermissionError:
            seen = b''  # a release hides it even from its own user
        equal(b'secret' in seen, False, 'a credential in the router\'s environment')
        finish(child)


# ---- what goes wrong ----

def a_missing_policy_says_what_to_do():
    with Home(policy=False) as h:
        for words in (('serve',), ('run', '--', 'true')):
            answer = h.call(*words)
            equal(answer.returncode, 3, words[0])
            holds(answer.stderr, h.path('policy.yaml'), 'where it should be')
            holds(answer.stderr, 'copy', 'what to do')


def a_broken_policy_is_named_with_its_place():
    with Home() as h:
        h.write('policy.yaml', (POLICY % h.listen).replace('use: main', 'use: mian'))
        for words in (('serve',), ('run', '--', 'true')):
            answer = h.call(*words)
            equal(answer.returncode, 3, words[0])
            holds(answer.stderr, 'policy.yaml:', 'file and line')
            holds(answer.stderr, 'mian', 'the wrong word')


def a_taken_port_is_said_to_be():
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        with Home('127.0.0.1:%d' % port) as h:
            for words in (('serve',), ('run', '--', 'true')):
                answer = h.call(*words)
                equal(answer.returncode, 1, words[0])
                holds(answer.stderr, str(port), 'which port')


def a_second_serve_is_refused():
    with Home() as h:
        h.serve()
        answer = h.call('serve')
        equal(answer.returncode, 1, 'exit status')
        holds(answer.stderr, 'another', 'why')


def a_locked_vault_is_opened_by_a_descriptor():
    with Home() as h:
        h.call('run', '--', 'true')
        until(lambda: h.status() is None, 'the router to end')
        os.rename(h.path('vault.key'), h.path('elsewhere'))
        answer = h.call('run', '--', 'true')
        equal(answer.returncode, 4, 'exit status')
        holds(answer.stderr, '--passphrase-fd', 'what to do')
        with open(h.path('elsewhere'), 'rb') as key:
            answer = subprocess.run(
                [BIN, '--home', h.dir, 'run', '--key-fd', str(key.fileno()), '--', 'true'],
                env=clean_env(), pass_fds=[key.fileno()], stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=LIMIT)
        equal((answer.returncode, answer.stderr), (0, ''), 'with the key on a descriptor')


# ---- env, status, token ----

def env_can_be_used_by_a_shell():
    with Home() as h:
        h.serve()
        user = clean_env(ANTHROPIC_CUSTOM_HEADERS="X-It's: \\n$HOME", ANTHROPIC_API_KEY='sk-mine')
        answer = h.call('env', env=user)
        equal(answer.returncode, 0, 'env: ' + answer.stderr)
        got = subprocess.run(
            ['sh', '-c', 'eval "$1"; exec "$2" -c "$3"', 'sh', answer.stdout, sys.executable, CLIENT],
            env=user, input='\n', capture_output=True, text=True, timeout=LIMIT)
        env = json.loads(got.stdout)
        equal(env['ANTHROPIC_CUSTOM_HEADERS'].split('\n')[0], "X-It's: \\n$HOME", 'quoting')
        equal(env['HOUSE_RULE'], "it's \\ here", 'quoting')
        equal('ANTHROPIC_API_KEY' in env, False, 'unset')
        equal(models_status(env, token_of(env)), 200, 'the token')


def env_has_other_forms():
    with Home() as h:
        h.serve()
        settings = json.loads(h.call('env', '--format', 'settings').stdout)
        equal(list(settings), ['env'], 'settings')
        equal(models_status(settings['env'], token_of(settings['env'])), 200, 'the token')
        fish = h.call('env', '--format', 'fish').stdout
        holds(fish, "set -gx HOUSE_RULE 'it\\'s \\\\ here'\n", 'fish quoting')
        holds(fish, 'set -e ANTHROPIC_API_KEY\n', 'fish unset')
        equal(h.call('env', '--format', 'csh').returncode, 2, 'no such form')


def env_and_status_need_a_router():
    with Home() as h:
        for words in (('env',), ('status',), ('status', '--json'), ('status', '--reset')):
            answer = h.call(*words)
            equal((answer.returncode, answer.stdout), (1, ''), ' '.join(words))
            holds(answer.stderr, 'no router', ' '.join(words))


def status_tells_of_the_router():
    with Home() as h:
        serve = h.serve()
        text = h.call('status')
        equal(text.returncode, 0, 'exit status')
        holds(text.stdout, str(serve.pid), 'pid')
        holds(text.stdout, h.path('policy.yaml'), 'policy')
        equal(h.status()['cooldowns'], [], 'cooldowns')
        equal(h.call('status', '--reset').returncode, 0, 'reset of all')
        equal(h.call('status', 'only').returncode, 2, 'a name without --reset')


def check_tokens(h):
    made = h.call('token', 'add', 'laptop', '--owner', 'ada', '--scope', 'turn', '--scope', 'view',
                  '--requests-per-minute', '9', '--turns', '3', '--project', 'house',
                  '--tokens-per-day', '5000000', '--money-per-day', '2.50')
    equal(made.returncode, 0, 'add: ' + made.stderr)
    holds(made.stderr, 'only now', 'that it is shown once')
    token = made.stdout.strip()
    again = h.call('token', 'add', 'laptop')
    equal(again.returncode, 1, 'a name twice')
    holds(again.stderr, 'already', 'a name twice')
    rows = [r for r in json.loads(h.call('token', 'list', '--json').stdout) if r['name'] == 'laptop']
    equal(len(rows), 1, 'rows of that name')
    wanted = {'owner': 'ada', 'project': 'house', 'scopes': 'turn,view', 'turns': 3,
              'requests_per_minute': 9, 'chain': None, 'tokens_per_day': 5000000, 'money_per_day': 2.5}
    equal({k: rows[0][k] for k in wanted}, wanted, 'the row')
    listed = h.call('token', 'list')
    holds(listed.stdout, 'laptop', 'the table')
    equal(token in listed.stdout, False, 'a list with the token in it')
    for words in (('add', 'a b'), ('add', 'x', '--scope', 'all'), ('add', 'x' * 61),
                  *(('add', 'x', '--money-per-day', m) for m in ('0', '-1', '1e3', '0x9', '', 'much', '.', '5 '))):
        equal(h.call('token', *words).returncode, 2, repr(words))
    return token


def check_rm(h):
    equal(h.call('token', 'rm', 'laptop').returncode, 0, 'rm')
    gone = h.call('token', 'rm', 'laptop')
    equal(gone.returncode, 1, 'rm twice')
    holds(gone.stderr, 'laptop', 'rm twice')
    equal(json.loads(h.call('token', 'list', '--json').stdout), [], 'list')


def tokens_with_a_router():
    with Home() as h:
        h.serve()
        env = {'ANTHROPIC_BASE_URL': h.status()['url']}
        token = check_tokens(h)
        equal(models_status(env, token), 200, 'before rm')
        check_rm(h)
        equal(models_status(env, token), 401, 'after rm')


def tokens_without_a_router():
    with Home(policy=False) as h:
        equal(json.loads(h.call('token', 'list', '--json').stdout), [], 'a new home')
        token = check_tokens(h)
        h.write('policy.yaml', POLICY % h.listen)
        serve = h.serve()
        env = {'ANTHROPIC_BASE_URL': h.status()['url']}
        equal(models_status(env, token), 200, 'a router started later knows it')
        serve.send_signal(signal.SIGTERM)
        equal(serve.wait(LIMIT), 0, 'serve')
        check_rm(h)


def the_demo_arrives_whole():
    before = set(os.listdir(tempfile.gettempdir()))
    answer = subprocess.run([BIN, 'demo', '--json'], env=clean_env(), capture_output=True,
                            text=True, timeout=2 * LIMIT)
    equal(answer.returncode, 0, answer.stderr)
    got = json.loads(answer.stdout)
    equal((got['whole'], got['of']), (19, 19), 'turns')
    failed = [t['attempts'].split(',')[0].split(':')[1] for t in got['turns']]
    equal(failed, ['ok', '429', '529', '500', 'timeout_connect', 'timeout_first_byte',
                   'overloaded', 'overloaded', 'truncated_stream'] + 10 * ['ok'], 'one failure a turn')
    equal([t['joints'] for t in got['turns']], 9 * [0] + [1, 1, 1, 1, 1, 1, 1, 0, 2, 0], 'who went on')
    equal([t['failed'] for t in got['turns']][3:6], ['500', 'timeout_connect (connection refused)',
                                                     'timeout_first_byte (nothing came in time)'], 'what is told of a failure')
    equal([n for n in set(os.listdir(tempfile.gettempdir())) - before
           if n.startswith('continuo-demo-')], [], 'left behind')


TESTS = [
    run_gives_the_client_its_environment,
    run_keeps_what_the_user_set,
    run_keeps_the_login_of_a_client_whose_key_goes_on,
    run_passes_the_exit_status_on,
    run_passes_signals_on,
    ctrl_c_ends_the_client_and_not_the_router,
    run_leaves_options_behind_the_command_alone,
    the_router_ends_after_the_last_run,
    a_router_of_serve_outlives_the_runs,
    runs_that_start_at_once_share_one_router,
    runs_one_after_the_other_never_fail,
    a_killed_router_comes_back,
    another_policy_is_an_error,
    chains_are_checked,
    the_routers_environment_has_no_credential,
    a_missing_policy_says_what_to_do,
    a_broken_policy_is_named_with_its_place,
    a_taken_port_is_said_to_be,
    a_second_serve_is_refused,
    a_locked_vault_is_opened_by_a_descriptor,
    env_can_be_used_by_a_shell,
    env_has_other_forms,
    env_and_status_need_a_router,
    status_tells_of_the_router,
    tokens_with_a_router,
    tokens_without_a_router,
    the_demo_arrives_whole,
]


def main():
    wanted = sys.argv[1:]
    passed = failed = 0
    for test in TESTS:
        if wanted and test.__name__ not in wanted:
            continue
        began = time.monotonic()
        try:
            test()
            passed += 1
            print('ok   %s (%.1f s)' % (test.__name__, time.monotonic() - began), flush=True)
        except Exception as e:
            failed += 1
            print('FAIL %s: %s' % (test.__name__, e), flush=True)
            if not isinstance(e, AssertionError):
                traceback.print_exc(file=sys.stdout)
    print('%d passed, %d failed' % (passed, failed))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
