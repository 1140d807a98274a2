// SPDX-License-Identifier: MIT
/** Who is chosen, connection by connection as the real kernel: xlvs on xdp. */
import { xlvs } from '../support/replay/director.js'
import { schedulerSuite } from '../support/replay/suite.js'

schedulerSuite(xlvs({ mode: 'xdp' }))
