"""`continuo policy`, and policies that must not be put in force."""
import json
import os
import subprocess
import sys

import harness
from harness import BIN, same, scene

SOURCE = os.environ.get('CONTINUO_SOURCE', os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))

POLICY = '''listen: 127.0.0.1:0
backends:
  kimi: {{preset: moonshot, key: vault:kimi{url}}}
models:
  k2: {{backend: kimi, id: kimi-k2.6}}
chains:
  main: [k2]
routes:
  - when: {{model: "claude-haiku-*", context_under: 1k}}
    use: main
  - use: main
'''


def run(home, *args, stdin=None):
    return subprocess.run([BIN, *args, '--home', home], input=stdin, capture_output=True, text=True, timeout=60)


def write(home, text):
    path = os.path.join(home, 'policy.yaml')
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    os.chmod(path, 0o600)


@scene
def v0001_a_key_goes_nowhere_else(home):
    """A policy that points a known key to another host is refused with 3, by check and by serve."""
    set_key = run(home, 'vault', 'set', 'kimi', '--preset', 'moonshot', stdin='sk-test-0123456789abcdef\n')
    same(set_key.returncode, 0, set_key.stderr)
    write(home, POLICY.format(url=''))
    good = run(home, 'policy', 'check')
    same(good.returncode, 0, good.stderr)
    write(home, POLICY.format(url=', url: "https://evil.example/anthropic"'))
    for args in (('policy', 'check'), ('serve',)):
        bad = run(home, *args)
        same(bad.returncode, 3, f'{args}: {bad.stderr}')
        assert 'evil.example' in bad.stderr and 'policy.yaml:' in bad.stderr and 'sk-test' not in bad.stderr, bad.stderr


@scene
def v0002_a_locked_vault(home):
    """Without the key file, and with a wrong passphrase, the start fails with 4."""
    same(run(home, 'vault', 'init').returncode, 0, 'init')
    write(home, POLICY.format(url=''))
    os.unlink(os.path.join(home, 'vault.key'))
    locked = run(home, 'serve')
    same(locked.returncode, 4, locked.stderr)


@scene
def v0003_every_mistake_in_one_run(home):
    """All mistakes are named with their places, and nothing is put in force."""
    write(home, 'listn: 1\nbackends:\n  a: {wire: anthropic, url: "http://example.com"}\nmodels:\n  m: {backend: b}\n'
                'chains:\n  main: [opsu]\nroutes:\n  - use: mian\n')
    bad = run(home, 'policy', 'check')
    same(bad.returncode, 3, bad.stderr)
    for place in (':1:1:', ':3:', ':5:', ':7:', ':9:'):
        assert f'policy.yaml{place}' in bad.stderr, f'{place} is not in {bad.stderr}'
    assert "did you mean 'main'" in bad.stderr and "did you mean 'listen'" in bad.stderr, bad.stderr


@scene
def v0004_shipped_policies_and_their_schema(home):
    """Every shipped policy is in order, shown so that it loads again, and the schema is the parser's."""
    folder = os.path.join(SOURCE, 'policies')
    for name in ('subscription', 'keys', 'open', 'local', 'team'):
        path = os.path.join(folder, f'{name}.yaml')
        check = run(home, 'policy', 'check', path)
        same((check.returncode, check.stderr), (0, ''), name)
        shown = run(home, 'policy', 'show', path)
        write(home, shown.stdout)
        again = run(home, 'policy', 'show', os.path.join(home, 'policy.yaml'))
        same(again.stdout, shown.stdout, f'{name}, shown and loaded')
        json.loads(run(home, 'policy', 'show', path, '--json').stdout)
    with open(os.path.join(folder, 'policy.schema.json'), encoding='utf-8') as f:
        same(run(home, 'policy', 'schema').stdout, f.read(), 'policies/policy.schema.json')


@scene
def v0005_explain(home):
    """The route, the chain and the order of candidates, and why others are left out."""
    write(home, POLICY.format(url='').replace('vault:kimi', 'none'))
    told = run(home, 'policy', 'explain', '--model', 'claude-haiku-5-5', '--tokens', '10', '--json')
    same(told.returncode, 0, told.stderr)
    plan = json.loads(told.stdout)
    same((plan['chain'], plan['route'], plan['candidates'][0]['model']), ('main', 1, 'k2'), 'a small one')
    same(json.loads(run(home, 'policy', 'explain', '--model', 'claude-haiku-5-5', '--tokens', '5000', '--json').stdout)['route'], 2, 'a large one')
    plan = json.loads(run(home, 'policy', 'explain', '--tokens', '5000000', '--json').stdout)
    assert plan['candidates'] == [] and 'window' in plan['skipped'][0]['reason'], plan


REASONS = '''backends: {{a: {{preset: ollama}}}}
models: {{m: {{backend: a, id: x}}, n: {{backend: a, id: y, images: false}}}}
chains: {{main: [m, n]}}
routes:
  - when: {{model: other-*, context_over: 1k}}
    use: [m]
  - when: {{header: {{x-project: blue*}}, time: "22:00-06:00", caller: side, owner: ci}}
    use: [m]
  - when: {{images: false, tools: true, thinking: true}}
    use: [m]
  - use: main
'''


@scene
def v0006_explain_says_why_not(home):
    """Each condition that does not hold is named, and a header, a time and a body are taken into account."""
    write(home, REASONS.format())
    plan = json.loads(run(home, 'policy', 'explain', '--images', '--at', '12:00', '--json').stdout)
    same(plan['passed'], [{'route': 1, 'fails': ['model', 'context_over']},
                          {'route': 2, 'fails': ['owner', 'caller', 'header', 'time']},
                          {'route': 3, 'fails': ['thinking', 'images', 'tools']}], 'why not')
    same(([c['model'] for c in plan['candidates']], [k['model'] for k in plan['skipped']]), (['m'], ['n']), 'images')
    night = ('--at', '23:00', '--header', 'X-Project: blue sky', '--caller', 'side', '--owner', 'ci', '--json')
    same(json.loads(run(home, 'policy', 'explain', *night).stdout)['route'], 2, 'the second')
    text = run(home, 'policy', 'explain', '--at', '12:00').stdout
    assert 'route 1 does not match: model (other-*), context_over (1000)\n' in text, text
    assert 'route 4 matches: chain main\n  1. a/m as x, key none\n' in text, text
    body = {'model': 'other-1', 'max_tokens': 5, 'messages': [{'role': 'user', 'content': 'word ' * 4000}]}
    told = run(home, 'policy', 'explain', '--json', '-', stdin=json.dumps(body))
    same((told.returncode, json.loads(told.stdout)['route']), (0, 1), told.stderr)
    for args, status in ((('--at', '25:00'), 2), (('--caller', 'me'), 2), (('--header', 'x'), 2), (('nowhere.json',), 1)):
        bad = run(home, 'policy', 'explain', *args)
        same(bad.returncode, status, f'{args}: {bad.stderr}')
    write(home, REASONS.format().replace('  - use: main\n', ''))
    none = run(home, 'policy', 'explain')
    assert none.returncode == 1 and 'route 3 does not match' in none.stdout, (none.returncode, none.stdout, none.stderr)
    none = run(home, 'policy', 'explain', '--json')
    same((none.returncode, [r['route'] for r in json.loads(none.stdout)['passed']]), (1, [1, 2, 3]), 'no route at all')


@scene
def v0007_presets(home):
    """The catalogue is listed, for people and for programs, and knows both formats."""
    listed = run(home, 'policy', 'presets')
    same(listed.returncode, 0, listed.stderr)
    rows = {line.split()[0]: line for line in listed.stdout.splitlines()}
    assert 'https://api.deepseek.com/beta' in rows['deepseek-chat'], rows['deepseek-chat']
    assert 'url has to be named' in rows['any-chat'], rows['any-chat']
    presets = {p['name']: p for p in json.loads(run(home, 'policy', 'presets', '--json').stdout)}
    same(sorted(presets), sorted(rows), 'names')
    same(presets['groq']['format'], 'Chat', 'groq')
    same(presets['anthropic']['format'], 'Messages', 'anthropic')
    assert 'url' not in presets['any-anthropic'], presets['any-anthropic']
    unknown = run(home, 'vault', 'set', 'k', '--preset', 'nobody', stdin='sk-test-0123456789abcdef\n')
    same(unknown.returncode, 2, unknown.stderr)
    assert 'policy presets' in unknown.stderr, unknown.stderr
    good = run(home, 'vault', 'set', 'k', '--preset', 'zai-coding-chat', stdin='sk-test-0123456789abcdef\n')
    same(good.returncode, 0, good.stderr)
    kept = run(home, 'vault', 'list')
    assert 'https://api.z.ai:443' in kept.stdout, kept.stdout


sys.exit(harness.main())
