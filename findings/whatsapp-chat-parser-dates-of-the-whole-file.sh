#!/usr/bin/env bash
# Guess:   a line of an exported chat has one date; with dots between its numbers (05.11.2026, as in Russia or Germany) the day comes first.
# Happens: which number is the day is decided once for the file, by which of the two changes more. Rents paid on each fifth, read alone, are from
#          the tenth, eleventh and twelfth of May. A line with slashes changes its month when the next day is exported too.
# Matters: archives are imported again and again as they grow, and compared by date and text. What was imported in the first week does not match
#          itself in the second. The order of day and month has to be given (daysFirst), never guessed per file.
. "$(dirname "$0")/lib/setup"
npm_install whatsapp-chat-parser@4.0.2
cat > run.mjs <<'JS'
import { parseString } from 'whatsapp-chat-parser'
const days = (name, lines, options) => {
  const dates = parseString(lines.map((day) => `${day} - Ann: hello`).join('\n'), options)
  console.log(`${name}: ${dates.map(({ date }) => date.toDateString().slice(4)).join(', ')}`)
}
const fifths = ['05.10.2026, 14:05', '05.11.2026, 14:05', '05.12.2026, 14:05']
days('fifths, the last alone', fifths.slice(2))
days('fifths', fifths)
days('fifths, daysFirst', fifths, { daysFirst: true })
days('slashes, first day', ['11/05/26, 2:05 PM'])
days('slashes, two days', ['11/05/26, 2:05 PM', '11/06/26, 2:05 PM'])
JS
node run.mjs | expect 'fifths, the last alone: Dec 05 2026
fifths: May 10 2026, May 11 2026, May 12 2026
fifths, daysFirst: Oct 05 2026, Nov 05 2026, Dec 05 2026
slashes, first day: May 11 2026
slashes, two days: Nov 05 2026, Nov 06 2026'
