// The real Claude Code, headless, in a throw-away HOME, and what can be known of its run from
// beside the router: what it printed, its transcripts, and the tools that it ran, which a hook
// of its own writes down.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BIN, command } from './lib.mjs'

export const CLAUDE = join(process.cwd(), 'node_modules/@anthropic-ai/claude-code-linux-x64/claude')

export function environment(dir) {
  return {
    PATH: process.env.PATH,
    HOME: join(dir, 'home'),
    LANG: 'C.UTF-8',
    TERM: 'xterm',
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    DISABLE_TELEMETRY: '1',
    DISABLE_AUTOUPDATER: '1',
    NO_PROXY: '127.0.0.1',
    IS_SANDBOX: '1',
    ...(process.env.ASAN_OPTIONS ? { ASAN_OPTIONS: process.env.ASAN_OPTIONS } : {}),
    ...(process.env.UBSAN_OPTIONS ? { UBSAN_OPTIONS: process.env.UBSAN_OPTIONS } : {}),
  }
}

const lines = (file) => (existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean).map((l) => JSON.parse(l)) : [])

// Each tool that ran, as it ended; one line in one write, as several may end at once.
function watchTools(dir) {
  const file = join(dir, 'ran.jsonl')
  mkdirSync(join(dir, 'home', '.claude'))
  writeFileSync(join(dir, 'home', '.claude', 'settings.json'), JSON.stringify({
    hooks: { PostToolUse: [{ matcher: '*', hooks: [{ type: 'command', command: `printf '%s\\n' "$(cat)" >>'${file}'` }] }] },
  }))
  return () => lines(file).map((l) => ({ tool: l.tool_name, input: l.tool_input, id: l.tool_use_id, agent: l.agent_id || '' }))
}

// The conversations as the client keeps them, the main one first: its messages, what was said
// in pieces of one id put together.
function transcripts(dir) {
  const top = join(dir, 'home', '.claude', 'projects')
  const files = readdirSync(top, { recursive: true }).filter((f) => f.endsWith('.jsonl')).sort((a, b) => a.split('/').length - b.split('/').length)
  return files.map((f) => {
    const messages = []
    for (const { type, message, isApiErrorMessage } of lines(join(top, f))) {
      if ((type !== 'user' && type !== 'assistant') || isApiErrorMessage) continue
      const content = typeof message.content === 'string' ? [{ type: 'text', text: message.content }] : message.content
      const last = messages[messages.length - 1]
      if (last && message.id && last.id === message.id) last.content.push(...content)
      else messages.push({ role: type, id: message.id, content: [...content] })
    }
    return messages
  })
}

// The client does what the prompt says, through a router with this home.
export async function session(home, dir, prompt, limit = 240000) {
  const ran = watchTools(dir)
  const r = await command(
    [BIN, 'run', '--home', home, '--', CLAUDE, '-p', prompt, '--output-format', 'stream-json', '--verbose', '--dangerously-skip-permissions'],
    { cwd: join(dir, 'project'), env: environment(dir), limit })
  const events = r.out.split('\n').filter((l) => l.startsWith('{')).map((l) => JSON.parse(l))
  return {
    code: r.code,
    result: events.find((e) => e.type === 'result'),
    retries: events.filter((e) => e.subtype === 'api_retry').length,
    transcripts: transcripts(dir),
    ran: ran(),
    told: `${r.err.slice(-1500)}\n${r.out.slice(-1500)}`,
  }
}

export const textOf = (message) => message.content.filter((b) => b.type === 'text').map((b) => b.text).join('')

// What the client said for itself: words of the user's beside each conversation's first.
export function nudges(messages) {
  return messages.slice(1).filter((m) => m.role === 'user').map(textOf).filter(Boolean)
}
