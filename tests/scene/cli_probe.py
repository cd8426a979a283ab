"""`continuo probe` against backends that are good, and that are bad in one way each."""
import json
import os
import signal
import stat
import subprocess
import sys

import harness
from harness import BIN, Provider, same, scene, spawn, until
from model_backend import LIMIT, Backend, Refusal

POLICY = '''# my models
listen: 127.0.0.1:0
backends:
  b:
    wire: {wire}
    url: "http://127.0.0.1:{port}"   # a stand-in
    key: {key}
models:
  m:
    backend: b
    id: some-model-1{more}   # the one
chains: {{main: [m]}}
routes:
  - use: main
'''


def write(home, port, wire='anthropic', key='none', more='', text=POLICY):
    path = os.path.join(home, 'policy.yaml')
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text.format(port=port, wire=wire, key=key, more=more))
    os.chmod(path, 0o640)
    return path


def text_of(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def run(home, *args, env=None):
    plain = {k: v for k, v in os.environ.items() if not k.startswith('ANTHROPIC_')}
    return subprocess.run([BIN, 'probe', *args, '--home', home], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                          env={**plain, **(env or {})})


def probe(home, *args, status=0, env=None):
    """The one report of a run as JSON: verdicts by check, and all of it."""
    done = run(home, '--json', *args, env=env)
    same(done.returncode, status, f'{done.stdout}{done.stderr}')
    told = json.loads(done.stdout)
    return {c['check']: c['verdict'] for c in told['probes'][0]['checks']}, told


def came(told, check):
    return [c['came'] for c in told['probes'][0]['checks'] if c['check'] == check][0]


def findings(told):
    return {f['key']: f['value'] for f in told['findings']}


@scene
def q0001_a_good_backend(home):
    """Every check passes, in either format; the table says so line by line and the status is 0."""
    for wire, not_ok in (('anthropic', {}), ('openai-chat', {'thinking': 'odd', 'thinking_budget': 'odd', 'count_tokens': 'skipped'})):
        backend = Backend()
        write(home, backend.port, wire)
        verdicts, told = probe(home)
        same({c: v for c, v in verdicts.items() if v != 'ok'}, not_ok, f'{wire}: {json.dumps(told, indent=1)}')
        same(len(verdicts), 26, 'checks')
        expected = {'continuation': 'prefill'} if wire == 'anthropic' else {'continuation': 'prefill', 'images': 'true'}
        same(findings(told), expected, f'{wire}: findings')
        shown = run(home)
        same(shown.returncode, 0, shown.stderr)
        rows = {line.split()[0]: line for line in shown.stdout.splitlines() if line.split()}
        for check, verdict in verdicts.items():
            assert f' {verdict} ' in rows[check], rows[check]
        assert '"It is BASALT-7."' in rows['system'], rows['system']
        assert f'm: {26 - len(not_ok)} ok' in shown.stdout, shown.stdout
        backend.stop()


@scene
def q0002_bad_backends(home):
    """Each fault is found by the check that is about it, and by no other; those that chains rely on give 1."""
    cases = [
        (['drops_system'], {'system': 'no'}, 1, {'quirks': '[fold_system]'}),
        (['no_late_system'], {'late_system': 'no'}, 0, {'quirks': '[no_system_messages]'}),
        (['ignores_stop'], {'stop': 'no'}, 0, {}),
        (['no_prefill'], {'prefill': 'no'}, 0, None),
        (['repeats'], {'prefill': 'no'}, 0, None),
        (['renamed'], {'model_name': 'no'}, 0, {}),
        (['one_call'], {'parallel': 'odd'}, 0, {}),
        (['no_choice'], {'tool_choice': 'no'}, 0, {'quirks': '[auto_tool_choice]'}),
        (['no_images'], {'image': 'no', 'tool_image': 'no'}, 1, {'images': 'false'}),
        (['no_thinking'], {'thinking': 'no', 'thinking_budget': 'no'}, 1, {'thinking': 'false'}),
        (['no_adaptive'], {'thinking': 'odd'}, 0, {'quirks': '[no_adaptive_thinking]'}),
        (['no_budget'], {'thinking_budget': 'odd'}, 0, {'quirks': '[no_thinking_budget]'}),
        (['no_usage'], {'usage': 'no', 'cache': 'odd'}, 0, {}),
        (['lumps'], {'stream': 'odd'}, 0, {}),
        (['strict'], {'unknown_field': 'odd'}, 0, {}),
        (['no_count'], {'count_tokens': 'odd'}, 0, {}),
        (['takes_all'], {'error': 'odd'}, 0, {}),
        (['ceiling'], {}, 0, {'max_output': str(LIMIT)}),
        (['leaks'], {'tool_call': 'no', 'tool_stream': 'no', 'parallel': 'no'}, 1, {'tool_format': 'hermes'}),
    ]
    for faults, bad, status, found in cases:
        backend = Backend(*faults)
        write(home, backend.port)
        verdicts, told = probe(home, status=status)
        backend.stop()
        same({c: v for c, v in verdicts.items() if v != 'ok'}, bad, f'{faults}: {json.dumps(told, indent=1)}')
        same(findings(told), {} if found is None else {**found, 'continuation': 'prefill'}, f'{faults}: findings')


@scene
def q0003_streams(home):
    """A stream that breaks off fails; where only whole answers come, that is what the policy should say."""
    backend = Backend('cuts')
    write(home, backend.port)
    verdicts, told = probe(home, '--only', 'stream', '--only', 'whole', '--only', 'tool_stream', status=1)
    same(verdicts, {'stream': 'no', 'whole': 'ok', 'tool_stream': 'no'}, 'cut streams')
    assert came(told, 'stream').startswith('truncated_stream'), told
    same(findings(told), {}, 'findings of a cut stream')
    backend.faults = {'no_stream'}
    verdicts, told = probe(home, '--only', 'stream', '--only', 'whole', status=1)
    same((verdicts, findings(told)), ({'stream': 'no', 'whole': 'ok'}, {'stream': 'never'}), 'no streams')
    backend.stop()


@scene
def q0004_limits_and_keys(home):
    """One 429 is waited out, a second ends the run; so does a refused key, of which nothing is shown."""
    backend = Backend(first=[Refusal(429, 'slow down', 'rate_limit_error', Retry_After='1')])
    write(home, backend.port)
    verdicts, told = probe(home, '--only', 'answer')
    same((verdicts, len(backend.seen)), ({'answer': 'ok'}, 2), 'asked again')
    assert 'asked again after 1 s' in came(told, 'answer'), told
    backend.first = [Refusal(429, 'slow down', 'rate_limit_error', Retry_After='1')] * 2
    verdicts, told = probe(home, '--only', 'answer', '--only', 'stop', status=1)
    same((verdicts, len(backend.seen)), ({'answer': 'no', 'stop': 'skipped'}, 4), 'limited twice')
    backend.first = [Refusal(429, 'slow down', 'rate_limit_error', Retry_After='90')]
    verdicts, told = probe(home, '--only', 'answer', '--timeout', '30', status=1)
    same((verdicts, len(backend.seen)), ({'answer': 'no'}, 5), 'longer than the timeout')
    key = 'unusual-credential-0123456789'
    backend.first = [Refusal(401, f'invalid x-api-key {key} given', 'authentication_error')]
    write(home, backend.port, key='[client]')
    with open(os.path.join(home, 'policy.yaml'), 'a', encoding='utf-8') as f:
        f.write(f'client_key_origins: ["http://127.0.0.1:{backend.port}"]\n')
    none = run(home)
    same(none.returncode, 1, none.stderr)
    assert 'ANTHROPIC_API_KEY' in none.stderr and len(backend.seen) == 5, none.stderr
    refused = run(home, env={'ANTHROPIC_API_KEY': key})
    same((refused.returncode, len(backend.seen)), (1, 6), refused.stderr)
    same({k.lower(): v for k, v in backend.seen[-1][1].items()}.get('x-api-key'), key, 'the key that was sent')
    assert key not in refused.stdout + refused.stderr and '*' * len(key) in refused.stdout, refused.stdout
    assert 'not asked: the key was refused' in refused.stdout, refused.stdout
    backend.stop()


@scene
def q0005_keys_of_the_vault(home):
    """A key comes out of the vault for its origin; a locked vault gives 4."""
    backend = Backend()
    write(home, backend.port, key='vault:mine')
    key = 'another-credential-987654321'
    made = subprocess.run([BIN, 'vault', 'set', 'mine', '--origin', f'http://127.0.0.1:{backend.port}', '--home', home],
                          input=key + '\n', capture_output=True, text=True, timeout=60)
    same(made.returncode, 0, made.stderr)
    verdicts, _ = probe(home, '--only', 'answer')
    same(verdicts, {'answer': 'ok'}, 'with a key')
    same({k.lower(): v for k, v in backend.seen[-1][1].items()}.get('x-api-key'), key, 'the key that was sent')
    os.unlink(os.path.join(home, 'vault.key'))
    locked = run(home, '--only', 'answer')
    same(locked.returncode, 4, locked.stderr)
    backend.stop()


@scene
def q0006_write(home):
    """--write changes the lines it has to, keeps mode and every other byte, and finds nothing the second time."""
    backend = Backend('no_images', 'ceiling', 'drops_system', 'no_choice')
    path = write(home, backend.port)
    before = text_of(path)
    done = run(home, '--write')
    same(done.returncode, 1, done.stderr)
    after = text_of(path)
    same(stat.S_IMODE(os.stat(path).st_mode), 0o640, 'the mode')
    added = ('    quirks: [fold_system, auto_tool_choice]\n', f'    continuation: prefill\n    images: false\n    max_output: {LIMIT}\n')
    want = before.replace('    key: none\n', '    key: none\n' + added[0]).replace('   # the one\n', '   # the one\n' + added[1])
    same(after, want, 'the policy')
    for line in (added[0] + added[1]).splitlines():
        assert f'\n+{line}\n' in done.stdout, f'{line} is not shown in {done.stdout}'
    same([f for f in os.listdir(home) if f.startswith('policy.yaml')], ['policy.yaml'], 'files left behind')
    again = run(home, '--write')
    same((again.returncode, text_of(path)), (0, after), again.stdout + again.stderr)
    assert 'nothing to write' in again.stderr, again.stderr
    backend.stop()


@scene
def q0007_write_into_an_include(home):
    """A model that an included file defines is changed there."""
    backend = Backend('no_images')
    path = write(home, backend.port, text='include: more.yaml\nbackends:\n  b: {{wire: {wire}, url: "http://127.0.0.1:{port}"}}\n'
                                          'chains: {{main: [m]}}\nroutes: [{{use: main}}]\n')
    more = os.path.join(home, 'more.yaml')
    with open(more, 'w', encoding='utf-8') as f:
        f.write('models: {m: {backend: b, id: x, images: true}}  # mine\n')
    os.chmod(more, 0o600)
    before = text_of(path)
    done = run(home, '--write', '--only', 'image')
    same(done.returncode, 1, done.stderr)
    same(text_of(more), 'models: {m: {backend: b, id: x, images: false}}  # mine\n', 'the included file')
    same(text_of(path), before, 'the policy file')
    backend.stop()


@scene
def q0008_wrong_usage(home):
    """Unknown models, checks and times are 2, a broken policy is 3; `id: client` needs an id."""
    backend = Backend()
    path = write(home, backend.port)
    for args, word in ((['nobody'], 'nobody'), (['--only', 'wrong'], 'wrong'), (['--timeout', '0'], '--timeout')):
        bad = run(home, *args)
        same(bad.returncode, 2, bad.stderr)
        assert word in bad.stderr, bad.stderr
    with open(path, 'w', encoding='utf-8') as f:
        f.write(POLICY.format(port=backend.port, wire='anthropic', key='none', more='').replace('some-model-1', 'client'))
    none = run(home, '--only', 'answer')
    same((none.returncode, len(backend.seen)), (1, 0), none.stderr)
    assert '--id' in none.stderr, none.stderr
    verdicts, told = probe(home, 'm', '--only', 'answer', '--id', 'claude-x')
    same((verdicts, backend.seen[-1][2]['model'], told['probes'][0]['id']), ({'answer': 'ok'}, 'claude-x', 'claude-x'), 'with an id')
    with open(path, 'w', encoding='utf-8') as f:
        f.write('backends: 3\n')
    same(run(home).returncode, 3, 'a broken policy')
    backend.stop()


@scene
def q0009_interrupted(home):
    """Ctrl-C ends it with a report of what is known, and nothing is written."""
    backend = Backend('no_images')
    path = write(home, backend.port)
    before = text_of(path)
    backend.hold.set()
    child = spawn([BIN, 'probe', '--write', '--home', home], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                  text=True)
    until('the first request', backend.held.is_set)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    same((child.returncode, text_of(path)), (1, before), err)
    assert 'interrupted' in out and 'nothing is written' in err, out + err
    backend.stop()


@scene
def q0010_the_scripted_provider(home):
    """Failures on the line: a server that only hangs, fails or closes ends the run after three."""
    for step, word, seconds in (('always status 500', 'server_error', '60'), ('always reset', 'server_error', '60'),
                                ('always hang', 'timeout_', '1')):
        provider = Provider(home, a=step)
        write(home, provider.ports['a'])
        verdicts, told = probe(home, '--timeout', seconds, status=1)
        same([v for v in verdicts.values() if v == 'ok'], [], f'{step}: {told}')
        assert came(told, 'answer').startswith(word), told
        same(told['probes'][0]['stopped'], 'not asked: three failures in a row', step)
        same(len([v for c, v in verdicts.items() if v == 'no']) >= 3, True, f'{step}: {verdicts}')
        provider.stop()
        os.unlink(provider.log)


@scene
def q0011_what_was_written_helps(home):
    """In Chat Completions: with the findings in the policy, what failed works."""
    backend = Backend('drops_system', 'leaks')
    path = write(home, backend.port, 'openai-chat')
    verdicts, told = probe(home, '--write', status=1)
    same({c: v for c, v in verdicts.items() if v == 'no'},
         {'system': 'no', 'tool_call': 'no', 'tool_stream': 'no', 'parallel': 'no'}, json.dumps(told, indent=1))
    same((told['written'], findings(told)), (True, {'continuation': 'prefill', 'images': 'true', 'tool_format': 'hermes',
                                                    'quirks': '[fold_system]'}), 'findings')
    verdicts, told = probe(home)
    same({c: v for c, v in verdicts.items() if v == 'no'}, {}, f'{text_of(path)}: {json.dumps(told, indent=1)}')
    same((verdicts['system'], verdicts['tool_call'], verdicts['tool_stream']), ('ok', 'ok', 'ok'), 'what failed before')
    backend.stop()


if __name__ == '__main__':
    sys.exit(harness.main())
