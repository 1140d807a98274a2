import type { BenchContext, GroupResult } from './result.js'
export async function measureVeth(_: BenchContext): Promise<GroupResult> { throw new Error('not yet') }
