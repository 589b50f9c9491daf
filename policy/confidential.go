package policy

import (
	"slices"
	"strings"
)

// Confidential tells whether a text is itself labelled confidential.
func Confidential(text string) bool {
	_, _, marked := confidentialAt(text)
	return marked
}

// confidentialAt returns where the first marker stands, in bytes, that is a label of the text: in brackets, alone on a line, the
// value of a field of classification, or said of the text itself. The word as a topic, in a quotation or in prose is none.
func confidentialAt(text string) (start, end int, marked bool) {
	if !look(text).confidential() {
		return 0, 0, false
	}
	return readMarkers(text)
}

// readMarkers is confidentialAt for a text in which a marker may stand.
func readMarkers(text string) (start, end int, marked bool) {
	t := fold(text)
	defer t.free()
	for i := range t.r {
		if m, ok := t.markerAt(i); ok && (t.bracketed(m) || t.alone(m) || t.classified(m) || t.saidOfItself(m)) {
			return int(t.at[m.start]), int(t.at[m.end]), true
		}
	}
	return 0, 0, false
}

// marker is a marker in a folded text, [start, end) in runes.
type marker struct {
	start, end int
	latin      bool
}

// markers are matched without regard to case, and with spaces between their letters.
var markers = func() (all [][]rune) {
	for word := range strings.SplitSeq("社外秘|極秘|厳秘|部外秘|関係者外秘|関係者以外秘|社内秘|対外秘|取扱注意|取扱い注意|取り扱い注意|取り扱注意|持出禁止|持出し禁止|持ち出し禁止|"+
		"㊙|マル秘|丸秘|strictly confidential|highly confidential|confidential and proprietary|proprietary and confidential|company confidential|"+
		"strictly private and confidential|private and confidential|private & confidential|confidential|"+
		"top secret|for internal use only|internal use only", "|") {
		all = append(all, []rune(strings.ReplaceAll(word, " ", "")))
	}
	slices.SortFunc(all, func(a, b []rune) int { return len(b) - len(a) })
	return all
}()

// markersBegin tells by its low byte whether a character may be a marker's first.
var markersBegin = func() (begin [256]bool) {
	for _, word := range markers {
		begin[byte(word[0])] = true
	}
	return begin
}()

// markerAt reads the longest marker at rune i.
func (t *folded) markerAt(i int) (marker, bool) {
	first := lower(t.r[i])
	if !markersBegin[byte(first)] {
		return marker{}, false
	}
	for _, word := range markers {
		if word[0] != first {
			continue
		}
		if end, ok := t.spread(i, word); ok {
			m := marker{i, end, isLetter(first)}
			if m.latin && (isWord(t.peek(i-1)) || isWord(t.peek(end))) {
				continue
			}
			return m, true
		}
	}
	return marker{}, false
}

// spread matches a word at rune i, with as many as four spaces between its letters.
func (t *folded) spread(i int, word []rune) (end int, ok bool) {
	for k, c := range word {
		for n := 0; k > 0 && n < 4 && t.peek(i) == ' '; n++ {
			i++
		}
		if lower(t.peek(i)) != c {
			return 0, false
		}
		i++
	}
	return i, true
}

// brackets are those of a label. 「」, 『』 and quotation marks quote.
const openBrackets, closeBrackets = "【[(《〈〔{<≪«〖［", "】])》〉〕}>≫»〗］"

// bracketed: 【社外秘】 at an end of a line or behind a space or a colon, and not itself what the sentence is about.
func (t *folded) bracketed(m marker) bool {
	open := m.start
	for m.start-open < 40 && !strings.ContainsRune(openBrackets, t.peek(open)) {
		if open--; t.peek(open) == '\n' {
			return false
		}
	}
	end := m.end
	for end-m.end < 40 && !strings.ContainsRune(closeBrackets, t.peek(end)) {
		if t.peek(end) == '\n' {
			return false
		}
		end++
	}
	if m.start-open >= 40 || end-m.end >= 40 || !t.labels(open+1, end) {
		return false
	}
	for strings.ContainsRune(openBrackets, t.peek(open)) {
		open--
	}
	for strings.ContainsRune(closeBrackets, t.peek(end)) {
		end++
	}
	return !t.isTopic(end) && (t.lineBegins(open+1) || t.lineEnds(end) || strings.ContainsRune(" :|,\t、。"+closeBrackets, t.peek(open)) || t.peek(open) == '」')
}

// topics follow a marker that a sentence is about.
var topics = []string{"と", "は", "の", "を", "が", "って", "も", "に", "で", "や", "という", "マーク", "表示", "印", "スタンプ", "シール", "ラベル", "扱いの", "指定の",
	"」", "』", "\"", "”", " in ", " on ", " is ", " means", " label", " stamp", " tag", " mark", " header", " as ", " should", " must", " and ", " or ", "?"}

func (t *folded) isTopic(end int) bool {
	for _, word := range topics {
		if t.hasAt(end, word) {
			return true
		}
	}
	return false
}

// lineBegins tells whether nothing but spaces and decoration stands before rune i on its line.
func (t *folded) lineBegins(i int) bool {
	for n := 0; i > 0 && n < 60; n++ {
		c := t.r[i-1]
		if c == '\n' {
			return true
		}
		if !isDecoration(c) && !strings.ContainsRune(closeBrackets+openBrackets, c) {
			return false
		}
		i--
	}
	return i == 0
}

// lineEnds tells whether nothing but spaces, decoration and a full stop stands behind rune i on its line.
func (t *folded) lineEnds(i int) bool {
	for n := 0; i < len(t.r) && n < 60; n++ {
		if t.r[i] == '\n' {
			return true
		}
		if !isDecoration(t.r[i]) && !strings.ContainsRune("。.、", t.r[i]) {
			return false
		}
		i++
	}
	return i >= len(t.r)
}

func isDecoration(r rune) bool {
	return isHyphen(r) || strings.ContainsRune(" \t\r*※=_~#●○◎◆◇■□▲△▼▽★☆♦•·・|!+─━═│┃┌┐└┘┏┓┗┛║╔╗╚╝❗❕⚠🔒🔐🚫\uFE0F⛔:;/\\>", r) || r >= 0x2500 && r <= 0x25FF
}

// alone: a marker on a line of its own, with decoration and with other labels (複写禁止, do not distribute).
func (t *folded) alone(m marker) bool {
	start, end := m.start, m.end
	for start > 0 && t.r[start-1] != '\n' && m.start-start < 80 {
		start--
	}
	for t.peek(end) != '\n' && end-m.end < 80 {
		end++
	}
	if m.start-start >= 80 || end-m.end >= 80 {
		return false
	}
	if string(t.r[m.start:m.end]) == "㊙" && (t.lineBegins(m.start) || t.peek(m.start-1) == ':') && t.peek(m.end) == ' ' {
		return true
	}
	return t.labels(start, end) && !t.itemAmong(start, end) || t.heads(m)
}

// heads: CONFIDENTIAL: or CONFIDENTIAL - before a title. In small letters it may be a word that is explained.
func (t *folded) heads(m marker) bool {
	if !m.latin || !t.lineBegins(m.start) {
		return false
	}
	for _, c := range t.r[m.start:m.end] {
		if c != ' ' && !isUpper(c) {
			return false
		}
	}
	i := m.end
	for t.peek(i) == ' ' {
		i++
	}
	return t.peek(i) == ':' || isHyphen(t.peek(i)) && t.peek(i+1) == ' '
}

// itemAmong tells whether the line [start, end) is one of a list's: its bullet stands on the line before or behind, too.
func (t *folded) itemAmong(start, end int) bool {
	bullet := t.peek(start)
	if !strings.ContainsRune("-*・•+●○■□", bullet) || isDecoration(t.peek(end-1)) && t.peek(end-1) != ' ' {
		return false
	}
	if end+1 < len(t.r) && t.r[end+1] == bullet {
		return true
	}
	if start < 2 {
		return false
	}
	i := start - 2
	for n := 0; i >= 0 && t.r[i] != '\n' && n < 80; n++ {
		i--
	}
	return t.peek(i+1) == bullet
}

// labels tells whether [start, end) holds labels alone, a marker among them.
func (t *folded) labels(start, end int) bool {
	marks := 0
	for i := start; i < end; {
		if isDecoration(t.r[i]) || strings.ContainsRune(",、.。"+openBrackets+closeBrackets, t.r[i]) {
			i++
			continue
		}
		if m, ok := t.markerAt(i); ok && m.end <= end {
			marks++
			i = m.end
			continue
		}
		k := i
		for k < end && !strings.ContainsRune("・/,、。|:;"+closeBrackets, t.r[k]) && !(isHyphen(t.r[k]) && t.peek(k-1) == ' ') && t.r[k] != ' ' {
			k++
		}
		for m := k; m < end && t.r[m] == ' ' && isLetter(t.r[i]); { // words in Latin letters go together
			for k = m + 1; k < end && t.r[k] != ' ' && !strings.ContainsRune("/|,;", t.r[k]) && !isHyphen(t.r[k]); k++ {
			}
			m = k
		}
		if !secondary(strings.TrimRight(strings.ToLower(string(t.r[i:k])), " .")) {
			return false
		}
		i = max(k, i+1)
	}
	return marks > 0
}

// secondary tells whether words are a label that stands beside markers.
func secondary(words string) bool {
	if len(words) > 90 {
		return false
	}
	for _, end := range []string{"禁止", "厳禁", "限り", "限定", "のみ", "破棄", "要返却", "厳守", "社外持出不可", "不可", "秘", "重要", "親展", "急", "部数限定", "草案", "案", "扱い",
		" corp", " inc", " ltd", " llc", " gmbh", "noforn"} {
		if strings.HasSuffix(words, end) {
			return true
		}
	}
	if strings.Contains(words, "株式会社") {
		return true
	}
	for _, start := range []string{"do not", "not for", "for ", "draft", "page ", "©", "copyright", "all rights", "privileged", "restricted",
		"proprietary", "internal", "no ",
		"eyes only", "need to know", "attorney", "sensitive", "private", "level ", "urgent", "important", "please ", "and ", "tlp"} {
		if strings.HasPrefix(words, start) {
			return true
		}
	}
	return false
}
