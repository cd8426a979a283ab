#!/usr/bin/env python3
"""Runs scenes: the real router on real sockets, scripted upstreams, clients that believe nothing.

usage: scene.py --bin CONTINUO --provider PROVIDER [--jobs N] [--only NAME] FILE…

Prints a line for each scene, both sides of what failed with the end of the router's log, and
at last "N passed, N failed".  The language: scene_text.py, and the verbs below.
"""
import argparse
import concurrent.futures
import os
import sys
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


def run_scene(scene, binary, provider):
    """(passed, report)"""
    world = World(binary, provider)
    verbs = Verbs(world)
    expectations = Expectations(world, verbs)
    began, line, failure = time.monotonic(), scene.line, None
    try:
        for statement in scene.statements:
            line = statement.line
            run_statement(statement, verbs, expectations)
        line = scene.line
        verbs.end()
        world.end()
    except Exception as e:  # a scene may fail in any way; the others go on
        known = isinstance(e, SceneError)
        failure = f'{e}' if known else traceback.format_exc()
    took = time.monotonic() - began
    try:
        if failure is None:
            return True, f'ok   {scene.name} {scene.title} ({took:.1f} s)'
        report = [f'FAIL {scene.name} {scene.title} ({took:.1f} s)', f'{scene.path}:{line}: {failure}']
        if verbs.answers:
            report += ['---- the last answer', verbs.answers[-1].text()]
        report += ['---- the upstreams saw'] + [f'{s["backend"]} {s["n"]} {s["step"]}' for s in verbs.seen()[-12:]]
        report += ['---- the trace'] + [f'{t["t"]} {t["event"]} {t["a"]} {t["b"]} {t["text"]}' for t in world.trace()[-25:]]
        report += ['---- the end of the router\'s log', world.router_log()[-4000:], '----']
        return False, '\n'.join(report)
    finally:
        verbs.drop_all()
        world.destroy()


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
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(o.jobs) as pool:
        runs = [pool.submit(run_scene, s, os.path.abspath(o.bin), os.path.abspath(o.provider)) for s in scenes]
        for run in runs:
            ok, report = run.result()
            passed, failed = passed + ok, failed + (not ok)
            print(report, flush=True)
    print(f'{passed} passed, {failed} failed')
    return 1 if failed or not scenes else 0


if __name__ == '__main__':
    sys.exit(main())
