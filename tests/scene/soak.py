"""A thousand turns whose backends fail at random before the commit: all answered, nothing leaked."""
import concurrent.futures
import os
import random
import sys

import harness
from harness import Provider, Router, post, request_body, same, scene, until

# Sanitizers keep freed memory for a while: there, flat means only that no turn keeps its own.
with open(harness.BIN, 'rb') as program:
    SLACK = (320 if b'__asan_init' in program.read() else 16) << 20
TURNS = int(os.environ.get('CONTINUO_TURNS', '1000'))
STEPS = ['ok', 'ok', 'ok', 'status 429', 'status 529', 'status 500', 'status 503', 'reset', 'close', 'error-body', 'error-event', 'end-early',
         'garbage', 'nothing', 'empty-end', 'html', 'redirect', 'encoded', 'hang', 'cut-fin 150', 'whole', 'no-names', 'thinking', 'ok', 'ok', 'status 502', 'reset']


def resident(pid):
    with open(f'/proc/{pid}/statm', encoding='ascii') as f:
        fields = f.read().split()
    # Without pages of files: the mapped history grows with every turn, as it should.
    return (int(fields[1]) - int(fields[2])) * os.sysconf('SC_PAGE_SIZE')


def descriptors(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


@scene
def l0201_a_thousand_turns(home):
    """Random failures of the first two of three backends; memory and descriptors stay flat."""
    dice = random.Random(7)
    p = Provider(home, a='ok', b='ok', c='ok')
    r = Router(home, p.ports, 'connect_timeout: 1s, first_byte_timeout: 2s, idle_timeout: 2s, progress_timeout: 4s, max_wait: 10s',
               'limits: {connections_per_token: 400, turns_per_token: 64}')
    t = r.token(name='t')

    def one(i):
        if i % 500 == 0:
            for name in 'ab':
                p.script(name, '; '.join(dice.choice(STEPS) for _ in range(400)))
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
    assert marks[-1] < marks[1] + SLACK, marks
    assert descriptors(r.child.pid) < 100
    r.stop()
    p.stop()


# What no model can be blamed for the request for, and what is over quickly.
FAILURES = ['status 429', 'status 429 retry-after=2', 'status 500', 'status 503', 'status 529', 'reset', 'close', 'hang', 'silent', 'pings', 'garbage',
            'nothing', 'html', 'error-body', 'error-event', 'error-event type=api_error', 'end-early', 'empty-end', 'encoded',
            'cut-fin 200', 'cut-rst 200', 'cut-clean 200', 'stall 320']
ERRORS = {429: 'rate_limit_error', 500: 'api_error', 502: 'api_error', 503: 'api_error', 504: 'timeout_error', 529: 'overloaded_error',
          403: 'permission_error'}


def judge(answer, stream):
    """Whether the turn was answered; what it got instead must be an error in the API's words."""
    assert not answer.broken, 'an answer that breaks off'
    assert answer.headers['x-model-used'], 'an answer without its model'
    if answer.status == 200:
        stop = answer.checked()[2] if stream else answer.json()['stop_reason']
        same(stop, 'tool_use', 'the stop reason')
        return True
    error = answer.json()
    same((error['type'], error['error']['type']), ('error', ERRORS.get(answer.status)), f'the words of a {answer.status}')
    same(error['request_id'], answer.headers['request-id'], 'the request id')
    if answer.status in (429, 529):
        assert int(answer.headers['retry-after']) >= 1, answer.headers
    return False


@scene
def l0202_often_all_backends_fail(home):
    """Each turn gets a whole answer or a correct error; nothing of either stays behind."""
    dice = random.Random(11)
    p = Provider(home, a='ok', b='ok')
    r = Router(home, p.ports, 'connect_timeout: 300ms, first_byte_timeout: 300ms, idle_timeout: 300ms, progress_timeout: 500ms, max_wait: 100ms',
               'limits: {connections_per_token: 400}')
    t = r.token(name='t')

    def one(i):
        if i % 500 == 0:
            for name in 'ab':
                p.script(name, '; '.join(dice.choice(FAILURES if dice.random() < 0.7 else ['ok']) for _ in range(1000)))
        if i % 4 == 0:
            r.admin('POST', '/api/reset')
        text = harness.TASK + 'x' * dice.randrange(2000, 60000)
        body = request_body(stream=i % 2 == 0, messages=[{'role': 'user', 'content': text}])
        return judge(post(r.port, t, body, headers={'x-claude-code-session-id': f's-{i % 25}'}), i % 2 == 0)

    def settled():
        until('the turns to be over', lambda: r.status()['turns_now'] == 0)
        until('the connections to close', lambda: r.status()['connections_now'] == 0)
        return resident(r.child.pid), descriptors(r.child.pid)

    marks, answered = [settled()], 0
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for upto in (TURNS // 5, TURNS):
            done = r.status()['counters']['turns']
            answered += sum(pool.map(one, range(done, upto)))
            marks.append(settled())
    c = r.status()['counters']
    print(f'{c["turns"]} turns, {answered} answered, {c["attempts"]} attempts, {c["attempts_failed"]} failed; at the start, after '
          f'{TURNS // 5} and after all: resident {[m[0] >> 20 for m in marks]} MiB, descriptors {[m[1] for m in marks]}')
    same((c['turns'], c['turns_ok']), (TURNS, answered), 'turns begun, and whole')
    assert TURNS // 10 < answered < TURNS - TURNS // 10, 'the dice should give both'
    assert marks[2][0] < marks[1][0] + SLACK, marks
    # Only connections kept for the two backends may remain, one for each turn that was in flight.
    assert marks[2][1] <= marks[0][1] + 2 * 8, marks
    r.stop()
    p.stop()


sys.exit(harness.main())
