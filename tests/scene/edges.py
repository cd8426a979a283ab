"""Edges of a turn: what backends, slow clients, a slow disk and the router's own end do at the worst moment."""
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import harness
from harness import Edited, Router, post, request_body, same, scene, until


class Backend:
    """Answers every request with the bytes of `reply`; counts them.  Its threads end with it."""

    def __init__(self, reply):
        self.reply, self.requests = reply, 0
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=(self.listener.accept()[0],), daemon=True).start()

    def serve(self, s):
        with s, contextlib.suppress(OSError):
            data = b''
            while b'\r\n\r\n' not in data:
                data += s.recv(65536)
            head, body = data.split(b'\r\n\r\n', 1)
            length = int([line for line in head.lower().split(b'\r\n') if line.startswith(b'content-length:')][0][15:])
            while len(body) < length:
                body += s.recv(65536)
            self.requests += 1
            s.sendall(self.reply)

    def close(self):
        self.listener.close()


def message(text='Hello', head=b'', **more):
    """A whole Message as an answer, which is read as a stream's events would be."""
    m = {'id': 'm1', 'type': 'message', 'role': 'assistant', 'model': 'm', 'content': [{'type': 'text', 'text': text}],
         'stop_reason': 'end_turn', 'stop_sequence': None, 'usage': {'input_tokens': 1, 'output_tokens': 1}}
    m.update(more)
    body = json.dumps(m).encode()
    return b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n' + head + b'Content-Length: %d\r\n\r\n' % len(body) + body


def stream(*events):
    """Events as an answer, which ends with its connection."""
    return (b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n'
            + b''.join(f'event: {e["type"]}\ndata: {json.dumps(e)}\n\n'.encode() for e in events))


def cut_call(output):
    """A call of Write whose input was cut by the output limit after so many tokens."""
    return stream(
        {'type': 'message_start', 'message': {'id': 'm1', 'type': 'message', 'role': 'assistant', 'model': 'm', 'content': [],
                                              'usage': {'input_tokens': 1, 'output_tokens': 1}}},
        {'type': 'content_block_start', 'index': 0, 'content_block': {'type': 'tool_use', 'id': 'toolu_1', 'name': 'Write', 'input': {}}},
        {'type': 'content_block_delta', 'index': 0, 'delta': {'type': 'input_json_delta', 'partial_json': '{"file_pa'}},
        {'type': 'content_block_stop', 'index': 0},
        {'type': 'message_delta', 'delta': {'stop_reason': 'max_tokens', 'stop_sequence': None}, 'usage': {'output_tokens': output}},
        {'type': 'message_stop'})


def refusal(status, head=b''):
    body = b'{"type":"error","error":{"type":"x_error","message":"no"}}'
    return (b'HTTP/1.1 %d No\r\nContent-Type: application/json\r\nConnection: close\r\n' % status + head
            + b'Content-Length: %d\r\n\r\n' % len(body) + body)


@contextlib.contextmanager
def environment(**more):
    """For programs started inside."""
    before = dict(os.environ)
    os.environ.update(more)
    yield
    os.environ.clear()
    os.environ.update(before)


def quietly(call):
    """Calls it for what it does; it may be cut off."""
    with contextlib.suppress(Exception):
        call(name='u')


ONE_WORKER = {'workers: 2': 'workers: 1'}


@scene
def l0201_limits_of_the_clients_own_account(home):
    """They are passed on with its own backend's answer, whatever their names, and with no other's."""
    limits = b'anthropic-ratelimit-unified-status: allowed\r\nanthropic-ratelimit-a.b(c): 1\r\n'
    a, b = Backend(message(head=limits)), Backend(message())
    origin = f'"http://127.0.0.1:{a.port}"'
    r = Edited(home, {'a': a.port, 'b': b.port},
               {f'{origin}, key: none': f'{origin}, key: client', 'workers: 2': f'workers: 2\nclient_key_origins: [{origin}]'})
    t = r.token(name='t')
    own = {'authorization': 'Bearer sk-own'}
    got = post(r.port, t, headers=own)
    same((got.status, got.headers['x-model-used']), (200, 'a/m-a'), 'the own backend')
    same({k: v for k, v in got.headers.items() if 'ratelimit' in k}, {'anthropic-ratelimit-unified-status': 'allowed'}, 'its limits')
    a.reply = refusal(529, limits)
    got = post(r.port, t, headers=own)
    same((got.status, got.headers['x-model-used']), (200, 'b/m-b'), 'the other backend')
    same([k for k in got.headers if 'ratelimit' in k], [], 'limits of the first with the answer of the second')
    a.reply = refusal(429, limits.replace(b'allowed', b'rejected') + b'retry-after: 7200\r\n').replace(b'n/json\r', b'n/json; odd="foreign"\r')
    b.reply = refusal(529)
    r.write_policy({'a': a.port})
    r.child.send_signal(signal.SIGHUP)
    until('the reload', lambda: r.status()['counters']['reloads'] >= 1)
    r.admin('POST', '/api/reset')
    got = post(r.port, t, headers=own)
    same((got.status, got.body, got.headers['retry-after'], got.headers['anthropic-ratelimit-unified-status'], got.headers['content-type']),
         (429, a.reply.split(b'\r\n\r\n')[1], '7200', 'rejected', 'application/json'), 'a limit that only the client can wait for')
    r.stop()
    a.close()
    b.close()


@scene
def b0201_a_long_answer_that_is_not_streamed(home):
    """What is gathered for a client that does not stream is not what is held back before a commit."""
    text = 'Hello! ' * 100000
    a, b = Backend(message(text)), Backend(message())
    r = Router(home, {'a': a.port, 'b': b.port})
    got = post(r.port, r.token(name='t'), request_body(stream=False))
    same((got.status, got.headers['x-continuo-attempts']), (200, 'a/m-a:ok'), 'who answered')
    assert got.json()['content'][0]['text'] == text
    r.stop()
    a.close()
    b.close()


@scene
def b0202_a_count_is_short(home):
    """A backend's figure is passed on; an answer as long as no figure is gives way to the estimate."""
    a = Backend(b'')
    r = Edited(home, {'a': a.port}, {'wire: anthropic': 'preset: anthropic'})
    t = r.token(name='t')
    for text, who in (('', 'a/m-a'), ('x' * 100000, 'none')):
        a.reply = message(text, input_tokens=7)
        got = post(r.port, t, request_body(stream=None, max_tokens=None), path='/v1/messages/count_tokens')
        same((got.status, got.headers['x-model-used'], got.json()['input_tokens'] == 7), (200, who, who != 'none'), 'the count')
    r.stop()
    a.close()


@scene
def f0201_a_call_cut_by_whose_limit(home):
    """By the model's own, the next one is asked; by the client's, that is the answer."""
    a, b = Backend(cut_call(50)), Backend(message())
    r = Router(home, {'a': a.port, 'b': b.port})
    t = r.token(name='t')
    for streams in (True, False):
        a.reply = cut_call(50)
        got = post(r.port, t, request_body(max_tokens=100, stream=streams))
        same((got.status, got.headers['x-continuo-attempts']), (200, 'a/m-a:output_ceiling, b/m-b:ok'), 'the limit of the model')
        a.reply = cut_call(100)
        got = post(r.port, t, request_body(max_tokens=100, stream=streams))
        same((got.status, got.headers['x-continuo-attempts']), (200, 'a/m-a:ok'), 'the limit of the client')
        stop = got.checked()[1:] if streams else (got.json()['content'], got.json()['stop_reason'])
        same(stop, ([], 'max_tokens'), 'what the client got')
    r.stop()
    a.close()
    b.close()


@scene
def l0202_a_slow_reader_of_a_router_that_stops(home):
    """An answer that is over for its turn still leaves to its last byte, within the time for draining."""
    a = Backend(message('Hello! ' * 3000000))
    r = Edited(home, {'a': a.port}, ONE_WORKER)
    t, body = r.token(name='t'), json.dumps(request_body(stream=False))
    idle = socket.create_connection(('127.0.0.1', r.port))
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(30)
        s.connect(('127.0.0.1', r.port))
        s.sendall((f'POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{r.port}\r\nContent-Type: application/json\r\n'
                   f'x-continuo-token: {t}\r\nContent-Length: {len(body)}\r\n\r\n{body}').encode())
        got = s.recv(4096)
        until('the turn to be over', lambda: r.status()['turns_now'] == 0)
        r.child.send_signal(signal.SIGTERM)
        same(idle.recv(1), b'', 'the idle connection of a router that stops')
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        while chunk := s.recv(1 << 20):
            got += chunk
    head, answer = got.split(b'\r\n\r\n', 1)
    length = int([line for line in head.split(b'\r\n') if line.startswith(b'content-length:')][0][15:])
    same(len(answer), length, 'bytes of the answer')
    same(r.child.wait(30), 0, 'how the router ended')
    r.log.close()
    a.close()


class Stall:
    """Nothing can be written to the history as long as this is held."""

    def __init__(self, home):
        self.lmdb = ctypes.CDLL('liblmdb.so.0')
        self.env, self.txn = ctypes.c_void_p(), ctypes.c_void_p()
        same(self.lmdb.mdb_env_create(ctypes.byref(self.env)), 0, 'mdb_env_create')
        same(self.lmdb.mdb_env_open(self.env, os.path.join(home, 'history').encode(), 0, 0o600), 0, 'mdb_env_open')
        same(self.lmdb.mdb_txn_begin(self.env, None, 0, ctypes.byref(self.txn)), 0, 'mdb_txn_begin')

    def end(self):
        self.lmdb.mdb_txn_abort(self.txn)
        self.lmdb.mdb_env_close(self.env)


@scene
def s0201_a_stalled_disk_delays_no_end(home):
    """The end of an answer waits 50 ms for the store, not for the turn's next timer."""
    a = Backend(message())
    r = Router(home, {'a': a.port})
    t = r.token(name='t')
    stall = Stall(home)
    for stream in (False, True):
        same(post(r.port, t, request_body(stream=stream)).status, 200, f'stream {stream}')
    same(r.status()['counters']['turns_unstored'], 2, 'turns that ended without the store')
    stall.end()
    r.stop()
    a.close()


@scene
def s0202_a_full_pool_delays_no_turn(home):
    """Signatures that the store is asked about are waited for 50 ms; a turn that was told is kept, also by a router that stops."""
    a = Backend(message())
    with environment(UV_THREADPOOL_SIZE='1'):
        r = Edited(home, {'a': a.port}, ONE_WORKER)
    t = r.token(name='t')
    idle = socket.create_connection(('127.0.0.1', r.port))
    stall = Stall(home)
    # The one thread of the pool waits for the writer, which waits for us.
    asks = threading.Thread(target=quietly, args=(r.token,), daemon=True)
    asks.start()
    r.status()
    thought = {'role': 'assistant', 'content': [{'type': 'thinking', 'thinking': 'Hm', 'signature': 'c2ln'}, {'type': 'text', 'text': 'Yes'}]}
    user = {'role': 'user', 'content': 'Go on'}
    got = post(r.port, t, request_body(messages=[user, thought, user]), timeout=60)
    same(got.status, 200, 'status')
    r.child.send_signal(signal.SIGTERM)
    same(idle.recv(1), b'', 'the idle connection of a router that stops')
    stall.end()
    r.stop()
    asks.join()
    sessions = json.loads(subprocess.run([harness.BIN, 'sessions', 'list', '--home', home, '--json'], capture_output=True, check=True).stdout)
    sessions = sessions if isinstance(sessions, list) else sessions['sessions']
    out = b''.join(subprocess.run([harness.BIN, 'sessions', 'export', s['session'], '--home', home], capture_output=True, check=True).stdout
                   for s in sessions).decode()
    assert got.headers['request-id'] in out, out
    a.close()


@scene
def s0203_a_full_pool_delays_no_long_body(home):
    """A body that the pool does not come to is read by its worker; a client that leaves before leaves nothing."""
    a = Backend(message())
    with environment(UV_THREADPOOL_SIZE='1'):
        r = Edited(home, {'a': a.port}, ONE_WORKER)
    t = r.token(name='t')
    stall = Stall(home)
    # The one thread of the pool waits for the writer, which waits for us.
    asks = threading.Thread(target=quietly, args=(r.token,), daemon=True)
    asks.start()
    r.status()
    long = request_body(messages=[{'role': 'user', 'content': 'x' * 1000000}])
    body = json.dumps(long).encode()
    with socket.create_connection(('127.0.0.1', r.port)) as s:
        s.sendall((f'POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{r.port}\r\nContent-Type: application/json\r\nx-continuo-token: {t}\r\n'
                   f'Content-Length: {len(body)}\r\n\r\n').encode() + body)
        until('the body', lambda: r.status()['counters']['bodies_pooled'] == 1)
    same(post(r.port, t, long, timeout=60).status, 200, 'status')
    same(post(r.port, t, long, path='/v1/messages/count_tokens', timeout=60).status, 200, 'status of a count')
    same((a.requests, r.status()['counters']['bodies_pooled']), (1, 3), 'requests at the backend, bodies queued')
    stall.end()
    r.stop()
    asks.join()
    a.close()


sys.exit(harness.main())
