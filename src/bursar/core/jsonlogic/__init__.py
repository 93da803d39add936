"""jsonLogic, exactly: rules that arrive as JSON text, are checked when saved and evaluated on every event.

Owns: reading a rule, its limits, its operators, its arithmetic. Pure: no clock, no table, no side effect.
Does not own: which rules there are, what data they see, and what becomes of their value.

Values are null, booleans, `Decimal`, text, lists (tuples, coming out), objects (read only) and instants (aware
`datetime`, UTC). A binary floating-point number is never made and never accepted.

Operators
- data: `var`, `missing`, `missing_some`
- logic: `if` (`?:`), `and`, `or`, `!`, `!!`, `==`, `!=`, `===`, `!==`, `<`, `<=`, `>`, `>=` (three arguments make a
  chain: `a < b < c`), `log` (gives back its argument, writes nothing)
- numbers: `+`, `*`, `max`, `min` (one or more numbers, or one list of them), `-` (one or two), `/`, `%`
- lists: `map`, `filter`, `reduce`, `all`, `none`, `some`, `merge`
- text: `cat`, `substr`; text or lists: `in`, `contains` (the whole first,
  then the part; numbers and dates count by their text)
- dates: `date`, `date.add`, `date.sub`, `duration.of`, `duration.between`, `duration.as` (an underscore may stand for
  the dot), `date.year`, `date.month`, `date.day`, `date.weekday` (Monday is 1), `date.hour`

Where this differs from the JavaScript engine, so that nothing is ever billed by accident
- Arithmetic refuses what is not a number (null, booleans, other text) instead of giving NaN or zero. A missing
  variable is null: give a default, `{"var": ["attributes.x", 0]}`, where it should count as something.
- Text is a number where it is a decimal numeral (`" 1.50 "`, `1e3`); empty text and `0x10` are not.
- An order comparison with something incomparable (null, a list, text that is no number beside a number) is false.
  Two texts are compared as texts, by code point. Lists and objects are equal to nothing.
- `in` with three or more arguments asks whether the first is one of the others.

Exactness. Sums, differences, products and remainders are exact or an error: a result of more than 120 significant
digits, or a magnitude outside 1E-60 to 1E+60, is refused. A quotient is rounded half-even to 12 decimals. `%` has the
sign of the dividend. `Rule.number` rounds half-even to 12 decimals and refuses 10^26 and above.

Variables. The roots `attribute`, `dimension` and `dependency` may be written in the singular or the plural. The longest
key that fits is taken, so `usage.urc.um.abc.de` is found under the key `um.abc.de` of `usage.urc`. Within `map`,
`filter`, `all`, `none` and `some` the data is the item (`{"var": ""}`), within `reduce` `current` and `accumulator`.

Dates. Text is ISO 8601, without an offset UTC; units are SECONDS, MINUTES, HOURS, DAYS, WEEKS, MONTHS, YEARS (and
MILLIS), in either case, singular or plural. Months are added by the calendar, keeping the day or taking the month's
last one. A duration is ISO 8601 text (`P1M`, `PT36H`).
"""

from bursar.core.jsonlogic.rules import Rule, compile_rule
from bursar.core.jsonlogic.values import EvaluationError

__all__ = ["EvaluationError", "Rule", "compile_rule"]
