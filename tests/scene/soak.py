"""A thousand turns whose backends fail at random before the commit: all answered, nothing leaked."""
import concurrent.futures
import os
import random
import sys

import harness
from harness import Provider, Router, post, request_body, same, scene, until

TURNS = int(os.environ.get('CONTINUO_TURNS', '1000'))
STEPS = ['ok', 'ok', 'ok', 'status 429', 'status 529', 'status 500', 'status 503', 'reset', 'close', 'error-body', 'error-event', 'end-early',
         'garbage', 'nothing', 'empty-end', 'html', 'redirect', 'encoded', 'hang', 'cut-fin 150', 'whole', 'no-names', 'thinking', 'ok', 'ok', 'status 502', 'reset']


def resident(pid):
    with open(f'/proc/{pid}/statm', encoding='ascii') as f:
        return int(f.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def descriptors(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


@scene
def l0201_a_thousand_turns(home):
    """Random failures of the first two of three backends; memory and descriptors stay flat."""
    dice = random.Random(7)
    scripts = ['; '.join(dice.choice(STEPS) for _ in range(400)) for _ in range(2)]
    p = Provider(home, a=scripts[0], b=scripts[1], c='ok')
    r = Router(home, p.ports, 'connect_timeout: 1s, first_byte_timeout: 2s, idle_timeout: 2s, progress_timeout: 4s, max_wait: 10s',
               'limits: {connections_per_token: 400, turns_per_token: 64}')
    t = r.token(name='t')

    def one(i):
        if i % 5 == 0:
            r.admin('POST', '/api/reset')  # or what failed once would rest, and fail no more
        stream = i % 3 != 0
        body = request_body(stream=stream, messages=[{'role': 'user', 'content': harness.TASK + 'x' * (i % 60 * 1000)}])
        a = post(r.port, t, body, headers={'x-claude-code-session-id': f's-{i % 40}'})
        if stream and a.status == 200:
            a.checked()
        return a.status

    marks = []
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for part in range(5):
            statuses = list(pool.map(one, range(part * TURNS // 5, (part + 1) * TURNS // 5)))
            same(set(statuses), {200}, 'the statuses')
            until('the turns to be over', lambda: r.status()['turns_now'] == 0)
            marks.append(resident(r.child.pid))
    until('the connections to close', lambda: r.status()['connections_now'] == 0)
    same(r.status()['memory_percent'], 0, 'memory that stays charged')
    c = r.status()['counters']
    print(f'{c["turns"]} turns, {c["attempts"]} attempts, {c["attempts_failed"]} failed, {c["fallbacks"]} turns fell back; '
          f'resident {[m >> 20 for m in marks]} MiB, {descriptors(r.child.pid)} descriptors')
    same(c['turns_ok'], TURNS, 'turns that ended well')
    assert c['fallbacks'] > TURNS // 10, c
    # Sanitizers keep freed memory for a while: flat means that it does not grow with the turns.
    assert marks[-1] < marks[1] * 1.5 + (64 << 20), marks
    assert descriptors(r.child.pid) < 100
    r.stop()
    p.stop()


sys.exit(harness.main())
