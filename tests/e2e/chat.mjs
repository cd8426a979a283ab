// The real Claude Code where its models speak the Chat Completions format: alone, with calls in
// every form that servers have for them, and by turns with its own format, while answers fail
// before their first word and in the middle.  Each request is held to that format's rules.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, check, same, provider, makeHome, clean, workDir } from './lib.mjs'
import { CLAUDE, session } from './client.mjs'
import { agentsOf, callsOf, checkConversation, checkFiles, checkUnseen, exported, keepsWell, stepsOf } from './task.mjs'

const FORMS = ['split', 'whole', 'object', 'no-id', 'no-index', 'same-index', 'blank', 'repeated', 'last', 'stop']
const BEFORE = ['status 529', 'close', 'status 429', 'error-event', 'html', 'status 400 message=context_length_exceeded', 'nothing']
const FAULTS = ['cut-fin', 'cut-rst', 'cut-clean', 'cut-error']

// Events of a Chat Completions answer before a place in it: in the text, behind it, in a call, behind it.
function places(dir) {
  const text = 'Step 1 of 9: I write the file for it now.'.length
  const input = JSON.stringify({ file_path: join(dir, 'step-1.txt'), content: 'step 1\n' }).length
  const textOver = 1 + Math.ceil(text / 8)
  return [3, textOver, textOver + 2, textOver + 1 + Math.ceil(input / 24)]
}

const REASONINGS = ['reasoning_content', 'reasoning', 'both', 'reasoning_details', 'tags', 'parts']
const thoughts = () => Array.from({ length: 30 }, (_, i) => `ok reasoning=${REASONINGS[i % REASONINGS.length]}`).join('; ')
const forms = () => Array.from({ length: 60 }, (_, i) => `ok calls=${FORMS[i % FORMS.length]}`).join('; ')

// Whole, failed before the first word, broken off: each in turn, in every way and at every place.
function byTurns(dir) {
  const at = places(dir)
  return Array.from({ length: 60 }, (_, i) => [
    `ok calls=${FORMS[i % FORMS.length]}`, BEFORE[i % BEFORE.length], `${FAULTS[i % FAULTS.length]} events=${at[i % at.length]}`,
  ]).flat().join('; ')
}

const ALONE = { scripts: () => ({ first: forms() }), chat: ['first'] }
const THINKING = { scripts: () => ({ first: thoughts() }), chat: ['first'] }
// The second is of the client's own format; where it fails too, the third goes on.
const MIXED = {
  scripts: (project) => ({
    first: byTurns(project), third: 'ok',
    second: Array(40).fill(['ok', 'ok', 'ok', 'status 529', 'ok', 'cut-fin events=6']).flat().join('; '),
  }),
  order: ['first', 'second', 'third'],
  chat: ['first', 'third'],
}

async function run(world, task, body) {
  const dir = workDir()
  const project = join(dir, 'project')
  const p = await provider(join(dir, 'seen.jsonl'), world.scripts(project))
  const ports = Object.fromEntries((world.order || Object.keys(p.ports)).map((n) => [n, p.ports[n]]))
  const home = makeHome(ports, '', world.chat)
  const policy = join(home, 'policy.yaml')
  writeFileSync(policy, readFileSync(policy, 'utf8').replace(/_timeout: \d+s/g, '_timeout: 60s')) // nothing is silent here
  const stop = keepsWell(home)
  try {
    const r = await session(home, dir, `Please do this. CONTINUO-TASK dir=${project} ${task}`)
    const seen = p.seen()
    same(seen.filter((s) => s.breach).map((s) => `${s.backend} ${s.n}: ${s.breach}`), [], `breaches of the format\n${r.told}`)
    await body({ r, home, project, seen })
    await checkTurns(world, home, r, seen)
  } finally {
    stop()
    await p.stop()
    clean(home)
    clean(dir)
  }
}

// Every turn is kept and ended well; where there are several formats they took turns, and each went on with the other's words.
async function checkTurns(world, home, r, seen) {
  const { turns } = await exported(home)
  same(turns.length, r.transcripts.flat().filter((m) => m.role === 'assistant').length, 'turns in the export')
  same(turns.filter((t) => t.ending !== 'ok' && t.ending !== 'tool_use').length, 0, 'turns that ended badly')
  const used = turns.map((t) => t.used.split('/')[0])
  const formats = used.map((n) => (world.chat.includes(n) ? 'chat' : 'own'))
  if (!world.order) {
    same([...new Set(formats)], ['chat'], 'the formats of the answers')
    return
  }
  const joined = turns.map((t) => [...new Set((t.blocks || []).map((b) => b.model.split('/')[0]))].join(' '))
  // Who cools down when is up to the machine: how often is not for sure, that it happens is.
  check(formats.filter((f, i) => i && f !== formats[i - 1]).length > 2, `answered by ${used}`)
  check(world.agents || joined.some((j) => j.includes(' ')), `joined by ${joined}`)
  for (const words of [BEFORE, FAULTS])
    check(seen.some((s) => s.backend === 'first' && words.some((w) => w.split(' ')[0] === s.step)), `none of ${words}`)
}

const files = (world, steps, calls, more = '') => run(world, `steps=${steps} calls=${calls}${more}`, ({ r, project }) => {
  checkUnseen({ r }, `All ${steps} steps are done.`)
  checkFiles(r, [project], steps)
  checkConversation(r.transcripts[0], stepsOf(steps))
  if (world === THINKING) same(r.transcripts[0].flatMap((m) => m.content).filter((b) => b.type === 'thinking').length, steps + 1, 'thoughts')
  if (world === ALONE) check(Math.max(...r.transcripts[0].map((m) => callsOf(m).length)) === calls, 'the calls at once')
})

const agents = (world, n, steps) => run(world, `steps=${steps} calls=2 agents=${n}`, ({ r, project }) => {
  const [main, ...others] = r.transcripts
  checkUnseen({ r }, `All ${n} agents are done.`)
  checkFiles(r, Array.from({ length: n }, (_, i) => join(project, `agent-${i + 1}`)), steps)
  checkConversation(main, agentsOf(n))
  same(others.length, n, 'conversations of agents')
  for (const o of others) checkConversation(o, stepsOf(steps))
})

if (!existsSync(CLAUDE)) {
  console.log('chat: the native program is not there for this machine: skipped')
} else {
  await test('chat: 20 calls, alone', () => files(ALONE, 20, 1))
  await test('chat: 20 calls, four at once, alone', () => files(ALONE, 20, 4))
  await test('chat: 12 calls with thinking, alone', () => files(THINKING, 12, 1, ' think=1'))
  await test('chat: three agents at once, alone', () => agents(ALONE, 3, 4))
  await test('chat: 30 calls, the formats by turns', () => files(MIXED, 30, 1))
  await test('chat: 48 calls, three at once, the formats by turns', () => files(MIXED, 48, 3))
  await test('chat: three agents at once, the formats by turns', () => agents({ ...MIXED, agents: true }, 3, 6))
}
