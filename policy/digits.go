package policy

import "strings"

// opens tells whether a value may begin at rune i: what stands before is no part of it.
func (t *folded) opens(i int) bool {
	before, further := t.peek(i-1), t.peek(i-2)
	switch {
	case isWord(before):
		// "No7654321" names a number, "KX7654321" is a longer one.
		return lower(before) == 'o' && lower(further) == 'n' && !isWord(t.peek(i-3))
	case before == '.':
		return !isDigit(further)
	case isHyphen(before):
		return !isWord(further)
	}
	return !strings.ContainsRune("@+$¥€£%\\", before)
}

// closes tells whether a value may end before rune i.
func (t *folded) closes(i int) bool {
	after, further := t.peek(i), t.peek(i+1)
	switch {
	case isWord(after):
		return false
	case after == '.' || after == ':':
		return !isDigit(further)
	case isHyphen(after):
		return !isWord(further)
	}
	return after != '@' && after != '%'
}

// units follow an amount. "本店" is none.
var units = []string{"円", "ドル", "ユーロ", "元", "人", "名", "件", "個", "枚", "台", "株", "票", "歩", "万", "億", "回", "点", "年", "月", "日", "時", "分", "秒",
	"ミリ", "バイト", "ポイント", "ビット", "トン", "キロ", "メートル"}

// counts tells whether what ends before rune i is an amount.
func (t *folded) counts(i int) bool {
	if t.peek(i) == ' ' {
		i++
	}
	for _, unit := range units {
		if t.hasAt(i, unit) {
			return true
		}
	}
	return t.hasAt(i, "本") && !t.hasAt(i, "本店")
}

// joined returns where the number ends that has exactly that many digits and begins with group g: one group, or several
// joined by hyphens, or by single spaces.
func (t *folded) joined(g, digits int) (end int, ok bool) {
	return t.span(g, digits, t.digits[g].start)
}

// span is joined for a value that begins at rune start, before its digits.
func (t *folded) span(g, digits, start int) (end int, ok bool) {
	first := t.digits[g]
	end = first.end
	total := end - first.start
	bySpace := t.peek(end) == ' '
	for total < digits && g+1 < len(t.digits) {
		g++
		next := t.digits[g]
		joins := next.start == end+1 && (bySpace && t.r[end] == ' ' || !bySpace && isHyphen(t.r[end])) ||
			next.start == end+3 && t.joint(end, next.start) == '-'
		if !joins {
			return 0, false
		}
		total += next.end - next.start
		end = next.end
	}
	return end, total == digits && t.opens(start) && t.closes(end)
}

// findNamed finds numbers of that many digits that are named as that kind and pass the check.
func findNamed(t *folded, kind string, digits int, holds func(number []byte) bool) (spans []span) {
	for g, first := range t.digits {
		if first.end-first.start > digits {
			continue
		}
		end, ok := t.joined(g, digits)
		if ok && holds(t.value(first.start, end)) && t.named(first.start, kind) {
			spans = append(spans, span{first.start, end, named})
		}
	}
	return spans
}

// weighted sums digits by weights that repeat.
func weighted(number []byte, weights ...int) (sum int) {
	for i, c := range number {
		sum += int(c-'0') * weights[i%len(weights)]
	}
	return sum
}
