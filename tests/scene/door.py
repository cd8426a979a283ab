"""The listener's checks: what must never get as far as a turn (design/security.md 5 to 7)."""
import sys

import harness
from harness import Provider, Router, post, raw, request_body, same, scene


def serve(home, extra='', **scripts):
    provider = Provider(home, **(scripts or {'a': 'ok'}))
    return provider, Router(home, provider.ports, extra=extra)


def close(provider, router):
    router.stop()
    provider.stop()


@scene
def l0001_order_of_checks(home):
    """Host, browser, content type, token: each refused with its status, nothing reaches a backend."""
    p, r = serve(home)
    t = r.token(name='t')
    cases = [
        (421, {'Host': 'evil.example'}, t), (421, {'Host': f'0.0.0.0:{r.port}'}, t), (403, {'Origin': 'http://x'}, t),
        (403, {'Sec-Fetch-Site': 'cross-site'}, t), (415, {'content-type': 'text/plain'}, t), (401, {}, None), (401, {}, 'ct_wrong'),
    ]
    for want, headers, token in cases:
        same(post(r.port, token, headers=headers).status, want, f'status for {headers} {token and "token"}')
    same(post(r.port, t, headers={'Sec-Fetch-Mode': 'cors', 'anthropic-dangerous-direct-browser-access': 'true'}).status, 200,
         'what Node and the client send')
    same(post(r.port, t, method='OPTIONS', headers={'Origin': 'http://x'}).status, 405, 'OPTIONS')
    same(len(p.seen()), 1, 'requests that reached the backend')
    close(p, r)


@scene
def l0002_ten_wrong_tokens_shut_the_door(home):
    """After ten failures from one address even that address's wrong tokens are not looked at."""
    p, r = serve(home)
    statuses = [post(r.port, 'ct_wrong').status for _ in range(12)]
    same(statuses[:9], [401] * 9, 'the first nine')
    same(statuses[-1], 429, 'the last')
    close(p, r)


@scene
def l0003_without_a_token(home):
    """HEAD /, HEAD /api/hello, /healthz and /readyz need none; their answers are fixed."""
    p, r = serve(home)
    for method, path, body in (('HEAD', '/', b''), ('HEAD', '/api/hello', b''), ('GET', '/healthz', b'ok'), ('GET', '/readyz', b'ready')):
        a = post(r.port, None, path=path, method=method)
        same((a.status, a.body), (200, body), f'{method} {path}')
    same(post(r.port, None, path='/v1/models', method='GET').status, 401, 'the models without a token')
    same(post(r.port, r.token(name='t'), path='/nowhere', method='GET').status, 404, 'an unknown path')
    close(p, r)


@scene
def l0004_smuggling_shapes(home):
    """Two readings of one message: refused with 400, and the connection is over."""
    p, r = serve(home)
    head = f'POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{r.port}\r\nContent-Type: application/json\r\n'.encode()
    shapes = [
        b'Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', b'Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}',
        b'Content-Length: +2\r\n\r\n{}', b'Content-Length : 2\r\n\r\n{}', b'Transfer-Encoding: gzip, chunked\r\n\r\n', b' folded: x\r\n\r\n',
        b'X: a\rb\r\n\r\n', b'X: a\0b\r\n\r\n', b': empty\r\n\r\n', b'Upgrade: websocket\r\nConnection: upgrade\r\n\r\n', b'Expect: 200-maybe\r\n\r\n',
    ]
    for shape in shapes:
        got = raw(r.port, head + shape)
        same(got.split(b'\r\n')[0][:12], b'HTTP/1.1 400', f'the answer to {shape!r}')
    for path in (b'/v1/../messages', b'/v1%2fmessages', b'//v1/messages', b'http://x/v1/messages'):
        got = raw(r.port, b'POST ' + path + b' HTTP/1.1\r\nHost: x\r\n\r\n')
        same(got.split(b'\r\n')[0][:12], b'HTTP/1.1 400', f'the answer to {path!r}')
    same(p.seen(), [], 'what reached the backend')
    close(p, r)


@scene
def l0005_sizes(home):
    """A body over the limit is a 413 in the API's words; a head over its limit a 431."""
    p, r = serve(home, extra='limits: {request_body: 1MiB}')
    t = r.token(name='t')
    body = request_body(messages=[{'role': 'user', 'content': 'x' * (2 << 20)}])
    a = post(r.port, t, body)
    same((a.status, a.json()['error']['type']), (413, 'request_too_large'), 'a body of 2 MiB')
    a = post(r.port, t, headers={'X-Big': 'x' * 40000})
    same(a.status, 431, 'a head of 40 KB')
    same(post(r.port, t).status, 200, 'the next one')
    close(p, r)


@scene
def l0006_too_deep_or_no_json(home):
    """What no parser should see is refused with its place."""
    p, r = serve(home)
    t = r.token(name='t')
    for text, want in (('[' * 200 + ']' * 200, 'nested deeper than 128 levels'), ('{"model":', 'too early'), ('[]', 'no JSON object'),
                       ('{"messages":[{}]}', 'model: Field required'), ('{"model":"m","messages":[{}]}', 'max_tokens: Field required')):
        got = raw(r.port, (f'POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{r.port}\r\nContent-Type: application/json\r\nConnection: close\r\n'
                           f'x-continuo-token: {t}\r\nContent-Length: {len(text)}\r\n\r\n{text}').encode())
        assert got.startswith(b'HTTP/1.1 400') and want.encode() in got, f'{text[:40]}: {got!r}'
    close(p, r)


@scene
def l0007_limits_of_a_token(home):
    """Requests per minute: over them a 429 with a true retry-after."""
    p, r = serve(home)
    t = r.token(name='t', requests_per_minute=2)
    same([post(r.port, t).status for _ in range(3)], [200, 200, 429], 'three requests at two a minute')
    a = post(r.port, t)
    assert 1 <= int(a.headers['retry-after']) <= 60, a.headers
    close(p, r)


@scene
def l0008_turns_in_flight_queue(home):
    """More turns than there are places wait for one, and are answered."""
    p, r = serve(home, extra='limits: {turns: 1}', a='always delay 150')
    t = r.token(name='t')
    import concurrent.futures
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        same([a.status for a in pool.map(lambda _: post(r.port, t), range(4))], [200] * 4, 'four turns, one place')
    close(p, r)


sys.exit(harness.main())
