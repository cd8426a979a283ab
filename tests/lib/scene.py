#!/usr/bin/env python3
"""Runs scenes: the real router on real sockets, scripted upstreams, clients that believe nothing.

usage: scene.py --bin CONTINUO --provider PROVIDER [--jobs N] [--only NAME] FILE…

Prints a line for each scene, both sides of what failed with the end of the router's log, and
at last "N passed, N failed".

  # f0002: reset in the middle of a sentence; the next model goes on, and the client never knows
  upstream a: cut-rst events=5 wait
  upstream b: ok
  client: post background; reads "Step 1"
  go a
  client: wait; expect stream; expect comment "x-model-used b/b"; expect field-of b messages.-1.role user
  expect states PLANNING TRYING STREAMING CONTINUING STREAMING DRAINING CLOSED

Names: b basic, c Chat Completions, f fallback, m mid-stream, l limits and abuse, s store, v vault, r a regression by
its issue.  No scene sleeps or measures: what has to happen in between waits for `go`, `reads`
or the trace.  How a line is read: scene_text.py.

UPSTREAMS: `upstream a: STEP; STEP…`, a step a request, then `ok`.  All steps: CN_STEPS of
include/continuo/demo.h.  Faults before content: status N [retry-after=N] [type=T] [message=TEXT],
refuse, hang, silent, reset, close, nothing, html, error-body, error-event, big-head, redirect,
encoded, empty-end, bad-tool, unknown-tool.  At a PLACE of the stream (N bytes, or events=N):
  cut-fin, cut-rst, cut-clean   the connection ends, is reset, the body ends as if it were whole
  cut-error [type=T]            an error event after content
  garbage                       an event that is no JSON (and the end)
  stall, pings                  silence, or nothing but pings
  pause                         the rest waits for `go`
  duplicate, lose               event N twice, or not at all
  trickle, whole, no-names, crlf, no-stop   all of it, framed oddly
  file PATH                     a recorded answer; of `stream`: file {home}/NAME
  3*STEP, always STEP           as often; hold STEP: the answer waits for `go`
  STEP wait                     what follows the place waits for `go`
  STEP thinking                 the answer begins with thinking; field=N:V: with that field in its head
  STEP way=WORD                 how it goes on with another's answer (CN_WAYS)
  STEP calls=WORD, reasoning=WORD   how a Chat Completions answer has its calls and its thinking (CN_CALL_FORMS, CN_REASONINGS)
  status N body=TEXT, error-event body=TEXT, …   an error in a shape of its own
An upstream answers in the format of the path that was asked: `backend a: {wire: openai-chat}`.  Every
request of that format is held to its rules, and one that breaks them fails the scene.

THE WORLD, before the router is needed for the first time or in the middle:
  script a: STEPS               other steps from the next request on
  go NAME [TIMES]               an answer that waits goes on; one that comes first is not lost
  chain a b                     the order (all in their order without it)
  policy KEY: VALUE             of the policy's top level; fallback is put over our defaults
  backend a: {…}, model a: {…}  keys put over theirs
  stream NAME: ITEM; ITEM…      a recorded answer, event by event (scene_stream.py)
  write policy                  the policy as it now is; `write NAME "text"`, `mkdir NAME`
  damage FILE OFFSET            turns a byte round
  token NAME key=value…         a client token of its own, used from here on
  router start|stop|kill|restart|hup|term [passphrase="…"]   term does not wait for the end
  run ARGS… [stdin="…"] [until="text"]   another command of the program; again until it says that
  reset [NAME]                  forgets cooldowns
  wait EVENT [TEXT [TIMES]]     until the trace has it; wait ready [NAME]: until nothing of it cools down

CLIENTS, each with a connection and a conversation of its own:
  client [NAME]: post [steps=N] [body="…"|@FILE] [pad=SIZE] [header="N: v"] [token=none|TEXT] [path=P]
      [times=N|parallel=N] [keep] [unix] [background] [slow] [leave=BYTES|EVENT] [field=JSON…]
  count …, get PATH, head PATH, request METHOD PATH, raw "bytes"; more: the next answer to the same
  reads "text"                  until what came so far of its answer in the background holds that
  wait, drop                    for its answer; leaves whatever is under way

EXPECTATIONS of the answers (of each of them, or `expect last …`):
  expect 200, statuses 401*9 429, header NAME [VALUE], no header NAME, trailer NAME VALUE
  expect used b/b, attempts a/a:529, b/b:ok, retry-after 1..59, error TYPE ["text"…], reported MODEL
  expect stream, message        whole and well-formed, streamed or not
  expect cut TYPE               ended by an error event after the head, all else well-formed
  expect text "…", text-size N, blocks TYPE…, calls N, stop REASON, pings, no pings, comment "…"
  expect body "text", no body "text", closed, broken, turns N (of a conversation)

and of the world, waited for where waiting can help:
  expect states A B …           of the last turn; counter NAME N, status KEY VALUE
  expect cooldown NAME CLASS [SECONDS..SECONDS]   as it was put, since the last reset; no cooldown [NAME]
  expect seen a N               requests that it got
  expect body-of a same|"text", no body-of, head-of a "text", no head-of   its last request; a#2: its second
  expect field-of a PATH VALUE  of the body, as messages.-1.role user; no field-of a PATH
  expect log "text", no log "text", trace EVENT [TEXT], nowhere "text" (in no file below the home)
  expect exit N, output "text", no output "text"   of the last `run`, or of the router's start
"""
import argparse
import concurrent.futures
import os
import signal
import sys
import threading
import time
import traceback

sys.dont_write_bytecode = True

from scene_expect import Expectations  # noqa: E402
from scene_text import SceneError, parse_file, words  # noqa: E402
from scene_verbs import Verbs  # noqa: E402
from scene_world import World  # noqa: E402


def run_statement(statement, verbs, expectations):
    if statement.whole:
        verbs.setup(statement.text)
        return
    found = words(statement.text)
    if found[0] == 'expect':
        expectations.run(found[1:])
    else:
        verbs.run(found)


def why_not(act):
    """None when it went well; a scene may fail in any way, the others go on."""
    try:
        act()
    except SceneError as e:
        return f'{e}'
    except Exception:
        return traceback.format_exc()
    return None


def report_of(scene, line, failure, world, verbs):
    report = [f'{scene.path}:{line}: {failure}']
    if verbs.answers and verbs.answers[-1]:
        report += ['---- the last answer', verbs.answers[-1].text()]
    report += ['---- the upstreams saw'] + [f'{s["backend"]} {s["n"]} {s["step"]}' for s in verbs.seen()[-12:]]
    report += ['---- the trace'] + [f'{t["t"]} {t["event"]} {t["a"]} {t["b"]} {t["text"]}' for t in world.trace()[-25:]]
    return '\n'.join(report + ['---- the end of the router\'s log', world.router_log()[-4000:], '----'])


def run_scene(scene, binary, provider, places):
    """(passed, report)"""
    world = World(binary, provider)
    verbs = Verbs(world)
    expectations = Expectations(world, verbs)
    line = scene.line

    def play():
        nonlocal line
        for statement in scene.statements:
            line = statement.line
            run_statement(statement, verbs, expectations)
        line = scene.line
        verbs.end()
        world.settle()

    try:
        with places:
            began = time.monotonic()
            failure = why_not(play)
        # A router takes half a second to end, doing nothing: the next scene need not wait.
        failure = failure or why_not(world.end)
        title = f'{scene.name} {scene.title} ({time.monotonic() - began:.1f} s)'
        if failure is None:
            return True, f'ok   {title}'
        return False, f'FAIL {title}\n' + report_of(scene, line, failure, world, verbs)
    finally:
        verbs.drop_all()
        world.destroy()


def on_signal(number, _):
    """Whoever ends the runner ends what it started."""
    for world in list(World.alive):
        world.destroy()
    os._exit(128 + number)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--bin', required=True)
    p.add_argument('--provider', required=True)
    p.add_argument('--jobs', type=int, default=2)
    p.add_argument('--only', help='scenes whose name begins so')
    p.add_argument('files', nargs='+')
    o = p.parse_args()
    scenes = [s for path in o.files for s in parse_file(path)]
    names = [s.name for s in scenes]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        sys.exit(f'two scenes of one name: {", ".join(twice)}')
    if o.only:
        scenes = [s for s in scenes if s.name.startswith(o.only)]
    os.environ.setdefault('ASAN_OPTIONS', 'detect_leaks=1')
    os.environ.setdefault('UBSAN_OPTIONS', 'halt_on_error=1:print_stacktrace=1')
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    passed = failed = 0
    places = threading.Semaphore(o.jobs)
    with concurrent.futures.ThreadPoolExecutor(3 * o.jobs) as pool:
        runs = [pool.submit(run_scene, s, os.path.abspath(o.bin), os.path.abspath(o.provider), places) for s in scenes]
        for run in runs:
            ok, report = run.result()
            passed, failed = passed + ok, failed + (not ok)
            print(report, flush=True)
    print(f'{passed} passed, {failed} failed')
    return 1 if failed or not scenes else 0


if __name__ == '__main__':
    sys.exit(main())
