// The real Claude Code, headless, through a first backend that breaks off in mid-stream on every
// third turn: in text, between blocks, in a tool call's JSON, after a whole call, after the last
// block.  The client must never learn of it: right files, each call once, no word of its own to
// "go on", exit status 0.
import { existsSync, readFileSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { BIN, test, check, same, provider, makeHome, command, clean, workDir } from './lib.mjs'
import { CLAUDE, environment } from './claude.mjs'

const FAULTS = ['cut-fin', 'cut-rst', 'cut-clean', 'cut-error']

// Events of one scripted answer, up to the place where it breaks off: message_start and ping, the
// text in pieces of 8, each call's input in pieces of 24.
function places(project, calls, thinks) {
  const text = 'Step 10 of 60: I write the file for it now.'.length
  const input = JSON.stringify({ file_path: join(project, 'step-10.txt'), content: 'step 10\n' }).length
  const thought = thinks ? 2 + 4 + 1 : 0
  const inText = 2 + thought + 1 + 2
  const textOver = 2 + thought + 1 + Math.ceil(text / 8) + 1
  const call = 1 + Math.ceil(input / 24) + 1
  return [inText, textOver, textOver + 3, textOver + call, textOver + calls * call, ...(thinks ? [4] : [])]
}

function script(project, calls, thinks) {
  const at = places(project, calls, thinks)
  const steps = []
  for (let i = 0; i < 3 * at.length * FAULTS.length; i++)
    steps.push('2*ok', `${FAULTS[i % FAULTS.length]} events=${at[i % at.length]}`)
  return steps.join('; ')
}

// Words of the client besides the task: what it says when an answer broke off.
function nudges(seen) {
  const found = []
  for (const { body } of seen) {
    const request = JSON.parse(body)
    if (!request.tools || !request.tools.some((t) => t.name === 'Write')) continue
    const messages = request.messages.filter((m) => m.role === 'user')
    const last = messages[messages.length - 1].content
    if (typeof last === 'string' && last.includes('the connection dropped')) messages.pop() // the router's own
    for (const m of messages.slice(1)) {
      if (typeof m.content === 'string') found.push(m.content)
      else for (const b of m.content) if (b.type === 'text' && !b.text.startsWith('<system-reminder>')) found.push(b.text)
    }
  }
  return [...new Set(found)]
}

// What breaks off cools down; here it is to break off again and again.
function keepsWell(home) {
  const timer = setInterval(() => {
    const request = http.request({ socketPath: join(home, 'admin.sock'), path: '/api/reset', method: 'POST', agent: false,
      headers: { host: 'x', 'content-type': 'application/json', 'content-length': 2 } }, (r) => r.resume())
    request.on('error', () => {}) // not there yet, or not any more
    request.end('{}')
  }, 20)
  return () => clearInterval(timer)
}

async function run(steps, { calls = 1, thinks = false, second = 'ok', fallback = '', joints } = {}) {
  const dir = workDir()
  const project = join(dir, 'project')
  const p = await provider(join(dir, 'seen.jsonl'), { first: script(project, calls, thinks), second })
  const home = makeHome(p.ports, fallback)
  const task = `CONTINUO-TASK steps=${steps} dir=${project} calls=${calls}${thinks ? ' think=1' : ''}`
  const stop = keepsWell(home)
  try {
    const r = await command(
      [BIN, 'run', '--home', home, '--', CLAUDE, '-p', `Please do this. ${task}`,
        '--output-format', 'stream-json', '--verbose', '--dangerously-skip-permissions'],
      { cwd: project, env: environment(dir), limit: 240000 })
    const events = r.out.split('\n').filter((l) => l.startsWith('{')).map((l) => JSON.parse(l))
    const told = () => `${r.err.slice(-1500)}\n${r.out.slice(-1500)}`
    same(r.code, 0, `exit status\n${told()}`)
    check(!events.some((e) => e.subtype === 'api_retry'), 'a retry was visible to the client')
    const result = events.find((e) => e.type === 'result')
    check(result && result.result.startsWith(`All ${steps} steps are done.`), `the final text\n${told()}`)
    for (let i = 1; i <= steps; i++) {
      const file = join(project, `step-${i}.txt`)
      check(existsSync(file), `step ${i} wrote no file`)
      same(readFileSync(file, 'utf8'), `step ${i}\n`, `what step ${i} wrote`)
    }
    const blocks = (type) => events.filter((e) => e.type === type).flatMap((e) => (Array.isArray(e.message.content) ? e.message.content : []))
    const made = blocks('assistant').filter((b) => b.type === 'tool_use')
    const done = blocks('user').filter((b) => b.type === 'tool_result')
    same(made.map((c) => c.input.file_path), Array.from({ length: steps }, (_, i) => join(project, `step-${i + 1}.txt`)), 'the calls')
    same(new Set(made.map((c) => c.id)).size, steps, 'the different ids of calls')
    same(done.map((d) => d.tool_use_id).sort(), made.map((c) => c.id).sort(), 'a result for each call, and one only')
    const seen = p.seen()
    same(nudges(seen), [], 'words of the client that the task does not have')
    const went = seen.filter((s) => s.backend === 'second').length
    check(went >= steps / calls / 6, `only ${went} answers were gone on with`)
    await checkExport(home, steps, joints)
  } finally {
    stop()
    await p.stop()
    clean(home)
    clean(dir)
  }
}

// The export names both models where both wrote one answer.
async function checkExport(home, steps, least) {
  const list = JSON.parse((await command([BIN, 'sessions', 'list', '--home', home, '--json'])).out)
  const all = Array.isArray(list) ? list : list.sessions
  const out = await command([BIN, 'sessions', 'export', all[0].session, '--home', home])
  same(out.code, 0, `sessions export: ${out.err}`)
  const turns = out.out.split('\n').filter(Boolean).map((l) => JSON.parse(l)).map((l) => l.turn || l).filter((t) => t.request_id)
  const joined = turns.filter((t) => (t.blocks || []).some((b) => b.joint))
  check(joined.length >= least, `${joined.length} turns in the export have a joint`)
  for (const t of joined) {
    const models = new Set(t.blocks.map((b) => b.model))
    same([...models].sort(), ['first/m-first', 'second/m-second'], `the models of ${t.request_id}`)
  }
  for (let i = 1; i <= steps; i++) check(out.out.includes(`step-${i}.txt`), `step ${i} is not in the export`)
}

if (existsSync(CLAUDE)) {
  await test('claude: 60 calls, broken off in mid-stream every third turn', () => run(60, { joints: 1 }))
  await test('claude: 40 calls, four at once', () => run(40, { calls: 4, joints: 1 }))
  await test('claude: 24 calls with thinking that is given at once', () => run(24, { thinks: true, fallback: '  hold_thinking: 0s', joints: 1 }))
  await test('claude: the second one begins anew each time', () => run(12, { second: 'always ok way=restart', joints: 1 }))
}
