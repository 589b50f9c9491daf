package jinja

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
)

func abs(s *state, v value, a *args) value {
	s.bind("abs", a, 0)
	s.defined(v)
	if i, ok := integer(v); ok {
		if i < 0 {
			return s.subtract(0, i)
		}
		return i
	}
	f, ok := v.(float64)
	if !ok {
		s.fail("abs: a number is needed, not %s", typeName(v))
	}
	return math.Abs(f)
}

func intFilter(s *state, v value, a *args) value {
	p := s.bind("int", a, 0, "default", "base")
	var otherwise value = int64(0)
	if p[0] != missing {
		otherwise = p[0]
	}
	switch v := v.(type) {
	case bool, int64:
		i, _ := integer(v)
		return i
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			if math.IsInf(v, 0) && p[0] == missing {
				s.fail("int: cannot convert float infinity to integer")
			}
			return otherwise
		}
		return s.truncated(v)
	case string, markup:
		t, _ := text(v)
		s.work(len(t))
		if i, ok := s.parseInt(t, s.integerOr("int", p[1], 10)); ok {
			return i
		}
		if f, ok := parseFloat(t); ok && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return s.truncated(f)
		}
		return otherwise
	case *undefined:
		s.defined(v)
	}
	return otherwise
}

// ascii writes Unicode's decimal digits as ASCII and drops white space around.
func ascii(t string) string {
	return strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII && isDecimal(r) {
			zero := r
			for n := 0; n < 9 && isDecimal(zero-1); n++ {
				zero--
			}
			return '0' + (r-zero)%10
		}
		return r
	}, strings.TrimFunc(t, isSpace))
}

// underscored reports whether underscores stand anywhere but between digits.
func misplacedUnderscore(t string) bool {
	for i := range len(t) {
		if t[i] == '_' && (i == 0 || i == len(t)-1 || !isAlphanumeric(t[i-1]) || !isAlphanumeric(t[i+1])) {
			return true
		}
	}
	return false
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// parseInt is Python's int(t, base).
func (s *state) parseInt(t string, base int64) (int64, bool) {
	t = ascii(t)
	if base < 0 || base == 1 || base > 36 {
		return 0, false
	}
	sign := ""
	if t != "" && (t[0] == '-' || t[0] == '+') {
		sign, t = strings.Trim(t[:1], "+"), t[1:]
	}
	for b, prefix := range map[int64]string{2: "0b", 8: "0o", 16: "0x"} {
		if base == b && len(t) > 2 && strings.EqualFold(t[:2], prefix) {
			t = strings.TrimPrefix(t[2:], "_")
		}
	}
	if misplacedUnderscore(t) || t == "" || t[0] == '-' || t[0] == '+' {
		return 0, false
	}
	if base == 0 && len(t) > 1 && t[0] == '0' && t[1] >= '0' && t[1] <= '9' && strings.Trim(t, "0_") != "" {
		return 0, false
	}
	digits := strings.ReplaceAll(t, "_", "")
	i, err := strconv.ParseInt(sign+digits, int(base), 64)
	if err != nil {
		if _, ok := new(big.Int).SetString(digits[:min(len(digits), 100)], int(base)); ok && errorIsRange(err) {
			s.overflow()
		}
		return 0, false
	}
	return i, true
}

func errorIsRange(err error) bool { return strings.HasSuffix(err.Error(), strconv.ErrRange.Error()) }

// parseFloat is Python's float(t).
func parseFloat(t string) (float64, bool) {
	t = ascii(t)
	if misplacedUnderscore(t) || strings.ContainsAny(t, "xXpP") {
		return 0, false
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(t, "_", ""), 64)
	return f, err == nil || errorIsRange(err)
}

func floatFilter(s *state, v value, a *args) value {
	p := s.bind("float", a, 0, "default")
	s.defined(v)
	if f, ok := number(v); ok {
		return f
	}
	if t, ok := text(v); ok {
		s.work(len(t))
		if f, ok := parseFloat(t); ok {
			return f
		}
	}
	if p[0] == missing {
		return 0.0
	}
	return p[0]
}

func round(s *state, v value, a *args) value {
	p := s.bind("round", a, 0, "precision", "method")
	precision := s.integerOr("round", p[0], 0)
	method := s.textOr("round", p[1], "common")
	s.defined(v)
	f, ok := number(v)
	if !ok {
		s.fail("round: a number is needed, not %s", typeName(v))
	}
	if precision < -300 || precision > 300 {
		s.fail("round: a precision of %d is not supported", precision)
	}
	i, isInt := integer(v)
	switch method {
	case "common":
		if isInt {
			return s.roundInteger(i, precision)
		}
		if math.IsInf(f, 0) || math.IsNaN(f) {
			return f
		}
		if precision < 0 {
			return roundTo(f, int(-precision))
		}
		r, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'f', int(precision), 64), 64) // correctly rounded, half to even
		return r
	case "ceil", "floor":
		scale := math.Pow(10, float64(precision))
		scaled := f * scale
		if scaled = math.Floor(scaled); method == "ceil" {
			scaled = math.Ceil(f * scale)
		}
		return scaled / scale
	}
	s.fail("round: method must be common, ceil or floor")
	return nil
}

// roundTo rounds to tens, hundreds … half to even.
func roundTo(f float64, digits int) float64 {
	scale := math.Pow(10, float64(digits))
	return math.RoundToEven(f/scale) * scale
}

func (s *state) roundInteger(i, precision int64) value {
	if precision >= 0 {
		return i
	}
	if precision < -18 {
		return int64(0)
	}
	scale := s.integers('P', 10, -precision).(int64)
	down := s.integers('D', i, scale).(int64)
	rest := i - down*scale
	if rest*2 > scale || rest*2 == scale && down%2 != 0 {
		down++
	}
	return s.multiply(down, scale)
}

func fileSize(s *state, v value, a *args) value {
	p := s.bind("filesizeformat", a, 0, "binary")
	f, ok := number(v)
	if t, isText := text(v); isText {
		f, ok = parseFloat(t)
	}
	if !ok {
		s.fail("filesizeformat: a number is needed, not %s", typeName(v))
	}
	base, suffix := 1000.0, "B"
	prefixes := []string{"k", "M", "G", "T", "P", "E", "Z", "Y"}
	if s.truthOr(p[0], false) {
		base, suffix, prefixes[0] = 1024, "iB", "K"
	}
	if f == 1 {
		return "1 Byte"
	}
	if f < base {
		return strconv.FormatInt(s.truncated(f), 10) + " Bytes"
	}
	unit := base
	for i, prefix := range prefixes {
		unit *= base
		if f < unit || i == len(prefixes)-1 {
			return strconv.FormatFloat(base*f/unit, 'f', 1, 64) + " " + prefix + suffix
		}
	}
	return nil
}
