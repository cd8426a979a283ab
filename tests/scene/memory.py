"""The router's own memory: no new turn at 75 % of the limit, at 90 % the largest makes room."""
import http.client
import json
import os
import sys
import threading

import harness
from harness import Provider, Router, post, request_body, same, scene, until

MIB = 1 << 20
# 64 MiB is the least limit there is.  A body counts twice while its turn lasts: as it came, and
# as the history will have it.
LIMIT = 'limits: {memory_limit: 64MiB}'
PATIENT = 'first_byte_timeout: 10m, idle_timeout: 10m, max_wait: 250ms'


def body_of(mib):
    return request_body(messages=[{'role': 'user', 'content': 'x' * int(mib * MIB)}], tools=None)


class Turn(threading.Thread):
    """One request in flight; `answer` once it was answered."""

    def __init__(self, router, token, mib):
        super().__init__(daemon=True)
        self.args, self.answer = (router.port, token, body_of(mib)), None
        self.start()

    def run(self):
        try:
            self.answer = post(*self.args, timeout=120)
        except (OSError, http.client.HTTPException):
            pass  # the router was ended before it answered

    def ended(self):
        self.join(120)
        return self.answer


def start(home, script):
    p = Provider(home, a=script)
    r = Router(home, p.ports, fallback=PATIENT, extra=LIMIT)
    return p, r, r.token()


def end(p, r):
    """At once: what hangs at the backend would be waited for."""
    r.child.terminate()
    until('draining', lambda: 'draining' in r.text())
    r.stop()
    p.stop()


def asked(p, n):
    def lines():
        # Its log has the bodies: a line is whole when its end is there.
        with open(p.log, 'rb') as f:
            return f.read().count(b'\n')
    until(f'request {n} at the backend', lambda: os.path.exists(p.log) and lines() == n, 60)


@scene
def l0201_the_largest_makes_room(home):
    """The turn that holds most is ended with 529; the smaller ones and the one that came go on."""
    p, r, t = start(home, 'hang; hang; always ok')
    large = Turn(r, t, 14.5)
    asked(p, 1)
    small = Turn(r, t, 2)
    asked(p, 2)
    came = post(r.port, t, body_of(13), timeout=120)
    same(came.status, 200, f'the turn that came: {came.body[:200]!r}')
    came.checked()
    a = large.ended()
    same((a.status, a.json()['error']['type'], a.headers['retry-after']), (529, 'overloaded_error', '5'), 'the largest')
    same((a.headers['x-model-used'], a.headers['x-continuo-attempts']), ('a/m-a', 'a/m-a:cancelled'), 'what was tried')
    assert 'out of memory' in a.json()['error']['message'], a.body
    until('the end of two turns', lambda: r.status()['turns_now'] == 1)
    same(small.answer, None, 'the smaller one')
    s = r.status()
    same((s['counters']['turns_given_up'], s['cooldowns']), (1, []), 'given up, and nobody blamed')
    same(post(r.port, t).status, 200, 'there is room again')
    end(p, r)


@scene
def l0202_no_new_turn_at_three_quarters(home):
    """A turn that finds 75 % of the memory in use is refused with 529, and none is ended for it."""
    p, r, t = start(home, 'hang; hang; always ok')
    turns = [Turn(r, t, 16), Turn(r, t, 9)]
    asked(p, 2)
    same(r.status()['memory_percent'], 78, 'two bodies, twice each')
    a = post(r.port, t)
    same((a.status, a.headers['retry-after']), (529, '5'), 'the third')
    same([x.answer for x in turns], [None, None], 'those in flight')
    same(r.status()['counters']['turns_given_up'], 0, 'given up')
    end(p, r)


@scene
def l0203_what_was_begun_is_not_taken_back(home):
    """A turn whose client has begun to read an answer is never the one that goes, however much it holds."""
    p, r, t = start(home, 'stall 700; hang; always ok')
    connection = http.client.HTTPConnection('127.0.0.1', r.port, timeout=120)
    connection.request('POST', '/v1/messages', json.dumps(body_of(14.5)),
                       {'content-type': 'application/json', 'x-continuo-token': t})
    largest = connection.getresponse()
    same((largest.status, largest.getheader('x-model-used')), (200, 'a/m-a'), 'the largest has begun')
    small = Turn(r, t, 2)
    asked(p, 2)
    came = post(r.port, t, body_of(13), timeout=120)
    same(came.status, 529, 'the largest of those that have not')
    until('the end of one turn', lambda: r.status()['turns_now'] == 2)
    same(small.answer, None, 'the smaller one')
    assert b'message_start' in largest.read1(), 'the answer that was begun'
    end(p, r)


sys.exit(harness.main())
