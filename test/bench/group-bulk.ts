import type { BenchContext, GroupResult } from './result.js'
export async function measureBulk(_: BenchContext): Promise<GroupResult> { throw new Error('not yet') }
