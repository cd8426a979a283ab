"""Turns: what the client gets when backends fail before, and after, the answer has begun."""
import concurrent.futures
import os
import sys

import harness
from harness import Provider, Router, TASK, TOOL, post, request_body, same, scene, until


def run(home, first, second='ok', fallback=harness.SHORT, extra=''):
    p = Provider(home, a=first, b=second)
    r = Router(home, p.ports, fallback, extra)
    return p, r, r.token(name='t')


def close(p, r):
    r.stop()
    p.stop()


# What the first backend does, what x-continuo-attempts says of it.
FAILURES = {
    'status 429 retry-after=20': '429', 'status 500': '500', 'status 502': '502', 'status 503': '503', 'status 504': '504', 'status 529': '529',
    'status 401': '401', 'status 402': '402', 'status 403': '403', 'status 404 message=model not found': '404', 'status 413': '413',
    'status 429 message=You exceeded your current quota': '429', 'status 400 message=prompt is too long: 300000 tokens > 200000 maximum': '400',
    'status 400 message=Your credit balance is too low': '400', 'refuse': 'timeout_connect', 'hang': 'timeout_first_byte',
    'silent': 'timeout_first_byte', 'pings': 'timeout_first_byte', 'error-body': 'overloaded', 'error-body type=api_error': 'server_error',
    'nothing': 'truncated_stream', 'reset': 'server_error', 'close': 'server_error', 'error-event': 'overloaded',
    'error-event type=rate_limit_error': 'rate_limited', 'end-early': 'truncated_stream', 'redirect': 'misconfigured', 'encoded': 'misconfigured',
    'cut-fin 200': 'truncated_stream', 'cut-rst 200': 'truncated_stream', 'cut-clean 200': 'truncated_stream', 'stall 320': 'timeout_idle',
}


@scene
def f0001_every_failure_before_the_commit(home):
    """Each class falls through to the second backend; the client sees one whole answer."""
    p, r, t = run(home, 'ok')
    for step, ending in FAILURES.items():
        for stream in (True, False):
            r.admin('POST', '/api/reset')
            p.script('a', f'always {step}')
            until('the script', lambda: True)
            a = post(r.port, t, request_body(stream=stream))
            same(a.status, 200, f'status after {step}')
            same(a.headers['x-model-used'], 'b/m-b', f'who answered after {step}')
            tried = a.headers['x-continuo-attempts'].split(', ')
            same((tried[0], tried[-1]), (f'a/m-a:{ending}', 'b/m-b:ok'), f'the attempts of {step}')
            if stream:
                text, calls, stop = a.checked()
                same((calls[0][1], stop), ('Write', 'tool_use'), f'the answer after {step}')
            else:
                same(a.json()['stop_reason'], 'tool_use', f'the answer after {step}')
    close(p, r)


@scene
def f0002_framings_that_are_no_failure(home):
    """What backends do with frames is levelled: the first one answers, however slowly."""
    p, r, t = run(home, 'ok', fallback='first_byte_timeout: 60s, idle_timeout: 60s')
    for step in ('no-names', 'crlf', 'whole', 'thinking', 'trickle'):
        p.script('a', f'always {step}')
        a = post(r.port, t)
        same((a.status, a.headers['x-model-used']), (200, 'a/m-a'), step)
        a.checked()
    close(p, r)


@scene
def f0003_once_more_on_the_same_model(home):
    """Garbage and an empty answer are tried once more where they came from."""
    p, r, t = run(home, 'garbage; ok; empty-end; ok')
    for ending in ('malformed_stream', 'empty'):
        a = post(r.port, t)
        same(a.headers['x-continuo-attempts'], f'a/m-a:{ending}, a/m-a:ok', 'the attempts')
        a.checked()
    close(p, r)


@scene
def f0004_all_exhausted(home):
    """The status, type and headers that make the client do the right thing."""
    p, r, t = run(home, 'ok')
    cases = [
        ('status 529', 'status 429 retry-after=20', 529, 'overloaded_error', True, None),
        ('status 500', 'reset', 503, 'api_error', True, None),
        ('hang', 'hang', 504, 'timeout_error', False, None),
        ('status 401', 'status 403', 403, 'permission_error', False, 'false'),
        ('status 402', 'status 402', 402, 'billing_error', False, None),
    ]
    for first, second, status, kind, retry_after, should_retry in cases:
        r.admin('POST', '/api/reset')
        p.script('a', f'always {first}')
        p.script('b', f'always {second}')
        a = post(r.port, t)
        what = f'{first} and {second}'
        same((a.status, a.json()['error']['type']), (status, kind), what)
        same('retry-after' in a.headers, retry_after, f'retry-after of {what}')
        same(a.headers.get('x-should-retry'), should_retry, f'x-should-retry of {what}')
        if retry_after:
            assert 1 <= int(a.headers['retry-after']) <= 59, a.headers
        same(a.json()['request_id'], a.headers['request-id'], 'the request id')
    close(p, r)


@scene
def f0005_a_refused_request_is_the_clients_to_mend(home):
    """A 400 of the first backend goes through as it came; one of a fallback never does."""
    p, r, t = run(home, 'status 400 message=odd; status 529', 'status 400 message=foreign')
    a = post(r.port, t)
    same((a.status, a.json()['error']['message']), (400, 'odd'), 'the first backend refuses')
    a = post(r.port, t)
    same(a.status, 529, 'a fallback refuses')
    assert 'foreign' not in a.body.decode()
    close(p, r)


@scene
def f0006_cooldown_and_back(home):
    """What failed is left alone for its time, shown by status, and used again after a reset."""
    p, r, t = run(home, 'status 429 retry-after=20; always ok')
    same(post(r.port, t).headers['x-model-used'], 'b/m-b', 'the first turn')
    same(post(r.port, t).headers['x-continuo-attempts'], 'b/m-b:ok', 'the second turn')
    lines = r.status()['cooldowns']
    assert lines and lines[0]['because'] == 'rate_limited' and 15000 < lines[0]['ready_in_ms'] <= 24000, lines
    assert lines[0]['reason'], lines
    r.admin('POST', '/api/reset', {'name': 'a'})
    same(post(r.port, t).headers['x-model-used'], 'a/m-a', 'after the reset')
    close(p, r)


@scene
def f0007_rests_until_one_is_back(home):
    """All cooling for less than max_wait: the client is held and then answered."""
    p, r, t = run(home, 'status 429 retry-after=1; ok', 'status 429 retry-after=1; ok', harness.SHORT.replace('max_wait: 250ms', 'max_wait: 10s'))
    a = post(r.port, t)
    same(a.status, 200, 'status')
    same(a.headers['x-continuo-attempts'].split(', ')[:2], ['a/m-a:429', 'b/m-b:429'], 'the attempts')
    a.checked()
    close(p, r)


@scene
def f0008_opened_early_with_pings(home):
    """Held for too long a stream is opened with `pending`; the model is named by a comment."""
    p, r, t = run(home, 'always hang', 'always delay 600',
                  'connect_timeout: 1s, first_byte_timeout: 900ms, idle_timeout: 3s, progress_timeout: 3s, max_wait: 1s, hold_ping_after: 300ms')
    a = post(r.port, t)
    same(a.headers['x-model-used'], 'pending', 'x-model-used')
    assert b': x-model-used b/m-b\n' in a.body and a.body.startswith(b'event: ping'), a.body[:200]
    a.checked()
    p.script('b', 'always hang')
    r.admin('POST', '/api/reset')
    a = post(r.port, t)
    same((a.status, a.events()[-1][0], a.events()[-1][1]['error']['type'] in ('overloaded_error', 'api_error')), (200, 'error', True), 'no one answers')
    r.admin('POST', '/api/reset')
    same(post(r.port, t, request_body(stream=False)).status, 504, 'not streamed: the best error')
    close(p, r)


@scene
def f0009_thinking_is_proof_after_its_time(home):
    """Held thinking is dropped with a failing attempt, and streamed once it has lasted."""
    p, r, t = run(home, 'always thinking')
    events = [name for name, _ in post(r.port, t).events()]
    same(events[0], 'message_start', 'the first event')
    close(p, r)


@scene
def m0001_cut_after_text(home):
    """Without continuation: the text is closed and an error event says that it broke off."""
    p, r, t = run(home, 'ok', fallback=harness.SHORT + ', continuation: off')
    for step in ('cut-fin 1100', 'cut-rst 1100', 'cut-clean 1100', 'stall 1100', 'cut-error 1100 type=api_error'):
        p.script('a', f'always {step}')
        r.admin('POST', '/api/reset')
        a = post(r.port, t)
        names = [name for name, _ in a.events() if name != 'ping']
        same((a.status, a.headers['x-model-used'], a.broken), (200, 'a/m-a', False), step)
        same((names[-2], names[-1]), ('content_block_stop', 'error'), f'the last events of {step}')
        same(names.count('message_stop'), 0, f'message_stop of {step}')
        assert a.events()[-1][1]['error']['type'] in ('overloaded_error', 'api_error')
    close(p, r)


@scene
def m0002_cut_after_a_whole_call(home):
    """After a whole tool call the turn is finished with tool_use."""
    p, r, t = run(home, 'always no-stop')
    text, calls, stop = post(r.port, t).checked()
    same((len(calls), stop), (1, 'tool_use'), 'what the client got')
    close(p, r)


@scene
def b0001_the_body_goes_on_untouched(home):
    """Unknown fields, betas, order and spelling reach the backend; only the model id changes."""
    p, r, t = run(home, 'ok')
    body = request_body(odd={'z': [1.50, 'é\u2028'], 'a': None}, metadata={'user_id': 'u'})
    a = post(r.port, t, body, headers={'anthropic-beta': 'x-2026,y', 'cookie': 'secret=1', 'x-custom': 'kept'})
    same(a.status, 200, 'status')
    seen = p.seen('a')[0]
    same(seen['body'], __import__('json').dumps(body).replace('claude-x', 'id-a'), 'the body')
    head = seen['head'].lower()
    assert 'anthropic-beta: x-2026,y' in head and 'x-custom: kept' in head and 'accept-encoding: identity' in head, head
    assert 'cookie' not in head and 'continuo' not in head and t.lower() not in head, head
    close(p, r)


@scene
def b0002_small_endpoints(home):
    """count_tokens is forwarded or estimated; the models are those of the policy."""
    p, r, t = run(home, 'ok')
    counted = post(r.port, t, request_body(stream=None, max_tokens=None), path='/v1/messages/count_tokens?beta=true')
    assert counted.status == 200 and counted.json()['input_tokens'] > 0, counted.body
    models = post(r.port, t, path='/v1/models', method='GET').json()
    same([m['id'] for m in models['data']], ['id-a', 'id-b'], 'the models')
    same(post(r.port, t, path='/v1/models/id-b', method='GET').json()['id'], 'id-b', 'one model')
    same(post(r.port, t, path='/v1/models/none', method='GET').status, 404, 'an unknown model')
    close(p, r)


@scene
def b0003_the_same_conversation_on_any_model(home):
    """A task goes on from backend to backend; tool ids never repeat."""
    p, r, t = run(home, 'ok; always status 529')
    messages, ids = [{'role': 'user', 'content': TASK}], []
    for _ in range(3):
        text, calls, stop = post(r.port, t, request_body(messages=messages)).checked()
        messages.append({'role': 'assistant', 'content': [{'type': 'text', 'text': text}] + [
            {'type': 'tool_use', 'id': i, 'name': n, 'input': v} for i, n, v in calls]})
        if calls:
            ids.append(calls[0][0])
            messages.append({'role': 'user', 'content': [{'type': 'tool_result', 'tool_use_id': calls[0][0], 'content': 'written'}]})
    same((text, len(set(ids))), ('All 2 steps are done.', 2), 'the end of the task')
    close(p, r)


@scene
def s0001_told_turns_survive_kill_9(home):
    """What the client saw the end of is in the history after the router was killed."""
    import signal
    import subprocess
    p, r, t = run(home, 'ok')
    told = [post(r.port, t).headers['request-id'] for _ in range(5)]
    r.stop(signal.SIGKILL)
    r.start()
    same(post(r.port, t).status, 200, 'the token after the restart')
    r.stop()
    sessions = __import__('json').loads(subprocess.run([harness.BIN, 'sessions', 'list', '--home', home, '--json'], capture_output=True, check=True).stdout)
    sessions = sessions if isinstance(sessions, list) else sessions['sessions']
    out = b''.join(subprocess.run([harness.BIN, 'sessions', 'export', s['session'], '--home', home], capture_output=True, check=True).stdout
                   for s in sessions).decode()
    same([i for i in told if i not in out], [], 'told turns that are not in the history')
    p.stop()


@scene
def s0002_reload(home):
    """A good policy takes over, a broken one changes nothing and is named with its place."""
    import signal
    p, r, t = run(home, 'ok')
    r.write_policy({'b': p.ports['b']})
    r.child.send_signal(signal.SIGHUP)
    until('the reload', lambda: r.status()['counters']['reloads'] >= 1)
    same(post(r.port, t).headers['x-model-used'], 'b/m-b', 'after the reload')
    r.write_policy({'a': p.ports['a']}, extra='nonsense: 1')
    r.child.send_signal(signal.SIGHUP)
    until('the refusal', lambda: r.status()['counters']['reloads_failed'] >= 1)
    same(post(r.port, t).headers['x-model-used'], 'b/m-b', 'after the broken one')
    assert 'nonsense' in r.text()
    close(p, r)


@scene
def l0101_clients_that_leave(home):
    """A client that goes away at any time leaves nothing behind."""
    import socket
    p, r, t = run(home, 'always delay 200')
    body = __import__('json').dumps(request_body())
    for after in (0, 0.02, 0.1, 0.21):
        s = socket.create_connection(('127.0.0.1', r.port))
        s.sendall((f'POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{r.port}\r\nContent-Type: application/json\r\nx-continuo-token: {t}\r\n'
                   f'Content-Length: {len(body)}\r\n\r\n{body}').encode())
        s.settimeout(after or 0.001)
        try:
            s.recv(1)
        except TimeoutError:
            pass
        s.close()
    until('all turns to be over', lambda: r.status()['turns_now'] == 0 and r.status()['memory_percent'] == 0)
    same(post(r.port, t).status, 200, 'the next one')
    close(p, r)


@scene
def l0102_many_at_once(home):
    """Two hundred turns, 32 at a time, with a first backend that fails at random."""
    p, r, t = run(home, '; '.join(['ok', 'status 529', 'reset', 'ok', 'error-event', 'end-early', 'status 500', 'nothing'] * 20),
                  extra='limits: {turns_per_token: 64, connections_per_token: 200}')

    def one(i):
        if i % 10 == 0:
            r.admin('POST', '/api/reset')
        a = post(r.port, t, request_body(stream=i % 3 != 0))
        if i % 3:
            a.checked()
        return a.status

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        same(set(pool.map(one, range(200))), {200}, 'the statuses')
    until('all turns to be over', lambda: r.status()['turns_now'] == 0)
    close(p, r)


@scene
def l0103_a_second_signal_ends_at_once(home):
    """SIGTERM waits for a turn that hangs; a second one does not, also when a worker has ended before the others."""
    p, r, t = run(home, 'always hang', 'always hang', fallback='first_byte_timeout: 10m')
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(post, r.port, t, timeout=60)
        until('the turn', lambda: r.status()['counters']['attempts'] == 1)
        threads = len(os.listdir(f'/proc/{r.child.pid}/task'))
        r.child.terminate()
        until('the idle worker to end', lambda: len(os.listdir(f'/proc/{r.child.pid}/task')) < threads)
        r.stop()
        same(answer.result().json()['type'], 'error', 'what the client was told')
    p.stop()


sys.exit(harness.main())
