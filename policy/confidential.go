package policy

// Confidential tells whether a text is itself labelled confidential.
func Confidential(text string) bool {
	_, _, marked := confidentialAt(text)
	return marked
}

func confidentialAt(text string) (start, end int, marked bool) { return 0, 0, false }
