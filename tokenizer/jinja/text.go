package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// What Python's str does, where Go's strings differs.

// isSpace is Python's str.isspace: unlike unicode.IsSpace it has U+001C to U+001F.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

var fold = cases.Fold()

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// upper and lower map one rune to several where Unicode does: ß to SS.
func upper(text string) string {
	if isASCII(text) {
		return strings.ToUpper(text)
	}
	return cases.Upper(language.Und).String(text)
}

func lower(text string) string {
	if isASCII(text) {
		return strings.ToLower(text)
	}
	return cases.Lower(language.Und).String(text)
}

func capitalize(text string) string {
	_, n := utf8.DecodeRuneInString(text)
	return titleRune(text[:n]) + lower(text[n:])
}

func titleRune(text string) string {
	if isASCII(text) {
		return strings.ToUpper(text)
	}
	return cases.Title(language.Und).String(text)
}

// title is str.title: a letter behind one that has no case begins a word.
func title(text string) string {
	var b strings.Builder
	inWord := false
	for _, r := range text {
		if inWord {
			b.WriteString(lower(string(r)))
		} else {
			b.WriteString(titleRune(string(r)))
		}
		inWord = isCased(r)
	}
	return b.String()
}

func isCased(r rune) bool {
	return unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r) || unicode.In(r, unicode.Other_Lowercase, unicode.Other_Uppercase)
}

func swapCase(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case unicode.IsUpper(r):
			b.WriteString(lower(string(r)))
		case unicode.IsLower(r):
			b.WriteString(upper(string(r)))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// isLine reports where str.splitlines ends a line.
func isLine(r rune) bool {
	return r >= '\n' && r <= '\r' || r >= 0x1c && r <= 0x1e || r == 0x85 || r == 0x2028 || r == 0x2029
}

func splitLines(text string, keep bool) []string {
	var lines []string
	for text != "" {
		end := strings.IndexFunc(text, isLine)
		if end < 0 {
			return append(lines, text)
		}
		_, n := utf8.DecodeRuneInString(text[end:])
		if strings.HasPrefix(text[end:], "\r\n") {
			n = 2
		}
		if keep {
			lines = append(lines, text[:end+n])
		} else {
			lines = append(lines, text[:end])
		}
		text = text[end+n:]
	}
	return lines
}

// splitSpace is str.split(None, most) or rsplit; most < 0 is no bound.
func splitSpace(text string, most int64, fromRight bool) []string {
	var parts []string
	if fromRight {
		for text = strings.TrimRightFunc(text, isSpace); text != ""; text = strings.TrimRightFunc(text, isSpace) {
			begin := strings.LastIndexFunc(text, isSpace)
			if most == 0 || begin < 0 {
				parts = append(parts, text)
				break
			}
			_, n := utf8.DecodeRuneInString(text[begin:])
			parts = append(parts, text[begin+n:])
			text = text[:begin]
			most--
		}
		for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
			parts[i], parts[j] = parts[j], parts[i]
		}
		return parts
	}
	for text = strings.TrimLeftFunc(text, isSpace); text != ""; text = strings.TrimLeftFunc(text, isSpace) {
		end := strings.IndexFunc(text, isSpace)
		if most == 0 || end < 0 {
			return append(parts, text)
		}
		parts = append(parts, text[:end])
		text = text[end:]
		most--
	}
	return parts
}

func split(text, by string, most int64, fromRight bool) []string {
	if most < 0 || most > int64(len(text)) {
		return strings.Split(text, by)
	}
	if !fromRight {
		return strings.SplitN(text, by, int(most)+1)
	}
	var tail []string
	for ; most > 0; most-- {
		at := strings.LastIndex(text, by)
		if at < 0 {
			break
		}
		tail = append(tail, text[at+len(by):])
		text = text[:at]
	}
	parts := []string{text}
	for i := len(tail) - 1; i >= 0; i-- {
		parts = append(parts, tail[i])
	}
	return parts
}

func isDecimal(r rune) bool { return unicode.Is(unicode.Nd, r) }

// isDigit has superscripts and circled digits too, whose Numeric_Type is Digit.
func isDigit(r rune) bool {
	switch {
	case isDecimal(r), r == 0xb2, r == 0xb3, r == 0xb9, r == 0x2070, r >= 0x2074 && r <= 0x2079, r >= 0x2080 && r <= 0x2089,
		r >= 0x2460 && r <= 0x2468, r >= 0x2474 && r <= 0x247c, r >= 0x2488 && r <= 0x2490, r == 0x24ea, r >= 0x24f5 && r <= 0x24fd,
		r == 0x24ff, r >= 0x2776 && r <= 0x277e, r >= 0x2780 && r <= 0x2788, r >= 0x278a && r <= 0x2792:
		return true
	}
	return r >= 0x1369 && r <= 0x1371 || r == 0x19da || r >= 0x10a40 && r <= 0x10a43 || r >= 0x10e60 && r <= 0x10e68 ||
		r >= 0x11052 && r <= 0x1105a || r >= 0x1f100 && r <= 0x1f10a
}

// ideographs that are numbers; the others of their kind have no number.
const ideographicNumbers = "一丁七万三九二五亖亿什仟仨伍佰億兆兩八六十千卄卅卌叁参參叄四壱壹幺廾廿弌弍弎弐拾捌柒柶柴漆玖百肆萬貮貳贰負貭零陆陌陸頁〇〡〢〣〤〥〦〧〨〩〸〹〺"

func isNumeric(r rune) bool {
	return isDigit(r) || unicode.In(r, unicode.No, unicode.Nl) || strings.ContainsRune(ideographicNumbers, r)
}

func isLetterOrNumeric(r rune) bool { return unicode.IsLetter(r) || isNumeric(r) }

func every(text string, is func(rune) bool) bool {
	for _, r := range text {
		if !is(r) {
			return false
		}
	}
	return text != ""
}

// isUpperText: some rune has case, and none the other one.
func oneCase(text string, upper bool) bool {
	cased := false
	for _, r := range text {
		isUpper := unicode.IsUpper(r) || unicode.Is(unicode.Other_Uppercase, r)
		isLower := unicode.IsLower(r) || unicode.Is(unicode.Other_Lowercase, r)
		if unicode.IsTitle(r) || upper && isLower || !upper && isUpper {
			return false
		}
		cased = cased || isUpper || isLower
	}
	return cased
}

func isTitleText(text string) bool {
	cased, inWord := false, false
	for _, r := range text {
		switch {
		case unicode.IsUpper(r) || unicode.IsTitle(r):
			if inWord {
				return false
			}
			inWord, cased = true, true
		case unicode.IsLower(r):
			if !inWord {
				return false
			}
			cased = true
		default:
			inWord = false
		}
	}
	return cased
}

// trim is str.strip, lstrip or rstrip; chars nil strips white space.
func trim(text string, chars *string, left, right bool) string {
	is := isSpace
	if chars != nil {
		is = func(r rune) bool { return strings.ContainsRune(*chars, r) }
	}
	if left {
		text = strings.TrimLeftFunc(text, is)
	}
	if right {
		text = strings.TrimRightFunc(text, is)
	}
	return text
}
