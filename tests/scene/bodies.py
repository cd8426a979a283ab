"""Bodies: what the router reads of a request, however it is spelt and however large it is."""
import http.client
import json
import os
import socket
import subprocess
import sys
import time

import harness
from harness import Edited, Provider, Router, post, request_body, same, scene, until


def serve(home, extra=''):
    p = Provider(home, a='ok', b='ok')
    r = Router(home, p.ports, extra=extra)
    return p, r, r.token(name='t')


def close(p, r):
    r.stop()
    p.stop()


def post_text(port, token, text, path='/v1/messages'):
    """A body as it is spelt."""
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=30)
    connection.request('POST', path, text, {'content-type': 'application/json', 'x-continuo-token': token})
    answer = harness.Answer(connection.getresponse())
    connection.close()
    return answer


def sessions_of(home):
    found = json.loads(subprocess.run([harness.BIN, 'sessions', 'list', '--home', home, '--json'], capture_output=True, check=True).stdout)
    return [s['session'] for s in (found if isinstance(found, list) else found['sessions'])]


@scene
def b0101_keys_with_escapes(home):
    """A key is what a parser will read: no model, limit or stream gets past the router under another spelling."""
    p, r, t = serve(home)
    text = json.dumps(request_body()).replace('"model"', '"mod\\u0065l"').replace('"max_tokens"', '"max_t\\u006fkens"').replace(
        '"stream"', '"strea\\u006d"')
    a = post_text(r.port, t, text)
    same(a.status, 200, 'status')
    a.checked()
    same(p.seen('a')[0]['body'], text.replace('claude-x', 'id-a'), 'the body')
    two = json.dumps(request_body())[:-1] + ', "\\u006dodel": "dear"}'
    same(post_text(r.port, t, two).status, 200, 'status with two models')
    same([v for k, v in json.loads(p.seen('a')[1]['body'], object_pairs_hook=list) if k == 'model'], ['id-a', 'id-a'], 'both models')
    close(p, r)


@scene
def b0102_one_conversation_without_an_id(home):
    """The first message names the session: its cache_control, and the form of its text, change from turn to turn."""
    p, r, t = serve(home)
    text = {'type': 'text', 'text': harness.TASK}
    first = [{'role': 'user', 'content': [dict(text, cache_control={'type': 'ephemeral'})]}, {'role': 'user', 'content': [text]},
             {'content': harness.TASK, 'role': 'user'}]
    later = [{'role': 'assistant', 'content': 'x'}, {'role': 'user', 'content': 'y'}]
    for i, message in enumerate(first):
        same(post(r.port, t, request_body(messages=[message] + later * i)).status, 200, 'status')
    same(post(r.port, t, request_body(messages=[{'role': 'user', 'content': harness.TASK + '!'}])).status, 200, 'status')
    r.stop()
    names = sessions_of(home)
    same((len(names), [n[:6] for n in names]), (2, ['first-'] * 2), f'the sessions {names}')
    p.stop()


@scene
def b0103_counts_know_the_time_of_day(home):
    """A count takes the route that a turn takes, also one for these hours of the day."""
    now = time.gmtime()
    east = 12 * 60 - now.tm_hour * 60 - now.tm_min  # where it is noon
    zone = f'X{"-" if east > 0 else "+"}{abs(east) // 60}:{abs(east) % 60:02}'
    by_day = {'routes:': 'routes:\n  - {when: {time: "06:00-18:00"}, use: [m-b]}', 'wire: anthropic': 'preset: anthropic'}
    p = Provider(home, a='ok', b='ok')
    os.environ['TZ'] = zone
    try:
        r = Edited(home, p.ports, by_day)
    finally:
        del os.environ['TZ']
    t = r.token(name='t')
    same(post(r.port, t).headers['x-model-used'], 'b/m-b', 'who answers a turn at noon')
    counted = post(r.port, t, request_body(stream=None, max_tokens=None), path='/v1/messages/count_tokens')
    same((counted.status, counted.headers['x-model-used']), (200, 'b/m-b'), 'who counts at noon')
    close(p, r)


def long_body(**more):
    """Over what a worker reads by itself; with escapes and UTF-8 all through it."""
    return request_body(messages=[{'role': 'user', 'content': harness.TASK + 'tab\t"quote" \u20ac\n' * 60000}], **more)


@scene
def b0104_long_bodies_are_read_on_the_pool(home):
    """They reach the backend as they came; what is wrong with them is answered as with short ones."""
    p, r, t = serve(home)
    body = long_body()
    a = post(r.port, t, body, headers={'x-claude-code-session-id': 's-long'})
    same(a.status, 200, 'status')
    a.checked()
    same(p.seen('a')[0]['body'], json.dumps(body).replace('claude-x', 'id-a'), 'the body')
    same(post(r.port, t).status, 200, 'a short one')
    same(post(r.port, t, long_body(stream=None, max_tokens=None), path='/v1/messages/count_tokens').status, 200, 'a count')
    for text, want in ((json.dumps(body)[:-1], 'not JSON we take'), (json.dumps(long_body(max_tokens=None)), 'max_tokens: Field required')):
        a = post_text(r.port, t, text)
        same((a.status, want in a.json()['error']['message']), (400, True), f'{want}: {a.body[:200]}')
    same(post_text(r.port, t, json.dumps(body)[:-1], '/v1/messages/count_tokens').status, 400, 'a count that is no JSON')
    same(r.status()['counters']['bodies_pooled'], 5, 'bodies read on the pool')
    r.stop()
    same('s-long' in sessions_of(home), True, 'the session of its head')
    p.stop()


@scene
def l0104_clients_that_leave_while_a_body_is_read(home):
    """Nothing is left of them."""
    p, r, t = serve(home, extra='limits: {memory_limit: 64MiB}')
    body = json.dumps(long_body() | {'metadata': {'user_id': 'x' * (4 << 20)}}).encode()
    head = (f'POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{r.port}\r\nContent-Type: application/json\r\nx-continuo-token: {t}\r\n'
            f'Content-Length: {len(body)}\r\n\r\n').encode()
    for i in range(20):
        with socket.create_connection(('127.0.0.1', r.port)) as s:
            s.sendall(head + body)
    until('the bodies', lambda: r.status()['counters']['requests'] >= 20)
    until('all to be over', lambda: (r.status()['turns_now'], r.status()['memory_percent']) == (0, 0))
    same(post(r.port, t).status, 200, 'the next one')
    close(p, r)


sys.exit(harness.main())
