"""The release binary as it is shipped: hardened, without a switch for debuggers."""
import os
import subprocess
import sys

import harness
from harness import scene

RELEASE = os.environ.get('CONTINUO_RELEASE', '')


def readelf(*options):
    return subprocess.run(['readelf', '-W', *options, RELEASE], capture_output=True, text=True, check=True).stdout


@scene
def v0101_hardened(home):
    """PIE, full RELRO, no executable stack, stack protector, fortified calls (design/security.md 10)."""
    if not os.path.exists(RELEASE):
        print('no release build is here: nothing looked at')
        return
    assert 'DYN (' in readelf('-h'), 'no PIE'
    program = readelf('-l')
    assert 'GNU_RELRO' in program, 'no RELRO'
    stack = [line for line in program.splitlines() if 'GNU_STACK' in line][0]
    assert 'RWE' not in stack, f'an executable stack: {stack}'
    dynamic = readelf('-d')
    assert 'BIND_NOW' in dynamic or 'NOW' in dynamic, 'lazy binding'
    symbols = readelf('--dyn-syms')
    assert '__stack_chk_fail' in symbols, 'no stack protector'
    assert '_chk@' in symbols, 'no fortified calls'


@scene
def v0102_hidden_from_the_same_user(home):
    """A release process cannot be looked into: not dumpable, no core, no new privileges."""
    if not os.path.exists(RELEASE):
        print('no release build is here: nothing looked at')
        return
    p = harness.Provider(home, a='ok')
    harness.BIN = RELEASE
    r = harness.Router(home, p.ports)
    with open(f'/proc/{r.child.pid}/status', encoding='ascii') as f:
        status = dict(line.split(':\t', 1) for line in f if ':\t' in line)
    assert status['NoNewPrivs'].strip() == '1', 'NO_NEW_PRIVS'
    with open(f'/proc/{r.child.pid}/limits', encoding='ascii') as f:
        core = [line for line in f if line.startswith('Max core file size')][0]
    assert core.split()[4] == '0', core
    # The owner of /proc/PID/mem of a process that is not dumpable is root, whoever runs it.
    assert os.stat(f'/proc/{r.child.pid}/mem').st_uid == 0
    r.stop()
    p.stop()


sys.exit(harness.main())
