package jinja

// Rendering is what a template wrote.
type Rendering struct {
	Text      string
	Generated [][2]int
}
