"""kill -9 of the router under load: whatever the client saw the end of is in the history.

CONTINUO_KILLS says how often (20 here; 200 in the long run)."""
import concurrent.futures
import http.client
import json
import os
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
    told, lock, over = [], threading.Lock(), threading.Event()

    def client(n):
        while not over.is_set():
            try:
                body = request_body(messages=[{'role': 'user', 'content': f'client {n} ' + 'x' * 500}], tools=None)
                a = post(r.port, t, body, headers={'x-claude-code-session-id': f's-{n}'}, timeout=10)
                if a.status == 200 and not a.broken and b'event: message_stop' in a.body:
                    with lock:
                        told.append(a.headers['request-id'])
            except (OSError, http.client.HTTPException):
                time.sleep(0.005)  # the router is dead: it comes back

    longest = 0.0
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        for n in range(CLIENTS):
            pool.submit(client, n)
        for kill in range(KILLS):
            before = len(told)
            harness.until('some turns', lambda: len(told) >= before + 3 + kill % 7)
            r.child.send_signal(signal.SIGKILL)
            r.child.wait()
            r.log.close()
            began = time.monotonic()
            r.start()
            longest = max(longest, time.monotonic() - began)
        over.set()
    r.stop()
    p.stop()
    kept = set()
    sessions = json.loads(subprocess.run([BIN, 'sessions', 'list', '--home', home, '--json'], capture_output=True, check=True).stdout)
    for s in sessions if isinstance(sessions, list) else sessions['sessions']:
        out = subprocess.run([BIN, 'sessions', 'export', s['session'], '--home', home], capture_output=True, check=True).stdout
        for line in out.decode().splitlines():
            turn = json.loads(line)
            kept.add((turn.get('turn') or turn).get('request_id'))
    print(f'{KILLS} kills, {len(told)} turns told, longest start {longest:.2f} s')
    same([i for i in told if i not in kept], [], 'told turns that are not in the history')
    assert longest < 5, f'a start took {longest:.1f} s'


sys.exit(harness.main())
