"""Edges of a turn: what backends, slow clients, a slow disk and the router's own end do at the worst moment."""
import contextlib
import json
import signal
import socket
import sys
import threading

import harness
from harness import Router, post, request_body, same, scene, until


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


def refusal(status, head=b''):
    body = b'{"type":"error","error":{"type":"x_error","message":"no"}}'
    return (b'HTTP/1.1 %d No\r\nContent-Type: application/json\r\nConnection: close\r\n' % status + head
            + b'Content-Length: %d\r\n\r\n' % len(body) + body)


class OwnKeyRouter(Router):
    """The first backend gets the client's own credential."""

    def write_policy(self, ports, fallback=harness.SHORT, extra=''):
        origin = f'http://127.0.0.1:{ports["a"]}'
        super().write_policy(ports, fallback, extra + f'\nclient_key_origins: ["{origin}"]')
        path = f'{self.home}/policy.yaml'
        with open(path, encoding='utf-8') as f:
            text = f.read()
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text.replace(f'"{origin}", key: none', f'"{origin}", key: client'))


@scene
def l0201_limits_of_the_clients_own_account(home):
    """They are passed on with its own backend's answer, whatever their names, and with no other's."""
    limits = b'anthropic-ratelimit-unified-status: allowed\r\nanthropic-ratelimit-a.b(c): 1\r\n'
    a, b = Backend(message(head=limits)), Backend(message())
    r = OwnKeyRouter(home, {'a': a.port, 'b': b.port})
    t = r.token(name='t')
    own = {'authorization': 'Bearer sk-own'}
    got = post(r.port, t, headers=own)
    same((got.status, got.headers['x-model-used']), (200, 'a/m-a'), 'the own backend')
    same({k: v for k, v in got.headers.items() if 'ratelimit' in k}, {'anthropic-ratelimit-unified-status': 'allowed'}, 'its limits')
    a.reply = refusal(529, limits)
    got = post(r.port, t, headers=own)
    same((got.status, got.headers['x-model-used']), (200, 'b/m-b'), 'the other backend')
    same([k for k in got.headers if 'ratelimit' in k], [], 'limits of the first with the answer of the second')
    a.reply = refusal(429, limits.replace(b'allowed', b'rejected') + b'retry-after: 7200\r\n')
    b.reply = refusal(529)
    r.write_policy({'a': a.port})
    r.child.send_signal(signal.SIGHUP)
    until('the reload', lambda: r.status()['counters']['reloads'] >= 1)
    r.admin('POST', '/api/reset')
    got = post(r.port, t, headers=own)
    same((got.status, got.body, got.headers['retry-after'], got.headers['anthropic-ratelimit-unified-status']),
         (429, a.reply.split(b'\r\n\r\n')[1], '7200', 'rejected'), 'a limit that only the client can wait for')
    r.stop()
    a.close()
    b.close()


sys.exit(harness.main())
