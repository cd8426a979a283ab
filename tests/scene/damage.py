"""Damage without an error: prompts that a server cut, models that are not those asked for, and figures that are none."""
import json
import os
import subprocess
import sys

import harness
from harness import Edited, Provider, Router, post, request_body, same, scene

LONG = 'All work and no play makes a long prompt. ' * 2000  # some 20 000 tokens
QUIET = 'connect_timeout: 5s, first_byte_timeout: 20s, idle_timeout: 20s, max_wait: 250ms'


def event(data):
    return f'event: {data["type"]}\ndata: {json.dumps(data)}\n\n'


def usage_text(usage):
    """A usage as raw JSON: figures as they stand, so that it may hold what is no figure."""
    return '{' + ','.join(f'"{k}":{v}' for k, v in usage.items()) + '}' if usage is not None else 'null'


def recorded(home, name, model='id-a', start=None, end=None, text='Good day.', whole=False):
    """A stream or a whole answer with that model and those figures; gives the step that plays it."""
    path = os.path.join(home, name)
    first, last = usage_text(start), usage_text(end)
    if whole:
        data = ('{"id":"msg_%s","type":"message","role":"assistant","model":%s,"content":[{"type":"text","text":%s}],'
                '"stop_reason":"end_turn","stop_sequence":null,"usage":%s}' % (name, json.dumps(model), json.dumps(text), last))
    else:
        data = 'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_%s","type":"message","role":"assistant",' \
            '"model":%s,"content":[],"stop_reason":null,"stop_sequence":null,"usage":%s}}\n\n' % (name, json.dumps(model), first)
        data += event({'type': 'content_block_start', 'index': 0, 'content_block': {'type': 'text', 'text': ''}})
        data += event({'type': 'content_block_delta', 'index': 0, 'delta': {'type': 'text_delta', 'text': text}})
        data += event({'type': 'content_block_stop', 'index': 0})
        data += 'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},' \
            '"usage":%s}\n\n' % last
        data += event({'type': 'message_stop'})
    with open(path, 'w', encoding='utf-8') as f:
        f.write(data)
    return f'file {path}'


def asked(text=LONG, **more):
    return request_body(messages=[{'role': 'user', 'content': text}], tools=None, **more)


def counts(n, out=9):
    return {'input_tokens': n, 'output_tokens': out}


def warnings(r):
    return [(w['name'], w['what'], w['times']) for w in r.status()['warnings']]


def attempts_of(r):
    """The attempts of the newest turn, as the history has them."""
    sessions = json.loads(subprocess.run([harness.BIN, 'sessions', 'list', '--home', r.home, '--json'], capture_output=True, text=True,
                                         check=True).stdout)
    name = (sessions if isinstance(sessions, list) else sessions['sessions'])[0]['session']
    shown = subprocess.run([harness.BIN, 'sessions', 'show', name, '--home', r.home, '--json'], capture_output=True, text=True, check=True)
    return shown.stdout


@scene
def d0001_a_cut_prompt_is_told_once(home):
    """By default the answer is given, the log warns once, status goes on to count, the record keeps it."""
    p = Provider(home, a='always ' + recorded(home, 'cut', start=counts(4096), end=counts(4096)))
    r = Router(home, p.ports, QUIET)
    t = r.token(name='t')
    for stream in (True, True, False):
        a = post(r.port, t, asked(stream=stream))
        same((a.status, a.headers['x-continuo-attempts']), (200, 'a/m-a:ok'), 'the answer')
    same(warnings(r), [('a/m-a', 'prompt_cut', 3)], 'warnings')
    same(r.text().count('answers are damaged'), 1, 'told once')
    assert 'the server cut the prompt: 4096 of about ' in r.text(), r.text()[-2000:]
    shown = subprocess.run([harness.BIN, 'status', '--home', home], capture_output=True, text=True, check=True).stdout
    assert 'WARNING' in shown and 'the server cut the prompt: 4096 of about ' in shown, shown
    assert '"finding":"the server cut the prompt: 4096 of about ' in attempts_of(r).replace('": "', '":"'), attempts_of(r)
    r.admin('POST', '/api/reset')
    same(warnings(r), [], 'after a reset')
    assert 'WARNING' not in subprocess.run([harness.BIN, 'status', '--home', home], capture_output=True, text=True, check=True).stdout
    r.stop()
    p.stop()


@scene
def d0002_a_cut_prompt_as_a_failure(home):
    """Where the chain says so the next model answers instead, unseen, and the one that cuts rests until the policy changes."""
    p = Provider(home, a='always ' + recorded(home, 'cut', start=counts(4096), end=counts(4096)), b='always ok')
    r = Router(home, p.ports, QUIET + ', on: [damaged, overloaded]')
    t = r.token(name='t')
    for stream in (True, False):
        a = post(r.port, t, asked(stream=stream))
        same((a.status, a.headers['x-continuo-attempts']), (200, 'a/m-a:damaged, b/m-b:ok'), 'the attempts')
        same([(c['name'], c['because']) for c in r.status()['cooldowns']], [('a/m-a', 'damaged')], 'cooldowns')
        same(post(r.port, t, asked(stream=stream)).headers['x-continuo-attempts'], 'b/m-b:ok', 'the next turn')
        r.admin('POST', '/api/reset')
    r.stop()
    p.stop()


@scene
def d0003_what_is_counted_at_the_end(home):
    """A stream is committed by then: it is given whole, and the next turn goes elsewhere; a whole answer is held back all the same."""
    p = Provider(home, a='always ' + recorded(home, 'late', start=counts(0), end=counts(4096)), b='always ok')
    r = Router(home, p.ports, QUIET + ', on: [damaged, overloaded]')
    t = r.token(name='t')
    a = post(r.port, t, asked())
    same((a.headers['x-continuo-attempts'], a.checked()[0]), ('a/m-a:ok', 'Good day.'), 'the stream')
    same(warnings(r), [('a/m-a', 'prompt_cut', 1)], 'warnings')
    same(post(r.port, t, asked()).headers['x-continuo-attempts'], 'b/m-b:ok', 'the next turn')
    r.admin('POST', '/api/reset')
    same(post(r.port, t, asked(stream=False)).headers['x-continuo-attempts'], 'a/m-a:damaged, b/m-b:ok', 'a whole answer')
    r.stop()
    p.stop()


@scene
def d0004_another_model(home):
    """The name in the answer is compared with the one that was asked for: told, or a failure, but not where it is only spelt otherwise."""
    p = Provider(home, a='ok', b='always ok')
    r = Edited(home, p.ports, {'id: id-a': 'id: claude-opus-4-5', 'max_wait: 250ms': 'max_wait: 250ms, on: [damaged]'})
    t = r.token(name='t')
    for name in ('claude-opus-4-5-20251101', 'anthropic/claude-opus-4.5', ''):
        p.script('a', recorded(home, 'same', model=name, start=counts(20), end=counts(20)))
        same(post(r.port, t).headers['x-continuo-attempts'], 'a/m-a:ok', name)
    same(warnings(r), [], 'nothing to tell')
    p.script('a', 'always ' + recorded(home, 'other', model='tiny-7b\u001b[31m', start=counts(20), end=counts(20)))
    same(post(r.port, t).headers['x-continuo-attempts'], 'a/m-a:damaged, b/m-b:ok', 'another model')
    same(warnings(r), [('a/m-a', 'other_model', 1)], 'warnings')
    assert 'another model answers: tiny-7b?[31m' in r.text(), r.text()[-2000:]
    r.stop()
    p.stop()


@scene
def d0005_all_of_the_chain(home):
    """Twice is no accident: a third model is not asked, and the client hears that it may come again."""
    cut = 'always ' + recorded(home, 'cut', model='', start=counts(4096), end=counts(4096))
    p = Provider(home, a=cut, b=cut, c='always ok')
    r = Router(home, p.ports, QUIET + ', on: [damaged]')
    a = post(r.port, r.token(name='t'), asked())
    same((a.status, a.headers['x-continuo-attempts'], len(p.seen('c'))), (503, 'a/m-a:damaged, b/m-b:damaged', 0), 'the end')
    r.stop()
    p.stop()


def input_told(a):
    """What the client compacts by: the input figures of its last word on them; every figure is a number."""
    if a.headers['content-type'] == 'application/json':
        usages = [a.json()['usage']]
    else:
        a.checked()
        usages = [d['message']['usage'] if n == 'message_start' else d['usage'] for n, d in a.events() if n in ('message_start', 'message_delta')]
    assert all(isinstance(v, int) and v >= 0 for u in usages for v in u.values()), usages
    return [sum(v for k, v in u.items() if k != 'output_tokens') for u in usages if 'input_tokens' in u][-1]


@scene
def d0006_figures_that_are_none(home):
    """Missing, null, nothing, negative, far too little or absurd: the client gets our estimate; the truth is passed on."""
    p = Provider(home, a='ok')
    r = Router(home, p.ports, QUIET)
    t = r.token(name='t')
    estimate = None
    for figures in (None, {}, counts('null', 'null'), counts(0, 0), counts(-5, -5), counts('"25000"'), counts(12), counts(4096), counts(2**64 - 1),
                    counts(1200000), {**counts(10), 'cache_read_input_tokens': 1200000}):
        for whole in (False, True):
            p.script('a', recorded(home, 'odd', start=figures, end=figures, whole=whole))
            for stream in (True, False):
                told = input_told(post(r.port, t, asked(stream=stream)))
                estimate = estimate or told
                same(told, estimate, f'what the client is told of {figures}')
                p.script('a', recorded(home, 'odd', start=figures, end=figures, whole=whole))
    assert 15000 < estimate < 30000, estimate
    p.script('a', 'always ' + recorded(home, 'right', start=counts(1), end={**counts(1000), 'cache_read_input_tokens': 20000}))
    same([input_told(post(r.port, t, asked(stream=s))) for s in (True, False)], [21000, 21000], 'what is plausible')
    # What nobody counted costs all the same.
    before = r.status()['today']['tokens']
    p.script('a', recorded(home, 'odd', start=None, end=None))
    same(post(r.port, t, asked()).status, 200, 'without figures')
    assert r.status()['today']['tokens'] - before >= estimate, r.status()['today']
    r.stop()
    p.stop()


def chat(home, name, usage, model='id-a', whole=False):
    """The same of a Chat Completions backend, which counts at the end."""
    path = os.path.join(home, name)
    if whole:
        data = '{"id":"c1","object":"chat.completion","model":%s,"choices":[{"index":0,"message":{"role":"assistant","content":"Good day."},' \
            '"finish_reason":"stop"}],"usage":%s}' % (json.dumps(model), usage_text(usage))
    else:
        chunk = '{"id":"c1","object":"chat.completion.chunk","model":%s,"choices":[%%s]%%s}' % json.dumps(model)
        parts = [chunk % ('{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}', ''),
                 chunk % ('{"index":0,"delta":{"content":"Good day."},"finish_reason":null}', ''),
                 chunk % ('{"index":0,"delta":{},"finish_reason":"stop"}', ''), chunk % ('', ',"usage":' + usage_text(usage)), '[DONE]']
        data = ''.join(f'data: {p}\n\n' for p in parts)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(data)
    return f'file {path}'


def counted(n, out=9, **details):
    usage = {'prompt_tokens': n, 'completion_tokens': out, 'total_tokens': f'{n}'}
    return {**usage, 'prompt_tokens_details': json.dumps(details)} if details else usage


@scene
def d0007_chat_backends(home):
    """They count at the end: the client hears an estimate first and the truth last, where it can be that; damage is found all the same."""
    p = Provider(home, a='ok', b='always ok')
    local = f'wire: anthropic, url: "http://127.0.0.1:{p.ports["a"]}"'
    words = {local: local.replace('anthropic', 'openai-chat'), 'id: id-a': 'id: qwen3:30b'}
    r = Edited(home, p.ports, words)
    t = r.token(name='t')
    estimate = None
    for figures in (None, {}, counted('null', 'null'), counted(0, 0), counted(-5, -5), counted(4096), counted(1200000), counted(21000)):
        for whole, stream in ((False, True), (True, True), (False, False), (True, False)):
            p.script('a', chat(home, 'odd', figures, model='qwen3:30b', whole=whole))
            a = post(r.port, t, asked(stream=stream))
            same(a.headers['x-continuo-attempts'], 'a/m-a:ok', 'the attempts')
            estimate = estimate or input_told(a)
            want = 21000 if figures == counted(21000) else estimate
            same(input_told(a), want, f'what the client is told of {figures}')
    assert 15000 < estimate < 30000, estimate
    p.script('a', chat(home, 'cached', counted(21000, cached_tokens=20000), model='qwen3:30b'))
    same(input_told(post(r.port, t, asked())), 21000, 'what was cached is a part of it')
    same(warnings(r), [('a/m-a', 'prompt_cut', 4)], 'warnings')
    p.script('a', 'always ' + chat(home, 'other', counted(21000), model='qwen3:8b'))
    same(post(r.port, t, asked()).status, 200, 'another model')
    same(warnings(r), [('a/m-a', 'prompt_cut', 4), ('a/m-a', 'other_model', 1)], 'warnings')
    r.stop()
    r = Edited(home, p.ports, {**words, 'max_wait: 250ms': 'max_wait: 250ms, on: [damaged]'})
    for stream in (True, False):
        same(post(r.port, t, asked(stream=stream)).headers['x-continuo-attempts'], 'a/m-a:damaged, b/m-b:ok', 'as a failure')
        r.admin('POST', '/api/reset')
    r.stop()
    p.stop()


@scene
def d0008_what_is_not_sent_is_not_missed(home):
    """A system prompt that the policy replaces, and thinking of before, are no part of what a backend has to count."""
    p = Provider(home, a='always ' + recorded(home, 'short', start=counts(700), end=counts(700)))
    with open(os.path.join(home, 'short.md'), 'w', encoding='utf-8') as f:
        f.write('You are terse.')
    thought = [{'role': 'user', 'content': 'hi'},
               {'role': 'assistant', 'content': [{'type': 'thinking', 'thinking': LONG, 'signature': 'c2ln'}, {'type': 'text', 'text': 'ho'}]},
               {'role': 'user', 'content': 'go on'}]
    r = Edited(home, p.ports, {'id: id-a': 'id: id-a, prompt: {replace: short.md}', 'first_byte_timeout: 500ms': 'first_byte_timeout: 20s'})
    t = r.token(name='t')
    same(post(r.port, t, asked('hi', system=LONG)).status, 200, 'a system prompt that is replaced')
    same(post(r.port, t, request_body(tools=None, messages=thought)).status, 200, 'thinking of before')
    same(warnings(r), [], 'nothing to tell')
    r.stop()
    r = Edited(home, p.ports, {'first_byte_timeout: 500ms': 'first_byte_timeout: 20s'})
    same(post(r.port, t, asked('hi', system=LONG)).status, 200, 'a system prompt that is sent')
    same(warnings(r), [('a/m-a', 'prompt_cut', 1)], 'warnings')
    r.stop()
    p.stop()


sys.exit(harness.main())
