// Every end-to-end test, one after the other, and the totals.
import { results } from './lib.mjs'

await import('./sdk.mjs')
await import('./recordings.mjs')
await import('./claude.mjs')
await import('./midstream.mjs')
await import('./plain.mjs')
await import('./chat.mjs')
console.log(`${results.passed} passed, ${results.failed} failed`)
process.exit(results.failed ? 1 : 0)
