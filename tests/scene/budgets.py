"""Budgets of tokens and money: warned of, degraded for, stopped at, and not forgotten by a restart."""
import json
import os
import signal
import sys
import time

import harness
from harness import Provider, Router, post, same, scene, until

# Noon on the router's clock, so that no day ends while a scene runs.
os.environ['TZ'] = f'ZZZ{time.gmtime().tm_hour - 12:+d}'
TURN = 162  # tokens that the scripted provider reports for a turn: 120 in, 42 out
PRICE = 'price: {input: 10000, output: 100000, date: 2026-11-21}'  # 5.40 dollars a turn


class Budgeted(Router):
    def __init__(self, home, provider, budgets, chain='ab'):
        self.provider, self.chain = provider, chain
        super().__init__(home, budgets)

    def write_policy(self, budgets, fallback=None, extra=''):
        lines = ['listen: 127.0.0.1:0', 'workers: 2', 'backends:']
        lines += [f'  {n}: {{wire: anthropic, url: "http://127.0.0.1:{self.provider.ports[n]}", key: none}}' for n in self.chain]
        lines += ['models:'] + [f'  m-{n}: {{backend: {n}, id: id-{n}, {PRICE}}}' for n in self.chain]
        lines += ['chains:', '  main: [' + ', '.join(f'm-{n}' for n in self.chain) + ']', 'routes:', '  - use: main']
        lines += [f'budgets: {{{budgets}}}'] if budgets else []
        path = os.path.join(self.home, 'policy.yaml')
        with open(path + '.new', 'w', encoding='utf-8') as f:
            f.write('\n'.join(lines) + '\n')
        os.chmod(path + '.new', 0o600)
        os.rename(path + '.new', path)

    def change(self, budgets):
        before = self.status()['counters']['reloads']
        self.write_policy(budgets)
        self.child.send_signal(signal.SIGHUP)
        until('the reload', lambda: self.status()['counters']['reloads'] > before)

    def again(self, how=signal.SIGTERM):
        self.stop(how)
        self.start()

    def today(self):
        return self.status()['today']


def turn(r, token, session='s1', **more):
    return post(r.port, token, headers={'x-claude-code-session-id': session}, **more)


def refused(a, words, comes_back=True):
    same((a.status, a.json()['error']['type'], a.headers['x-should-retry']), (429, 'rate_limit_error', 'false'), 'the refusal')
    same((a.headers['x-model-used'], a.headers['x-continuo-attempts']), ('none', ''), 'no attempt')
    assert words in a.json()['error']['message'], a.body
    if comes_back:  # at midnight, half a day from now; the minutes are those of the real clock
        assert 10.9 * 3600 < int(a.headers['retry-after']) <= 12 * 3600, a.headers
    else:
        assert 'retry-after' not in a.headers, a.headers


@scene
def l0301_a_tokens_own_limit(home):
    """Over its tokens a day a token gets 429 until midnight and no backend is asked; others go on; a restart forgets nothing."""
    p = Provider(home, a='always ok', b='ok')
    r = Budgeted(home, p, 'token: {tokens: 1, then: warn}')
    t, other = r.token(name='t', tokens_per_day=2 * TURN), r.token(name='other')
    same([turn(r, t).status for _ in range(2)], [200, 200], 'two turns')
    refused(turn(r, t), "this token's budget for today")
    refused(turn(r, t, session='s2'), "this token's budget for today")
    same(turn(r, other).status, 200, 'another token')
    same(len(p.seen()), 3, 'turns that were asked of a backend')
    same(r.today()['tokens'], 3 * TURN, 'today')
    for how in (signal.SIGTERM, signal.SIGKILL):
        r.again(how)
        refused(turn(r, t), "this token's budget for today")
        same(r.today(), {'tokens': 3 * TURN, 'money': 16.2}, 'today, after a restart')
    same(turn(r, other).status, 200, 'another token, after a restart')
    r.stop()
    p.stop()


@scene
def l0302_money_of_the_day(home):
    """A day's money is everyone's: over it every token is stopped, also where a reload brings the budget."""
    p = Provider(home, a='always ok', b='ok')
    r = Budgeted(home, p, 'day: {money: 10, then: stop}')
    tokens = [r.token(name=n) for n in ('one', 'two')]
    same([turn(r, t).status for t in tokens], [200, 200], 'each a turn')
    for t in tokens:
        refused(turn(r, t), "the router's budget for today")
    same(r.today(), {'tokens': 2 * TURN, 'money': 10.8}, 'today')
    r.change('')
    same(turn(r, tokens[0]).status, 200, 'without a budget')
    r.change('day: {money: 16, then: stop}')
    refused(turn(r, tokens[0]), "the router's budget for today")
    r.stop()
    p.stop()


@scene
def l0303_degrade(home):
    """Each budget that is used up moves the chain's beginning one model further, but not past the last."""
    p = Provider(home, a='always ok', b='always ok', c='always ok')
    r = Budgeted(home, p, f'token: {{tokens: {2 * TURN}, then: degrade}}', chain='abc')
    t = r.token(name='t')
    used = [turn(r, t).headers['x-model-used'][0] for _ in range(8)]
    same(''.join(used), 'aabbcccc', 'who answered')
    same(r.text().count('budget used up'), 1, 'said once')
    r.again()
    same(turn(r, t).headers['x-model-used'], 'c/m-c', 'after a restart')
    r.stop()
    p.stop()


@scene
def l0304_warn(home):
    """A budget that only warns is named in the log, once, and nothing else changes."""
    p = Provider(home, a='always ok', b='ok')
    r = Budgeted(home, p, 'day: {tokens: 100}')
    t = r.token(name='t')
    same([turn(r, t).headers['x-model-used'] for _ in range(3)], ['a/m-a'] * 3, 'three turns')
    same(r.text().count('budget used up name=day state=warn'), 1, 'said once')
    assert 'not acted on' not in r.text() and 'without a price' not in r.text(), r.text()
    r.stop()
    p.stop()


@scene
def l0305_sessions(home):
    """A session's budget is for all its time: of no other session, not of the day, and with what earlier runs spent."""
    p = Provider(home, a='always ok', b='ok')
    r = Budgeted(home, p, '')
    t = r.token(name='t')
    same([turn(r, t).status for _ in range(2)], [200, 200], 'two turns')
    r.again()
    same(turn(r, t).status, 200, 'a third, without any budget')
    r.change(f'session: {{tokens: {3 * TURN}, then: stop}}')
    refused(turn(r, t), "this session's budget", comes_back=False)
    same(turn(r, t, session='s2').status, 200, 'another session')
    named_in_the_body = harness.request_body(metadata={'user_id': json.dumps({'session_id': 's1'})})
    refused(post(r.port, t, named_in_the_body), "this session's budget", comes_back=False)
    r.again()
    refused(turn(r, t), "this session's budget", comes_back=False)
    same([turn(r, t, session='s2').status for _ in range(3)], [200, 200, 429], 'the other session')
    r.stop()
    p.stop()


@scene
def l0306_what_is_perhaps_billed_counts(home):
    """A prompt that was sent and not refused is counted by its estimate, in this run and in the next."""
    p = Provider(home, a='status 500; status 529; always ok', b='always ok')
    r = Budgeted(home, p, '')
    t = r.token(name='t')
    same(turn(r, t).headers['x-continuo-attempts'], 'a/m-a:500, b/m-b:ok', 'a failure that may be billed')
    first = r.today()
    assert first['tokens'] > TURN and first['money'] > 5.4, first
    r.admin('POST', '/api/reset')
    same(turn(r, t).headers['x-continuo-attempts'], 'a/m-a:529, b/m-b:ok', 'a refusal, which is not')
    second = r.today()
    same(second['tokens'], first['tokens'] + TURN, 'with the second turn')
    r.again()
    same(r.today(), second, 'after a restart')
    r.stop()
    p.stop()


sys.exit(harness.main())
