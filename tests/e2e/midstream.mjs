// The real Claude Code through a first backend that breaks off in mid-stream on every third
// turn: in text, between blocks, in a tool call's JSON, after a whole call, after the last
// block, in thinking.  The client must never learn of it: right files, each tool run once, no
// word of its own to "go on", exit status 0.  And the honest end, when nobody is left.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test, check, same, provider, makeHome, clean, workDir } from './lib.mjs'
import { CLAUDE, nudges, session, textOf } from './client.mjs'
import { agentsOf, callsOf, checkConversation, checkFiles, checkUnseen, exported, keepsWell, stepsOf } from './task.mjs'

const FAULTS = ['cut-fin', 'cut-rst', 'cut-clean', 'cut-error']
const IN_TEXT = 16 // bytes of text before a place in it

// Events of one scripted answer, up to the place where it breaks off: message_start and ping, the
// text in pieces of 8, each call's input in pieces of 24.
function places(dir, calls, thinks) {
  const text = 'Step 10 of 60: I write the file for it now.'.length
  const input = JSON.stringify({ file_path: join(dir, 'step-10.txt'), content: 'step 10\n' }).length
  const thought = thinks ? 2 + 4 + 1 : 0
  const inText = 2 + thought + 1 + IN_TEXT / 8
  const textOver = 2 + thought + 1 + Math.ceil(text / 8) + 1
  const call = 1 + Math.ceil(input / 24) + 1
  return [inText, textOver, textOver + 3, textOver + call, textOver + calls * call, ...(thinks ? [4] : [])]
}

// What is done with each request: two whole answers, then one that breaks off, at each place in
// each way.
function everyThird(at) {
  const steps = []
  for (let i = 0; i < 3 * at.length * FAULTS.length; i++)
    steps.push('ok', 'ok', `${FAULTS[i % FAULTS.length]} events=${at[i % at.length]}`)
  return steps
}

// The pieces of an answer are its text, and a text that was gone on with was cut where the
// script cut it.
function checkPieces(answer) {
  for (const [i, block] of answer.content.entries()) {
    const pieces = answer.pieces.filter((p) => p.block === i)
    check(pieces.length > 0, `block ${i} of ${answer.request} is nobody's`)
    if (block.type !== 'text') continue
    same(pieces.reduce((n, p) => n + p.bytes, 0), Buffer.byteLength(block.text), `the bytes of block ${i} of ${answer.request}`)
    for (const [k, p] of pieces.entries()) {
      if (!k) continue
      same(pieces[k - 1].bytes, IN_TEXT, `the bytes before the joint in ${answer.request}`)
      check(p.joint && p.model !== pieces[k - 1].model, `the joint in ${answer.request}: ${JSON.stringify(pieces)}`)
    }
  }
}

// Every turn is in the export, and every piece has the model that gave it.
async function checkExport({ home, r, seen }, steps, inText) {
  const { turns, answers, shown } = await exported(home)
  const said = r.transcripts.flat().filter((m) => m.role === 'assistant').length
  same(turns.length, said, 'turns in the export')
  same(turns.filter((t) => t.ending !== 'ok' && t.ending !== 'tool_use').length, 0, 'turns that ended badly')
  const by = (model) => turns.filter((t) => (t.blocks || []).some((b) => b.model === model)).length
  same(by('second/m-second'), seen.filter((s) => s.backend === 'second').length, 'answers with words of the second')
  const pieced = answers.filter((a) => a.pieces)
  for (const a of pieced) checkPieces(a)
  const joints = pieced.flatMap((a) => a.pieces).filter((p) => p.joint)
  check(joints.every((p) => p.model === 'second/m-second'), `joints by ${JSON.stringify(joints)}`)
  same(shown.split('— second/m-second goes on here —').length - 1, joints.length, 'joints that are shown')
  // A reset may take with it what was not read yet: then nothing was given, and nothing is joined.
  const cuts = seen.filter((s) => s.backend === 'first' && (steps[s.n - 1] || '').endsWith(` events=${inText}`))
  const sure = cuts.filter((s) => s.step !== 'cut-rst').length
  check(joints.length >= sure && joints.length <= cuts.length, `${joints.length} joints, not ${sure} to ${cuts.length}`)
}

// body gets the client's run, what the backends were asked, and the home and project made for it.
async function withSession(scripts, task, fallback, body) {
  const dir = workDir()
  const project = join(dir, 'project')
  const p = await provider(join(dir, 'seen.jsonl'), scripts(project))
  const home = makeHome(p.ports, fallback)
  const stop = keepsWell(home)
  try {
    const r = await session(home, dir, `Please do this. CONTINUO-TASK dir=${project} ${task}`)
    await body({ r, home, project, seen: p.seen() })
  } finally {
    stop()
    await p.stop()
    clean(home)
    clean(dir)
  }
}

function checkWent({ seen }, least) {
  const went = seen.filter((s) => s.backend === 'second').length
  check(went >= least, `only ${went} answers were gone on with`)
}

async function files(steps, { calls = 1, thinks = false, second = 'ok', fallback = '', everywhere = true } = {}) {
  let at, plan
  const scripts = (project) => {
    at = places(project, calls, thinks)
    plan = everyThird(at)
    return { first: plan.join('; '), second }
  }
  await withSession(scripts, `steps=${steps} calls=${calls}${thinks ? ' think=1' : ''}`, fallback, async (s) => {
    checkUnseen(s, `All ${steps} steps are done.`)
    checkFiles(s.r, [s.project], steps)
    checkConversation(s.r.transcripts[0], stepsOf(steps), second.includes('restart'))
    checkWent(s, steps / calls / 6)
    const met = s.seen.filter((q) => q.backend === 'first').map((q) => plan[q.n - 1])
    if (everywhere) check(at.every((place) => met.some((m) => m.endsWith(` events=${place}`))), `places ${at} were not all met: ${met}`)
    await checkExport(s, plan, at[0])
  })
}

// Several agents at once, each with files of its own.  The first answer of all breaks off in the
// call of the first agent.
async function agents(n, steps, calls) {
  let at, plan
  const scripts = (project) => {
    at = places(join(project, 'agent-1'), calls, false)
    plan = ['cut-fin events=12', ...everyThird(at)]
    return { first: plan.join('; '), second: 'ok' }
  }
  await withSession(scripts, `steps=${steps} calls=${calls} agents=${n}`, '', async (s) => {
    const [main, ...others] = s.r.transcripts
    checkUnseen(s, `All ${n} agents are done.`)
    checkFiles(s.r, Array.from({ length: n }, (_, i) => join(s.project, `agent-${i + 1}`)), steps)
    checkConversation(main, agentsOf(n))
    same(others.length, n, 'conversations of agents')
    for (const o of others) checkConversation(o, stepsOf(steps))
    same(s.r.ran.filter((t) => t.tool === 'Agent').length, n, 'agents that ran')
    same(Math.max(...main.map((m) => callsOf(m).length)), n, 'agents sent at once')
    checkWent(s, (n * steps) / calls / 6)
    await checkExport(s, plan, at[0])
  })
}

// Two and three failures in one turn, by turns: each model gets 16 bytes further.
async function again() {
  const scripts = () => ({
    first: 'ok; always cut-fin events=5', second: 'always cut-clean events=7',
    third: Array(9).fill('ok; cut-error events=9').join('; '), fourth: 'ok',
  })
  await withSession(scripts, 'steps=8 words=20', '', async (s) => {
    const model = textOf(s.r.transcripts[0].find((m) => m.role === 'assistant'))
    checkUnseen(s, 'All 8 steps are done.')
    checkFiles(s.r, [s.project], 8)
    checkConversation(s.r.transcripts[0], (done) => model.replace(stepsOf(8)(0), stepsOf(8)(done)))
    const { turns, answers } = await exported(s.home)
    same(turns.map((t) => t.ending), Array(9).fill('ok'), 'how the turns ended')
    const wrote = answers.map((a) => (a.pieces || []).filter((p) => p.block === 0).map((p) => p.model.split('/')[0]).join(' '))
    same(wrote, ['', ...Array(4).fill(['first second third', 'first second third fourth']).flat()], 'who wrote the texts')
    for (const { content, pieces } of answers.filter((a) => a.pieces))
      same(pieces.filter((p) => p.block === 0).reduce((n, p) => n + p.bytes, 0), Buffer.byteLength(content[0].text), 'the bytes of a text')
  })
}

// Nobody goes on: the client keeps the text and asks for the rest itself.
async function off() {
  await withSession(() => ({ first: 'ok; cut-fin events=5; ok', second: 'ok' }), 'steps=3', '  continuation: off', async (s) => {
    same(s.r.code, 0, `exit status\n${s.r.told}`)
    checkFiles(s.r, [s.project], 3)
    same(nudges(s.r.transcripts[0]).length, 1, 'words of the client')
    same(s.r.transcripts[0].map(textOf).filter((t) => t.startsWith('Step 2')), ['Step 2 of 3: I w', 'Step 2 of 3: I write the file for it now.'], 'what the client keeps')
  })
}

// All that there are break off for good: what was given stays, nothing is run twice, and the
// client learns at the end that it failed.
async function never() {
  await withSession(() => ({ first: 'ok; always cut-fin events=5', second: 'always cut-fin events=7' }), 'steps=3', '  max_wait: 1s', async (s) => {
    check(s.r.code > 0, `exit status ${s.r.code}\n${s.r.told}`)
    check(s.r.result && s.r.result.is_error, `the result\n${s.r.told}`)
    checkFiles(s.r, [s.project], 1)
    const said = s.r.transcripts[0].filter((m) => m.role === 'assistant').map(textOf)
    check(said.length > 1, `the client was given nothing: ${said}`)
    for (const text of said) check(stepsOf(3)(text === said[0] ? 0 : 1).startsWith(text.trimEnd()), `an answer: ${text}`)
    const { turns } = await exported(s.home)
    same(turns[0].ending, 'ok', 'the turn before')
    for (const t of turns.slice(1)) {
      same(t.ending, 'error', 'how a turn ended that nobody could end')
      check(t.error, 'the client was told nothing')
    }
  })
}

if (existsSync(CLAUDE)) {
  await test('claude: 60 calls, broken off in mid-stream every third turn', () => files(60))
  await test('claude: 84 calls, four at once', () => files(84, { calls: 4 }))
  await test('claude: 36 calls with thinking that is given at once', () => files(36, { thinks: true, fallback: '  hold_thinking: 0s' }))
  await test('claude: the second one begins anew each time', () => files(12, { second: 'always ok way=restart', everywhere: false }))
  await test('claude: four agents at once', () => agents(4, 6, 2))
  await test('claude: two and three failures in a turn', again)
  await test('claude: nobody goes on', off)
  await test('claude: all break off for good', never)
}
