"""An answer cut anywhere goes on across the formats: nothing is lost or said twice, and every request keeps its format's rules."""
import json
import os
import subprocess
import sys

import harness
from harness import Edited, Provider, TOOL, post, request_body, same, scene

TASK = 'CONTINUO-TASK steps=3 dir=/tmp/x words=60 calls=2'
FAULTS = ('cut-fin', 'cut-rst', 'cut-clean', 'cut-error', 'cut-error body={"error":{"message":"Provider returned error","code":502}}')
PAIRS = (('openai-chat', 'anthropic'), ('anthropic', 'openai-chat'), ('openai-chat', 'openai-chat'))
LONG = 'connect_timeout: 60s, first_byte_timeout: 60s, idle_timeout: 60s, max_wait: 0s'


class World:
    """Two backends of these formats; each request of a Chat one is held to the format's rules."""

    def __init__(self, home, first, second, more=''):
        os.makedirs(home, 0o700, exist_ok=True)
        self.p = Provider(home, a='ok', b='ok')
        self.r = Edited(home, self.p.ports, {'  a: {wire: anthropic': f'  a: {{wire: {first}', '  b: {wire: anthropic': f'  b: {{wire: {second}',
                                             harness.SHORT: LONG + more})
        self.token = self.r.token(name='t')

    def ask(self, a, b, **more):
        """The answer when a and b do so; cooldowns are forgotten."""
        self.p.script('a', 'always ' + a)
        self.p.script('b', 'always ' + b)
        self.r.admin('POST', '/api/reset')
        messages = [{'role': 'user', 'content': TASK}]
        return post(self.r.port, self.token, {**request_body(messages=messages, tools=[TOOL], max_tokens=4000), **more})

    def end(self):
        same([(s['n'], s['breach']) for s in self.p.seen() if 'breach' in s], [], 'breaches of the format')
        self.r.stop()
        self.p.stop()


def place_after(at, fault):
    """`fault PLACE more` of a fault with more to say of itself."""
    word, _, rest = fault.partition(' ')
    return f'{word} {at} {rest}'.strip()


@scene
def c0501_every_place_fault_and_way(home):
    """Whatever breaks off where, and however the next one begins."""
    for i, (first, second) in enumerate(PAIRS):
        w = World(f'{home}/{i}', first, second)
        text, calls, stop = w.ask('ok', 'ok').checked()
        same((len(calls), stop), (2, 'tool_use'), 'the answer without a failure')
        known, n = {c[0] for c in calls}, 0
        # A chunk of text is some 200 bytes, an event of the other format some 120.
        size, step = (15000, 397) if first == 'openai-chat' else (9000, 241)
        for way in ('exact', 'quotes', 'longer', 'restart', 'intro'):
            for at in range(130 + n % 97, size, step):
                fault = FAULTS[n % len(FAULTS)]
                n += 1
                what = f'{first} then {second}: {fault} after {at} bytes, then {way}'
                answer = w.ask(place_after(at, fault), f'ok way={way}')
                same(answer.status, 200, what)
                got, called, why = answer.checked()
                same((got, why), (text, 'tool_use'), what)
                assert 1 <= len(called) <= 2, f'{what}: {called}'
                same(called[0][2], calls[0][2], f'the first call of {what}')
                for call in called:
                    assert call[0] not in known, f'{what}: the id {call[0]} came twice'
                    known.add(call[0])
        w.end()


@scene
def c0502_models_that_do_as_they_like(home):
    """What does not join is appended; what was given stays, and a call still comes."""
    for i, (first, second) in enumerate(PAIRS):
        w = World(f'{home}/{i}', first, second)
        text = w.ask('ok', 'ok').checked()[0]
        for way, extra in (('ignores', '\n\nHere is something else.'), ('tool', ''), ('flood', None)):
            for events in (6, 17, 30):
                got, called, why = w.ask(f'cut-fin events={events}', f'ok way={way}').checked()
                same((len(called), why), (2, 'tool_use'), f'the calls after {events} events, then {way}')
                if extra is not None:
                    assert got.endswith(extra) and text.startswith(got.removesuffix(extra).rstrip('\n')), (way, events, got)
        w.end()


@scene
def c0503_thinking_first(home):
    """Cut in thinking or after it: the thinking that was given stays, the answer is whole, and no other model gets the thinking."""
    for i, (first, second) in enumerate(PAIRS):
        w = World(f'{home}/{i}', first, second, ', hold_thinking: 0s')
        text = w.ask('ok', 'ok').checked()[0]
        for where in ('reasoning_content', 'reasoning', 'reasoning_details', 'tags', 'parts'):
            for events in (3, 4, 5, 9, 20):
                answer = w.ask(f'cut-fin events={events} thinking reasoning={where}', 'ok', thinking={'type': 'adaptive'})
                got, _, why = answer.checked()
                same((got, why), (text, 'tool_use'), f'{first} then {second}: thinking in {where}, cut after {events}')
                assert 'What was done' not in w.p.seen('b')[-1]['body'], w.p.seen('b')[-1]['body']
        w.end()


@scene
def c0504_usage_and_what_is_left_of_the_limit(home):
    """Output adds up, input does not; what is left of max_tokens is asked for."""
    for i, (first, second) in enumerate(PAIRS):
        w = World(f'{home}/{i}', first, second)
        answer = w.ask('cut-fin events=20', 'ok')
        answer.checked()
        start, usage = [data.get('message', data)['usage'] for name, data in answer.events() if name in ('message_start', 'message_delta')]
        # A stream of chunks counts at its end: what broke off before that is as the request was weighed.
        same(usage['input_tokens'], 120 if first == 'anthropic' else start['input_tokens'], 'the input of the turn')
        assert 42 < usage['output_tokens'] < 42 + 90, usage
        asked = json.loads(w.p.seen('b')[-1]['body'])
        limit = asked.get('max_tokens') or asked.get('max_completion_tokens')
        assert 3900 <= limit < 4000, asked
        same([m['role'] for m in asked['messages'] if m['role'] != 'system'], ['user', 'assistant', 'user'], 'the messages')
        w.end()


@scene
def c0505_what_was_skipped_is_recorded(home):
    """A model that cannot take the request is not asked, and the export says why."""
    w = World(home, 'openai-chat', 'openai-chat')
    path = f'{home}/policy.yaml'
    with open(path, encoding='utf-8') as f:
        text = f.read()
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text.replace('id: id-a', 'id: id-a, context: 8k'))
    w.r.stop()
    w.r.start()
    answer = w.ask('ok', 'ok', messages=[{'role': 'user', 'content': 'word ' * 20000}])
    same((answer.status, answer.headers['x-model-used'], len(w.p.seen('a'))), (200, 'b/m-b', 0), 'who answered')
    listed = subprocess.run([harness.BIN, 'sessions', 'list', '--home', home, '--json'], capture_output=True, text=True, check=True)
    sessions = json.loads(listed.stdout)
    name = (sessions if isinstance(sessions, list) else sessions['sessions'])[0]['session']
    shown = subprocess.run([harness.BIN, 'sessions', 'export', name, '--home', home], capture_output=True, text=True, check=True).stdout
    turn = [json.loads(line) for line in shown.splitlines() if '"type":"turn"' in line.replace(' ', '')][0]
    assert 'm-a' in json.dumps(turn.get('skipped', '')), turn
    w.end()


sys.exit(harness.main())
