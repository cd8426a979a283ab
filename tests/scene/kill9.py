"""kill -9 of the router under load: whatever the client saw the end of is in the history.

CONTINUO_KILLS says how often (20 here; 200 in the long run)."""
import concurrent.futures
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import harness
from harness import BIN, Provider, Router, post, request_body, same, scene

KILLS = int(os.environ.get('CONTINUO_KILLS', '20'))
CLIENTS = 6


@scene
def s0101_kill_9_under_load(home):
    """Every told turn is whole in the history, and the store opens at once, every time."""
    p = Provider(home, a='ok', b='ok')
    r = Router(home, p.ports, extra='limits: {connections_per_token: 200}')
    t = r.token(name='t')
    told, lock, over = {}, threading.Lock(), threading.Event()  # by request id: what was asked, what was answered

    def client(n):
        turn = 0
        while not over.is_set():
            turn += 1
            try:
                asked = f'client {n} turn {turn} ' + 'x' * (turn * 97 % 3000)
                body = request_body(messages=[{'role': 'user', 'content': asked}], tools=None)
                a = post(r.port, t, body, headers={'x-claude-code-session-id': f's-{n}'}, timeout=10)
                if a.status == 200 and not a.broken and b'event: message_stop' in a.body:
                    with lock:
                        told[a.headers['request-id']] = (asked, a.checked()[0])
            except (OSError, http.client.HTTPException):
                time.sleep(0.005)  # the router is dead: it comes back

    longest = 0.0
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(client, n) for n in range(CLIENTS)]
        for kill in range(KILLS):
            before = len(told)
            harness.until('some turns', lambda: len(told) >= before + 5 + kill * 7 % 40)
            r.child.send_signal(signal.SIGKILL)
            r.child.wait()
            r.log.close()
            began = time.monotonic()
            r.start()
            longest = max(longest, time.monotonic() - began)
        over.set()
        for c in clients:
            c.result()
    r.stop()
    p.stop()
    asked, answered, turns = {}, {}, set()
    sessions = json.loads(subprocess.run([BIN, 'sessions', 'list', '--home', home, '--json'], capture_output=True, check=True).stdout)
    for s in sessions:
        out = subprocess.run([BIN, 'sessions', 'export', s['session'], '--home', home], capture_output=True, check=True).stdout
        for line in map(json.loads, out.decode().splitlines()):
            if line['type'] == 'message':
                (answered if 'answer' in line else asked)[line['request']] = ''.join(b['text'] for b in line['content'])
            elif line['type'] == 'turn' and line['ending'] == 'ok':
                turns.add(line['request_id'])
    kept = {i: (asked.get(i), answered.get(i)) for i in turns}
    # A disk that takes longer than 50 ms is not waited for, and that is said before the client is told.
    slow = set(re.findall(r'told before it was stored request=(\S+)', r.text()))
    told = {i: turn for i, turn in told.items() if i not in slow}
    print(f'{KILLS} kills, {len(told)} turns told, {len(slow)} not waited for, longest start {longest:.2f} s')
    assert len(told) > 5 * KILLS, 'hardly a turn was waited for'
    same([(i, kept.get(i), turn) for i, turn in told.items() if kept.get(i) != turn], [], 'told turns that the history has not, or not so')
    assert longest < 20, f'a start took {longest:.1f} s'


sys.exit(harness.main())
