"""What a model can take: those that cannot are left out with a reason, and the client hears what it can mend."""
import json
import os
import subprocess
import sys

import harness
from harness import Edited, Provider, TOOL, post, request_body, same, scene

LONG = 'All work and no play makes a long prompt. ' * 2000  # some 20 000 tokens
PICTURE = {'type': 'image', 'source': {'type': 'base64', 'media_type': 'image/png', 'data': 'aGVsbG8='}}


def asked(text=LONG, **more):
    return request_body(messages=[{'role': 'user', 'content': text}], **more)


def sent(p, name):
    return [json.loads(s['body']) for s in p.seen(name)]


def run(*args):
    return subprocess.run([harness.BIN, *args], capture_output=True, text=True, check=True).stdout


@scene
def d0101_left_out_with_a_reason(home):
    """Told by `policy explain` before, kept in the turn's record after, and no request was wasted."""
    p = Provider(home, a='always ok', b='always ok', c='always ok')
    r = Edited(home, p.ports, {'id: id-a': 'id: id-a, context: 8k', 'id: id-b': 'id: id-b, tools: false'})
    body = asked(tools=[TOOL])
    same(post(r.port, r.token(name='t'), body).headers['x-continuo-attempts'], 'c/m-c:ok', 'the attempts')
    same([len(p.seen(n)) for n in 'abc'], [0, 0, 1], 'who was asked')
    path = os.path.join(home, 'body.json')
    with open(path, 'w', encoding='utf-8') as f:
        json.dump(body, f)
    want = [('a', 'window too small'), ('b', 'takes no tools')]
    plan = json.loads(run('policy', 'explain', path, '--home', home, '--json'))
    same([(s['backend'], s['reason']) for s in plan['skipped']], want, 'explained')
    session = json.loads(run('sessions', 'list', '--home', home, '--json'))
    name = (session if isinstance(session, list) else session['sessions'])[0]['session']
    shown = run('sessions', 'show', name, '--home', home)
    assert 'a/m-a: left out, window too small' in shown and 'b/m-b: left out, takes no tools' in shown, shown
    exported = run('sessions', 'export', name, '--home', home)
    records = [line for line in exported.splitlines() if '"skipped"' in line]
    assert records and 'window too small' in records[0], exported[:2000]
    r.stop()
    p.stop()


@scene
def d0102_what_compacting_would_mend(home):
    """None fits, and one would if the request were shorter: the client hears of the window that it has to meet."""
    p = Provider(home, a='always ok', b='always ok', c='always ok')
    r = Edited(home, p.ports, {'id: id-a': 'id: id-a, context: 8k', 'id: id-b': 'id: id-b, context: 1M, tools: false',
                               'id: id-c': 'id: id-c, context: 12k'})
    t = r.token(name='t')
    a = post(r.port, t, asked(tools=[TOOL]))
    words = a.json()['error']['message']
    same((a.status, a.json()['error']['type'], a.headers['x-model-used']), (400, 'invalid_request_error', 'none'), 'the answer')
    assert words.startswith('prompt is too long: ') and words.endswith(' tokens > 12000 maximum'), words
    same(len(p.seen()), 0, 'who was asked')
    r.stop()
    # Nothing that is shorter would do: that ends the client's turn, with the reasons.
    r = Edited(home, p.ports, {'id: id-a': 'id: id-a, tools: false', 'id: id-b': 'id: id-b, tools: false', 'id: id-c': 'id: id-c, images: false'})
    a = post(r.port, t, asked([{'type': 'text', 'text': 'hi'}, PICTURE], tools=[TOOL]))
    same((a.status, a.headers['x-should-retry']), (404, 'false'), 'the answer')
    assert 'a/m-a takes no tools' in a.json()['error']['message'] and 'c/m-c takes no images' in a.json()['error']['message'], a.body
    r.stop()
    p.stop()


@scene
def d0103_a_window_is_learned(home):
    """What a backend said of its window counts from then on: nobody asks it again, and the client is told at once."""
    step = 'status 400 message=This model\'s maximum context length is 9000 tokens. However, your messages resulted in 20000 tokens'
    p = Provider(home, a=f'{step}; always ok', b=f'{step}; always ok')
    r = Edited(home, p.ports, {})
    t = r.token(name='t')
    for turn in (1, 2):
        a = post(r.port, t, asked(tools=None))
        same((a.status, a.json()['error']['message'][:20]), (400, 'prompt is too long: '), f'turn {turn}')
        assert a.json()['error']['message'].endswith(' > 9000 maximum'), a.body
        same([len(p.seen(n)) for n in 'ab'], [1, 1], 'who was asked')
    same(post(r.port, t).headers['x-continuo-attempts'], 'a/m-a:ok', 'what fits')
    r.stop()
    p.stop()


@scene
def d0104_room_for_an_answer(home):
    """The prompt fits but not with all that may be written: less is asked for, and of a short prompt nothing changes."""
    p = Provider(home, a='always ok')
    r = Edited(home, p.ports, {'id: id-a': 'id: id-a, context: 8k'})
    t = r.token(name='t')
    weight = int(post(r.port, t, asked(tools=None)).json()['error']['message'].split()[4])
    # The room that is left, what is asked for: as it is; less where that is little, because the estimate may be too high.
    for room, least, most in ((40000, 32000, 32000), (20000, 20000, 20000), (3000, 3000, 8192), (1024, 1024, 8192)):
        r.stop()
        r = Edited(home, p.ports, {'id: id-a': f'id: id-a, context: {weight + room}'})
        same(post(r.port, t, asked(tools=None, max_tokens=32000)).headers['x-continuo-attempts'], 'a/m-a:ok', 'the attempts')
        assert least <= sent(p, 'a')[-1]['max_tokens'] <= most, (room, sent(p, 'a')[-1]['max_tokens'])
        same(post(r.port, t, asked(tools=None, max_tokens=500)).headers['x-continuo-attempts'], 'a/m-a:ok', 'the attempts')
        same(sent(p, 'a')[-1]['max_tokens'], 500, 'what was little from the start')
    r.stop()
    p.stop()


sys.exit(harness.main())
