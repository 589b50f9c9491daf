package policy

import "strings"

// findPhones finds telephone numbers: of Japan, in digits or kanji digits, with separators or a naming word; of any country with
// a +; of the United States as (NPA) NXX-XXXX or NPA-NXX-XXXX.
func findPhones(t *folded) (spans []span) {
	for _, p := range t.plus {
		if s, ok := t.international(p); ok {
			spans = append(spans, s)
		}
	}
	for _, groups := range [][]group{t.digits, t.kanji} {
		for g := range groups {
			s, ok := t.japanese(groups, g)
			if !ok && t.r[groups[g].start] < '9' {
				s, ok = t.american(groups, g)
			}
			if ok {
				spans = append(spans, s)
			}
		}
	}
	return spans
}

// joint returns what joins two groups of digits: '-', ' ', '.', '(' or ')'; 0 where nothing that may stand in a number does.
func (t *folded) joint(end, start int) rune {
	between := t.r[end:start]
	switch len(between) {
	case 1:
		switch c := between[0]; {
		case isHyphen(c):
			return '-'
		case c == ' ' || c == '.' || c == '(' || c == ')':
			return c
		}
	case 2:
		a, b := between[0], between[1]
		switch {
		case b == '(' && (a == ' ' || isHyphen(a)):
			return '('
		case a == ')' && (b == ' ' || isHyphen(b)):
			return ')'
		}
	case 3:
		if between[0] == ' ' && isHyphen(between[1]) && between[2] == ' ' {
			return '-'
		}
	}
	return 0
}

// japanese reads a number of Japan that begins with group g.
func (t *folded) japanese(groups []group, g int) (span, bool) {
	first := groups[g]
	if c := t.r[first.start]; c != '0' && c != '〇' && c != '零' && c != '○' {
		return span{}, false
	}
	joints := [2]rune{}
	n := 1
	for total := first.end - first.start; n < 3 && g+n < len(groups) && total < 11; n++ {
		joint := t.joint(groups[g+n-1].end, groups[g+n].start)
		if joint == 0 {
			break
		}
		joints[n-1] = joint
		total += groups[g+n].end - groups[g+n].start
	}
	for ; n > 0; n-- {
		start, end := first.start, groups[g+n-1].end
		if joints[0] == ')' && n > 1 {
			if t.peek(start-1) != '(' {
				continue
			}
			start--
		}
		if !t.opens(start) || !t.closes(end) {
			continue
		}
		number := t.value(start, end)
		if len(number) != 10 && len(number) != 11 || !validIn("JP", number[1:]) {
			continue
		}
		isNamed := t.named(start, phone)
		if !isNamed && (!separated(groups[g:g+n], joints, number) || t.misnamed(start, phone) || t.crowded(start, end, joints[n-1-n/3])) || t.counts(end) {
			continue
		}
		s := span{start, t.secondLine(groups, g+n, end), formed}
		if isNamed {
			s.rank = named
		}
		return s, true
	}
	return span{}, false
}

// secondLine returns where a number ends that ends before rune end, with the last digits of a second line: 03-1234-0098/0099.
func (t *folded) secondLine(groups []group, g, end int) int {
	if g >= len(groups) || groups[g].start != end+1 || !strings.ContainsRune("/・~〜", t.r[end]) {
		return end
	}
	last, second := groups[g-1], groups[g]
	if n := second.end - second.start; n != 4 || last.end-last.start != n || !t.closes(second.end) || t.counts(second.end) || t.peek(second.end) == '/' {
		return end
	}
	return second.end
}

// separated tells whether groups of digits have the form of a number of Japan, so that no name need stand before them.
func separated(groups []group, joints [2]rune, number []byte) bool {
	mobile := number[0] == '0' && number[2] == '0' && number[1] >= '5'
	last := groups[len(groups)-1]
	switch len(groups) {
	case 2:
		return joints[0] == '-' && mobile && groups[0].end-groups[0].start == 3 || joints[0] == ')'
	case 3:
		n := last.end - last.start
		short := n == 3 && groups[0].end-groups[0].start == 4 // 0120-444-444
		forms := joints == [2]rune{'-', '-'} || joints == [2]rune{' ', ' '} || joints == [2]rune{' ', '-'} || joints == [2]rune{'(', ')'} || joints[0] == ')'
		return (n == 4 || short) && forms && joints[1] != '.' && groups[0].end-groups[0].start <= 5
	}
	return false
}

// crowded tells whether a number in spaces stands among other numbers, as in a table.
func (t *folded) crowded(start, end int, joint rune) bool {
	return joint == ' ' && (t.peek(end) == ' ' && isDigit(t.peek(end+1)) || t.peek(start-1) == ' ' && isDigit(t.peek(start-2)))
}

// american reads a number of the United States that begins with group g.
func (t *folded) american(groups []group, g int) (span, bool) {
	first := groups[g]
	start, n := first.start, first.end-first.start
	if n == 1 && t.r[start] == '1' && g+1 < len(groups) { // 1-202-555-0143, 1 (202) 555-0143
		if joint := t.joint(first.end, groups[g+1].start); joint != '-' && joint != '(' && joint != ' ' {
			return span{}, false
		}
		g++
	}
	if g+2 >= len(groups) {
		return span{}, false
	}
	area, exchange, line := groups[g], groups[g+1], groups[g+2]
	if area.end-area.start != 3 || exchange.end-exchange.start != 3 || line.end-line.start != 4 || t.r[area.start] < '2' || t.r[area.start] > '9' {
		return span{}, false
	}
	brackets := false
	if joint := t.joint(area.end, exchange.start); joint == ')' || t.peek(area.end) == ')' && exchange.start == area.end+1 {
		if t.peek(area.start-1) != '(' {
			return span{}, false
		}
		if brackets = true; start == area.start {
			start--
		}
	} else if joint != '-' && joint != '.' && joint != ' ' {
		return span{}, false
	}
	joint := t.joint(exchange.end, line.start)
	isNamed := t.named(start, phone)
	form := joint == '-' && (brackets || t.joint(area.end, exchange.start) == '-')
	if !t.opens(start) || !t.closes(line.end) || !isNamed && (!form || t.misnamed(start, phone)) || joint != '-' && joint != '.' && joint != ' ' {
		return span{}, false
	}
	if !validIn("US", t.value(area.start, line.end)) || t.counts(line.end) {
		return span{}, false
	}
	s := span{start, line.end, formed}
	if isNamed {
		s.rank = named
	}
	return s, true
}

// international reads a number that begins with the + at rune p: the longest that is valid anywhere.
func (t *folded) international(p int) (span, bool) {
	start := p
	var digits []byte
	var ends [16]struct{ rune, digits int }
	n := 0
	for i, gap := p+1, 0; len(digits) <= 15 && gap < 3 && n < len(ends); i++ {
		c := t.peek(i)
		switch {
		case isDigit(c):
			if t.hasAt(i-1, "(0)") { // the trunk prefix, not dialled from abroad
				i++
				gap = 0
				continue
			}
			gap = 0
			if digits = append(digits, byte(c)); !isDigit(t.peek(i + 1)) {
				ends[n].rune, ends[n].digits = i+1, len(digits)
				n++
			}
			continue
		case c == ')' && t.peek(p-1) == '(' && start == p && n == 1:
			start--
		case c != ' ' && c != '.' && c != '(' && c != ')' && !isHyphen(c):
			gap = 3
			continue
		}
		gap++
	}
	if !t.opens(start) {
		return span{}, false
	}
	for n--; n >= 0; n-- {
		if end, number := ends[n].rune, digits[:ends[n].digits]; len(number) >= 8 && t.closes(end) && !t.counts(end) && validAbroad(number) {
			return span{start, end, formed}, true
		}
	}
	return span{}, false
}
