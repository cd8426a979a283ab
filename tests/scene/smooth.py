"""`smooth: true`: large pieces of text reach the client in small ones, and nothing else changes."""
import json
import os
import sys

import harness
from harness import Edited, Provider, TOOL, post, request_body, same, scene, until

WORDS = ' '.join(f'w\u00f6rd{i}' for i in range(900))
SMOOTH = {'id: id-a': 'id: id-a, smooth: true'}


def event(data):
    return f'event: {data["type"]}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n'


def delta(index, kind, member, text):
    return event({'type': 'content_block_delta', 'index': index, 'delta': {'type': kind, member: text}})


def block(index, start, *deltas):
    return event({'type': 'content_block_start', 'index': index, 'content_block': start}) + ''.join(deltas) + \
        event({'type': 'content_block_stop', 'index': index})


def answer(home, name, blocks, reason='end_turn', end=True):
    data = event({'type': 'message_start', 'message': {'id': f'msg_{name}', 'type': 'message', 'role': 'assistant', 'model': 'id-a', 'content': [],
                                                       'stop_reason': None, 'usage': {'input_tokens': 500, 'output_tokens': 1}}}) + blocks
    if end:
        data += event({'type': 'message_delta', 'delta': {'stop_reason': reason, 'stop_sequence': None}, 'usage': {'output_tokens': 900}})
        data += event({'type': 'message_stop'})
    path = os.path.join(home, name)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(data)
    return f'file {path}'


def text_block(index, *texts):
    return block(index, {'type': 'text', 'text': ''}, *[delta(index, 'text_delta', 'text', t) for t in texts])


def call_block(index):
    return block(index, {'type': 'tool_use', 'id': f'toolu_{index}', 'name': 'Write', 'input': {}},
                 delta(index, 'input_json_delta', 'partial_json', '{"file_path": "/x"}'))


def pieces(a, member='text'):
    return [d['delta'][member] for n, d in a.events() if n == 'content_block_delta' and member in d['delta']]


@scene
def d0201_large_pieces_become_small_ones(home):
    """Text and thinking are cut at words and come in order, with what stands behind them; other models' answers stay as they are."""
    thinking = block(0, {'type': 'thinking', 'thinking': '', 'signature': ''}, delta(0, 'thinking_delta', 'thinking', WORDS),
                     delta(0, 'signature_delta', 'signature', 'c2ln'))
    p = Provider(home, a='always ' + answer(home, 'big', thinking + text_block(1, WORDS, ' ' + WORDS) + call_block(2), 'tool_use'))
    p2 = Provider(home, b='always ' + answer(home, 'big', thinking + text_block(1, WORDS, ' ' + WORDS) + call_block(2), 'tool_use'))
    r = Edited(home, {**p.ports, **p2.ports}, {**SMOOTH, 'main: [m-a, m-b]': 'main: [m-a, m-b]\n  other: [m-b]'})
    a = post(r.port, r.token(name='t'))
    text, calls, stop = a.checked()
    same((text == WORDS + ' ' + WORDS, [c[1] for c in calls], stop), (True, ['Write'], 'tool_use'), 'the answer')
    same(''.join(pieces(a, 'thinking')), WORDS, 'the thinking')
    assert len(pieces(a, 'thinking')) > 1, len(pieces(a, 'thinking'))  # the first words go at once, whatever the machine does then
    told = pieces(a)
    assert all(one.endswith(' ') or two.startswith(' ') for one, two in zip(told, told[1:])), [one[-9:] for one in told]
    same(len(pieces(post(r.port, r.token(name='o', chain='other')))), 2, 'pieces of a model without it')
    whole = post(r.port, r.token(name='w'), request_body(stream=False)).json()
    same([c['type'] for c in whole['content']], ['thinking', 'text', 'tool_use'], 'a client that does not stream')
    r.stop()
    p.stop()
    p2.stop()


@scene
def d0202_the_next_model_goes_on_behind_it(home):
    """What is still on its way when the model fails is told before the joint; nothing is lost or said twice."""
    begun = answer(home, 'begun', event({'type': 'content_block_start', 'index': 0, 'content_block': {'type': 'text', 'text': ''}})
                   + delta(0, 'text_delta', 'text', WORDS), end=False)
    p = Provider(home, a='always ' + begun, b='always ' + answer(home, 'rest', text_block(0, 'w\u00f6rd897 w\u00f6rd898 w\u00f6rd899 and the rest.')))
    r = Edited(home, p.ports, SMOOTH)
    a = post(r.port, r.token(name='t'))
    text, _, stop = a.checked()
    same((text, stop), (WORDS + ' and the rest.', 'end_turn'), 'the answer')
    assert len(pieces(a)) > 1, len(pieces(a))
    at = a.body.index(b': x-model-used b/m-b')
    assert a.body.index('w\u00f6rd899'.encode()) < at < a.body.index(b'and the rest'), a.body[at - 300:at + 300]
    r.stop()
    p.stop()


@scene
def d0203_an_end_that_fails(home):
    """Nobody goes on: the text that came is told whole before the error."""
    begun = answer(home, 'begun', event({'type': 'content_block_start', 'index': 0, 'content_block': {'type': 'text', 'text': ''}})
                   + delta(0, 'text_delta', 'text', WORDS), end=False)
    p = Provider(home, a='always ' + begun)
    r = Edited(home, p.ports, {**SMOOTH, 'max_wait: 250ms': 'max_wait: 250ms, continuation: off'})
    a = post(r.port, r.token(name='t'))
    same((''.join(pieces(a)), a.events()[-1][0]), (WORDS, 'error'), 'the answer')
    r.stop()
    p.stop()


@scene
def d0204_a_client_that_leaves(home):
    """Somebody who has seen the first words and goes is waited for by nobody, and the router ends at once."""
    import http.client
    p = Provider(home, a='always ' + answer(home, 'big', text_block(0, *[WORDS + ' '] * 20)))
    r = Edited(home, p.ports, SMOOTH)
    t = r.token(name='t')
    c = http.client.HTTPConnection('127.0.0.1', r.port, timeout=30)
    c.request('POST', '/v1/messages', json.dumps(request_body(tools=[TOOL])), {'content-type': 'application/json', 'x-continuo-token': t})
    assert c.getresponse().read(200)
    c.close()
    until('the turn\'s end', lambda: r.status()['turns_now'] == 0)
    same(''.join(pieces(post(r.port, t))).count('w\u00f6rd899'), 20, 'the next answer')
    r.stop()
    p.stop()


sys.exit(harness.main())
