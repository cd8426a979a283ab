// The real Claude Code, headless, in a throw-away HOME: a task of several steps while the first
// backend fails, persistently, from the fourth request on.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BIN, test, check, same, provider, makeHome, command, clean, workDir } from './lib.mjs'
import { CLAUDE, environment } from './client.mjs'

const STEPS = 6

const FAILURES = [
  'status 429 retry-after=2', 'status 529', 'status 500', 'status 503', 'status 401', 'status 402', 'refuse', 'hang', 'silent', 'error-body',
  'html', 'nothing', 'reset', 'error-event', 'end-early', 'garbage', 'close', 'redirect', 'pings',
]

async function run(failure) {
  const dir = workDir()
  const p = await provider(join(dir, 'seen.jsonl'), { first: `3*ok; always ${failure}`, second: 'ok' })
  const home = makeHome(p.ports)
  const project = join(dir, 'project')
  try {
    const r = await command(
      [BIN, 'run', '--home', home, '--', CLAUDE, '-p', `Please do this. CONTINUO-TASK steps=${STEPS} dir=${project}`,
        '--output-format', 'stream-json', '--verbose', '--dangerously-skip-permissions'],
      { cwd: project, env: environment(dir), limit: 100000 })
    const events = r.out.split('\n').filter((l) => l.startsWith('{')).map((l) => JSON.parse(l))
    const told = () => `${r.err.slice(-1500)}\n${r.out.slice(-1500)}`
    same(r.code, 0, `exit status\n${told()}`)
    check(!events.some((e) => e.subtype === 'api_retry'), 'a retry was visible to the client')
    const result = events.find((e) => e.type === 'result')
    same(result && result.result, `All ${STEPS} steps are done.`, `the final text\n${told()}`)
    for (let i = 1; i <= STEPS; i++) {
      const file = join(project, `step-${i}.txt`)
      check(existsSync(file), `step ${i} wrote no file`)
      same(readFileSync(file, 'utf8'), `step ${i}\n`, `what step ${i} wrote`)
    }
    // No step twice: one result for each call in the conversation.
    const calls = events.filter((e) => e.type === 'assistant').flatMap((e) => e.message.content).filter((b) => b.type === 'tool_use')
    same(calls.map((c) => c.input.file_path), Array.from({ length: STEPS }, (_, i) => join(project, `step-${i + 1}.txt`)), 'the calls')
    await checkHistory(home, failure)
  } finally {
    await p.stop()
    clean(home)
    clean(dir)
  }
}

// The export holds the whole conversation, with the model of each turn.
async function checkHistory(home) {
  const list = await command([BIN, 'sessions', 'list', '--home', home, '--json'])
  same(list.code, 0, `sessions list: ${list.err}`)
  const sessions = JSON.parse(list.out)
  const all = Array.isArray(sessions) ? sessions : sessions.sessions
  check(all.length >= 1, 'no session was kept')
  const out = await command([BIN, 'sessions', 'export', all[0].session, '--home', home])
  same(out.code, 0, `sessions export: ${out.err}`)
  const lines = out.out.split('\n').filter(Boolean).map((l) => JSON.parse(l))
  const turns = lines.filter((l) => l.request_id || (l.turn && l.turn.request_id)).map((l) => l.turn || l)
  const used = turns.filter((t) => t.ending === 'ok').map((t) => t.used)
  check(used.length >= STEPS + 1, `only ${used.length} turns in the export`)
  same([...new Set(used.slice(0, 3))], ['first/m-first'], 'the models of the first three turns')
  same([...new Set(used.slice(3))], ['second/m-second'], 'the models of the later turns')
  for (let i = 1; i <= STEPS; i++) check(out.out.includes(`step-${i}.txt`), `step ${i} is not in the export`)
  check(out.out.includes(`All ${STEPS} steps are done.`), 'the final answer is not in the export')
}

if (!existsSync(CLAUDE)) {
  console.log('claude: the native program is not there for this machine: skipped')
} else {
  for (const failure of FAILURES) await test(`claude: ${failure}`, () => run(failure))
}
