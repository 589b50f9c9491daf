package configs

// Switch is true, false or auto. The file may write it as a boolean or as text; it travels as text.
type Switch string

const (
	Auto Switch = "auto"
	On   Switch = "true"
	Off  Switch = "false"
)

var switches = []string{string(Auto), string(On), string(Off)}
